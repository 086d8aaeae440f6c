//! The house has floors: a file imports only from its own floor and those below, and no two files import each other.
//!
//! Imports are read from the sources with `syn`: `use` trees and the paths in code and in what macros are given, each
//! followed through re-exports and globs to the file that defines the name. Tests inside `src/` may import what they
//! like. What is not seen is a method, a field, or a name in the text of an attribute.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use proc_macro2::{Delimiter, Spacing, TokenStream, TokenTree};
use syn::visit::{self, Visit};

use super::root;

/// The floors from the ground. A path without `.rs` is a folder with the file of the same name; the longest path that
/// fits counts.
const LADDER: &[&[&str]] = &[
    // Words that all floors use: error numbers, releases of libbpf, plain files, likeness of names.
    &["errno.rs", "libbpf.rs", "regular.rs", "replace.rs", "suggest.rs"],
    // Bytes become sections and symbols.
    &["elf"],
    // Types, and instructions.
    &["btf", "insn"],
    // What libbpf makes of a file.
    &["object"],
    // What a target offers.
    &["kernel"],
    // An object on a kernel.
    &["load"],
    // What that kernel's verifier says of a program.
    &["verifier"],
    // A rule, and what a check says.
    &["rule.rs", "finding.rs"],
    // The rules.
    &["checks"],
    // The document, and the formats that it is written in.
    &["report"],
    // What is read, what is let pass, and what is meant by a configuration.
    &["input", "suppress.rs", "config"],
    // All of the above in a row: what the library, the command line and live mode call.
    &["lint.rs"],
    // What a running kernel says.
    &["live"],
    // What was typed.
    &["cli"],
    // The doors.
    &["lib.rs", "main.rs"],
];

/// Imports (from, to) that are still to go; one that is gone fails the test too, so that it leaves this list.
const STILL: &[(&str, &str)] = &[
    // The verifier's parts are methods of one type, which holds what each part keeps: that is to move to files of its own.
    ("verifier/bpf_check/checker.rs", "verifier/bpf_check/code/mod.rs"),
    ("verifier/bpf_check/checker.rs", "verifier/bpf_check/hook/mod.rs"),
    ("verifier/bpf_check/checker.rs", "verifier/bpf_check/kfunc/meta.rs"),
    ("verifier/bpf_check/checker.rs", "verifier/bpf_check/liveness/mod.rs"),
    ("verifier/bpf_check/checker.rs", "verifier/bpf_check/record/mod.rs"),
    ("verifier/bpf_check/checker.rs", "verifier/bpf_check/states/checkpoints.rs"),
    ("verifier/bpf_check/checker.rs", "verifier/bpf_check/states/trace.rs"),
    ("verifier/bpf_check/hook/mod.rs", "verifier/bpf_check/hook/arguments.rs"),
    ("verifier/bpf_check/hook/mod.rs", "verifier/bpf_check/hook/attach.rs"),
    ("verifier/bpf_check/hook/mod.rs", "verifier/bpf_check/hook/struct_ops.rs"),
    ("verifier/bpf_check/kfunc/arguments.rs", "verifier/bpf_check/graph.rs"),
    ("verifier/bpf_check/liveness/points.rs", "verifier/bpf_check/liveness/calls.rs"),
    ("verifier/bpf_check/record/mod.rs", "verifier/bpf_check/record/parse.rs"),
    ("verifier/bpf_check/states/checkpoints.rs", "verifier/bpf_check/states/equal.rs"),
    ("verifier/bpf_check/states/checkpoints.rs", "verifier/bpf_check/states/loops.rs"),
];

/// Files by path from `src`, with what they say.
type Sources = BTreeMap<String, String>;

/// For each file the files that it imports, with the path in its own words.
type Imports = BTreeMap<String, BTreeMap<String, String>>;

/// What a name stands for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Meaning {
    /// A module, by its path from the root.
    Module(String),
    /// Something that a file defines.
    Item(String),
}

/// A `use` of one name, or of all of a module.
#[derive(Debug)]
struct Use {
    /// The path, without the `*` of a glob.
    path: Vec<String>,
    /// The name in this module; `None` for a glob.
    name: Option<String>,
    /// Others may take it from here.
    public: bool,
}

#[derive(Debug, Default)]
struct Module {
    file: String,
    children: BTreeSet<String>,
    items: BTreeSet<String>,
    uses: Vec<Use>,
    /// The paths in its code; the flag says that a macro was given it.
    paths: BTreeSet<Vec<String>>,
    /// Macros that it calls by one name.
    calls: BTreeSet<String>,
}

/// The modules of a tree by path: the root is `crate`, a child of it `crate::child`.
#[derive(Debug, Default)]
struct House {
    modules: BTreeMap<String, Module>,
    /// The files of macros, by name.
    macros: BTreeMap<String, String>,
    /// Files of tests.
    tests: BTreeSet<String>,
}

impl House {
    /// Reads the modules from `lib.rs` on; `main.rs`, where there is one, is a root of its own.
    fn read(sources: &Sources) -> Self {
        let mut house = Self::default();
        for (root, name) in [("lib.rs", "crate"), ("main.rs", "main")] {
            if sources.contains_key(root) {
                house.file(sources, root, "", name);
            }
        }
        house
    }

    /// Reads a file as the module `name`, whose children are in `folder`, and these.
    fn file(&mut self, sources: &Sources, file: &str, folder: &str, name: &str) {
        let text = sources.get(file).unwrap_or_else(|| panic!("{name}: no file {file}"));
        let parsed = syn::parse_file(text).unwrap_or_else(|error| panic!("{file}: {error}"));
        self.items(sources, file, folder, name, &parsed.items);
    }

    fn items(&mut self, sources: &Sources, file: &str, folder: &str, name: &str, items: &[syn::Item]) {
        let mut reader = Reader { module: Module { file: file.to_owned(), ..Module::default() } };
        for item in items.iter().filter(|item| !is_test(attributes(item))) {
            reader.declare(item);
            if let syn::Item::Macro(call) = item
                && let Some(made) = &call.ident
            {
                self.macros.insert(made.to_string(), file.to_owned());
            }
        }
        for item in items {
            let syn::Item::Mod(child) = item else {
                if !is_test(attributes(item)) {
                    reader.visit_item(item);
                }
                continue;
            };
            let (short, inner) = (child.ident.to_string(), format!("{folder}{}/", child.ident));
            let path = format!("{name}::{short}");
            match (&child.content, is_test(&child.attrs)) {
                (None, true) => {
                    self.tests.insert(format!("{folder}{short}.rs"));
                }
                (Some(_), true) => {}
                (Some((_, items)), false) => self.items(sources, file, &inner, &path, items),
                (None, false) => {
                    let beside = format!("{folder}{short}.rs");
                    let inside = format!("{inner}mod.rs");
                    let file = if sources.contains_key(&beside) { beside } else { inside };
                    self.file(sources, &file, &inner, &path);
                }
            }
        }
        self.modules.insert(name.to_owned(), reader.module);
    }

    /// What a name means inside a module, for its own code or for others.
    fn lookup(&self, module: &str, name: &str, own: bool, seen: &mut BTreeSet<(String, String)>) -> Meanings {
        let mut found = Meanings::new();
        let Some(known) = self.modules.get(module) else { return found };
        if !seen.insert((module.to_owned(), name.to_owned())) {
            return found;
        }
        if known.children.contains(name) {
            found.insert(Meaning::Module(format!("{module}::{name}")));
        }
        if known.items.contains(name) {
            found.insert(Meaning::Item(known.file.clone()));
        }
        let uses = || known.uses.iter().filter(|import| own || import.public);
        for import in uses().filter(|import| import.name.as_deref() == Some(name)) {
            found.extend(self.resolve(module, &import.path, seen));
        }
        if found.is_empty() {
            for import in uses().filter(|import| import.name.is_none()) {
                for meaning in self.resolve(module, &import.path, seen) {
                    if let Meaning::Module(all) = meaning {
                        // A child that opens all of `super` sees what is private there.
                        let own = module.starts_with(&format!("{all}::"));
                        found.extend(self.lookup(&all, name, own, seen));
                    }
                }
            }
        }
        found
    }

    /// What a path means inside a module; nothing where it leaves this crate.
    fn resolve(&self, module: &str, path: &[String], seen: &mut BTreeSet<(String, String)>) -> Meanings {
        let mut at: Meanings = [Meaning::Module(module.to_owned())].into();
        let mut own = true;
        for (index, segment) in path.iter().enumerate() {
            let mut next = Meanings::new();
            for meaning in &at {
                let Meaning::Module(here) = meaning else {
                    // A variant, or an associated item.
                    next.insert(meaning.clone());
                    continue;
                };
                match segment.as_str() {
                    "crate" | "scx_lint" if index == 0 => {
                        next.insert(Meaning::Module("crate".to_owned()));
                    }
                    "self" => {
                        next.insert(meaning.clone());
                    }
                    "super" => {
                        let (parent, _) = here.rsplit_once("::").unwrap_or((here, ""));
                        next.insert(Meaning::Module(parent.to_owned()));
                    }
                    name => {
                        // A module sees what is private in those around it.
                        own = own && index == 0 || module == here || module.starts_with(&format!("{here}::"));
                        let found = self.lookup(here, name, own, &mut seen.clone());
                        if found.is_empty() && index > 0 {
                            // Made by a macro out of other names.
                            next.insert(Meaning::Item(self.modules[here].file.clone()));
                        }
                        next.extend(found);
                    }
                }
            }
            if index + 1 < path.len() && next.iter().any(|meaning| matches!(meaning, Meaning::Module(_))) {
                next.retain(|meaning| matches!(meaning, Meaning::Module(_)));
            }
            at = next;
        }
        at
    }

    /// Who imports whom.
    fn imports(&self) -> Imports {
        let mut all = Imports::new();
        for (name, module) in &self.modules {
            let out = all.entry(module.file.clone()).or_default();
            let mut add = |meaning: &Meaning, path: String| {
                let file = match meaning {
                    Meaning::Module(module) => &self.modules[module].file,
                    Meaning::Item(file) => file,
                };
                if *file != module.file {
                    out.entry(file.clone()).or_insert(path);
                }
            };
            for import in &module.uses {
                let glob = if import.name.is_none() { "::*" } else { "" };
                for meaning in self.resolve(name, &import.path, &mut BTreeSet::new()) {
                    if !(import.public && self.is_below(name, &import.path)) {
                        add(&meaning, format!("use {}{glob}", import.path.join("::")));
                    }
                }
            }
            for path in &module.paths {
                for meaning in self.resolve(name, path, &mut BTreeSet::new()) {
                    // One name alone is never a module in code: a variable has the same name.
                    if path.len() > 1 || matches!(meaning, Meaning::Item(_)) {
                        add(&meaning, path.join("::"));
                    }
                }
            }
            for call in &module.calls {
                if let Some(file) = self.macros.get(call) {
                    add(&Meaning::Item(file.clone()), format!("{call}!"));
                }
            }
        }
        all
    }

    /// Whether a path goes from a module into one of its own children: what a `mod.rs` hands on.
    fn is_below(&self, module: &str, path: &[String]) -> bool {
        let known = &self.modules[module];
        match path {
            [first, second, ..] if first == "self" => known.children.contains(second),
            [first, ..] => known.children.contains(first),
            [] => false,
        }
    }
}

type Meanings = BTreeSet<Meaning>;

/// Takes the names and paths of a module.
struct Reader {
    module: Module,
}

impl Reader {
    /// Notes what an item adds to the module's names.
    fn declare(&mut self, item: &syn::Item) {
        let name = match item {
            syn::Item::Const(item) => &item.ident,
            syn::Item::Enum(item) => &item.ident,
            syn::Item::Fn(item) => &item.sig.ident,
            syn::Item::Static(item) => &item.ident,
            syn::Item::Struct(item) => &item.ident,
            syn::Item::Trait(item) => &item.ident,
            syn::Item::Type(item) => &item.ident,
            syn::Item::Union(item) => &item.ident,
            syn::Item::Mod(item) => {
                self.module.children.insert(item.ident.to_string());
                return;
            }
            syn::Item::Macro(item) => return self.made(item.mac.tokens.clone()),
            _ => return,
        };
        self.module.items.insert(name.to_string());
    }

    /// Notes the names of items in what a macro is given or makes.
    fn made(&mut self, tokens: TokenStream) {
        let mut last = String::new();
        for token in tokens {
            match token {
                TokenTree::Group(group) => self.made(group.stream()),
                TokenTree::Ident(name) => {
                    let makes = ["const", "enum", "fn", "pub", "static", "struct", "trait", "type", "union"];
                    if makes.contains(&last.as_str()) {
                        self.module.items.insert(name.to_string());
                    }
                    last = name.to_string();
                }
                _ => last.clear(),
            }
        }
    }

    fn tree(&mut self, tree: &syn::UseTree, path: &mut Vec<String>, public: bool) {
        let mut add = |path: Vec<String>, name: Option<String>| {
            self.module.uses.push(Use { path, name, public });
        };
        match tree {
            syn::UseTree::Path(step) => {
                path.push(step.ident.to_string());
                self.tree(&step.tree, path, public);
                path.pop();
            }
            syn::UseTree::Group(group) => {
                group.items.iter().for_each(|tree| self.tree(tree, path, public));
            }
            syn::UseTree::Glob(_) => add(path.clone(), None),
            syn::UseTree::Name(last) if last.ident == "self" => add(path.clone(), path.last().cloned()),
            syn::UseTree::Name(last) => {
                let name = last.ident.to_string();
                add(path.iter().cloned().chain([name.clone()]).collect(), Some(name));
            }
            syn::UseTree::Rename(last) => {
                let end = (last.ident != "self").then(|| last.ident.to_string());
                add(path.iter().cloned().chain(end).collect(), Some(last.rename.to_string()));
            }
        }
    }

    /// Takes the paths out of what a macro is given.
    fn tokens(&mut self, tokens: TokenStream) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let is = |at: usize, wanted: char| matches!(tokens.get(at), Some(TokenTree::Punct(sign)) if sign.as_char() == wanted);
        let joined = |at: usize| {
            matches!(tokens.get(at), Some(TokenTree::Punct(sign)) if sign.as_char() == ':' && sign.spacing() == Spacing::Joint)
                && is(at + 1, ':')
        };
        let mut at = 0;
        while at < tokens.len() {
            match &tokens[at] {
                TokenTree::Group(group) => self.tokens(group.stream()),
                TokenTree::Ident(first) => {
                    let member = at > 0 && is(at - 1, '.') && !(at > 1 && is(at - 2, '.'));
                    let mut path = vec![first.to_string()];
                    while joined(at + 1)
                        && let Some(TokenTree::Ident(next)) = tokens.get(at + 3)
                    {
                        path.push(next.to_string());
                        at += 3;
                    }
                    let call = is(at + 1, '!')
                        && matches!(tokens.get(at + 2), Some(TokenTree::Group(group)) if group.delimiter() != Delimiter::None);
                    if call && path.len() == 1 {
                        self.module.calls.insert(path.remove(0));
                    } else if !member {
                        self.module.paths.insert(path);
                    }
                }
                _ => {}
            }
            at += 1;
        }
    }
}

impl Visit<'_> for Reader {
    fn visit_attribute(&mut self, _: &syn::Attribute) {}

    fn visit_vis_restricted(&mut self, _: &syn::VisRestricted) {}

    fn visit_item(&mut self, item: &syn::Item) {
        if !is_test(attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &syn::ItemUse) {
        let public = !matches!(item.vis, syn::Visibility::Inherited);
        self.tree(&item.tree, &mut Vec::new(), public);
    }

    fn visit_path(&mut self, path: &syn::Path) {
        if path.leading_colon.is_none() {
            self.module.paths.insert(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &syn::Macro) {
        match call.path.get_ident() {
            Some(name) => {
                self.module.calls.insert(name.to_string());
            }
            None => self.visit_path(&call.path),
        }
        self.tokens(call.tokens.clone());
    }
}

fn attributes(item: &syn::Item) -> &[syn::Attribute] {
    match item {
        syn::Item::Const(item) => &item.attrs,
        syn::Item::Enum(item) => &item.attrs,
        syn::Item::Fn(item) => &item.attrs,
        syn::Item::Impl(item) => &item.attrs,
        syn::Item::Mod(item) => &item.attrs,
        syn::Item::Static(item) => &item.attrs,
        syn::Item::Struct(item) => &item.attrs,
        syn::Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

/// Whether attributes keep an item to tests.
fn is_test(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let syn::Meta::List(list) = &attribute.meta else { return attribute.path().is_ident("test") };
        list.path.is_ident("cfg") && {
            let condition = list.tokens.to_string().replace(' ', "");
            condition == "test" || condition.starts_with("all(test,")
        }
    })
}

/// Groups of files that import each other, round about or directly.
fn circles(imports: &Imports) -> Vec<BTreeSet<String>> {
    let mut all: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for file in imports.keys() {
        let seen = all.entry(file).or_default();
        let mut open = vec![file.as_str()];
        while let Some(file) = open.pop() {
            let next = imports.get(file).into_iter().flat_map(|out| out.keys());
            open.extend(next.map(String::as_str).filter(|&next| seen.insert(next)));
        }
    }
    let mut found = BTreeSet::new();
    for (file, reached) in all.iter().filter(|(file, reached)| reached.contains(*file)) {
        let back = reached.iter().filter(|next| all.get(*next).is_some_and(|out| out.contains(file)));
        found.insert(back.map(|&next| next.to_owned()).collect::<BTreeSet<String>>());
    }
    found.into_iter().collect()
}

/// The floor of a file.
fn floor(file: &str) -> Option<usize> {
    let fits = |place: &str| {
        let rest = file.strip_prefix(place)?;
        (rest.is_empty() || rest == ".rs" || rest.starts_with('/')).then_some(place.len())
    };
    let floors = LADDER.iter().enumerate();
    let best = floors
        .filter_map(|(index, floor)| Some((floor.iter().filter_map(|place| fits(place)).max()?, index)));
    best.max().map(|(_, index)| index)
}

/// All that is wrong with a house, one line each; `still` are imports that are known and not followed.
fn troubles(sources: &Sources, still: &[(&str, &str)]) -> Vec<String> {
    let house = House::read(sources);
    let mut imports = house.imports();
    let mut out = Vec::new();
    let read: BTreeSet<&String> =
        house.modules.values().map(|module| &module.file).chain(&house.tests).collect();
    for file in sources.keys().filter(|file| !read.contains(file)) {
        out.push(format!("{file}: no module declares it"));
    }
    for (from, to) in still {
        if imports.get_mut(*from).and_then(|out| out.remove(*to)).is_none() {
            out.push(format!("{from} no longer imports {to}: take it off the list"));
        }
    }
    for (from, to, path) in
        imports.iter().flat_map(|(from, out)| out.iter().map(move |(to, path)| (from, to, path)))
    {
        match (floor(from), floor(to)) {
            (Some(mine), Some(theirs)) if mine < theirs => {
                out.push(format!("{from} imports {to}, which is above it: {path}"));
            }
            (None, _) => out.push(format!("{from}: on no floor of the ladder")),
            _ => {}
        }
    }
    for circle in circles(&imports) {
        out.push(format!("circle of {}", circle.iter().map(String::as_str).collect::<Vec<_>>().join(", ")));
        for from in &circle {
            for (to, path) in imports[from].iter().filter(|(to, _)| circle.contains(*to)) {
                out.push(format!("  {from} imports {to}: {path}"));
            }
        }
    }
    out
}

/// All sources below a folder, by path from it.
fn sources(folder: &Path, prefix: &str, out: &mut Sources) {
    for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap()) {
        let name = entry.file_name().into_string().unwrap();
        if entry.file_type().unwrap().is_dir() {
            sources(&entry.path(), &format!("{prefix}{name}/"), out);
        } else if name.ends_with(".rs") {
            out.insert(format!("{prefix}{name}"), fs::read_to_string(entry.path()).unwrap());
        }
    }
}

/// The troubles of a few files in memory.
fn seeded(files: &[(&str, &str)]) -> Vec<String> {
    let sources = files.iter().map(|(file, text)| ((*file).to_owned(), (*text).to_owned())).collect();
    troubles(&sources, &[])
}

#[test]
fn the_house_stands_on_its_floors_without_circles() {
    let mut all = Sources::new();
    sources(&root().join("src"), "", &mut all);
    assert!(all.len() > 200, "{} files", all.len());
    let found = troubles(&all, STILL);
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn a_circle_is_found_and_told() {
    let found = seeded(&[
        ("lib.rs", "mod elf;"),
        ("elf/mod.rs", "mod a; mod b; mod c; pub use a::A;"),
        ("elf/a.rs", "use super::b::B; pub struct A(B);"),
        ("elf/b.rs", "pub struct B; impl B { fn f() { crate::elf::c::f(); } }"),
        ("elf/c.rs", "pub fn f() { assert!(std::mem::size_of::<super::a::A>() > 0); }"),
    ]);
    let told = [
        "circle of elf/a.rs, elf/b.rs, elf/c.rs",
        "  elf/a.rs imports elf/b.rs: use super::b::B",
        "  elf/b.rs imports elf/c.rs: crate::elf::c::f",
        "  elf/c.rs imports elf/a.rs: super::a::A",
    ];
    assert_eq!(found, told);
}

#[test]
fn a_circle_behind_a_re_export_is_found() {
    for import in
        ["use crate::elf::B;", "use super::B;", "use crate::{elf::{self, B}};", "use super::Named as B;"]
    {
        let found = seeded(&[
            ("lib.rs", "pub mod elf;"),
            ("elf/mod.rs", "mod a; mod b; pub use a::A; pub use b::{B, B as Named};"),
            ("elf/a.rs", &format!("{import} pub struct A(B);")),
            ("elf/b.rs", "use super::A; pub struct B; fn f(_: A) {}"),
        ]);
        assert_eq!(found.first().map(String::as_str), Some("circle of elf/a.rs, elf/b.rs"), "{import}");
    }
}

#[test]
fn a_circle_behind_a_glob_is_found() {
    for (exported, import) in [
        ("pub use b::*;", "use super::B;"),
        ("pub use b::*;", "use super::*;"),
        ("pub(crate) use b::B;", "use crate::elf::*;"),
        ("pub use b::*;", "use crate::*; use crate::elf::B;"),
    ] {
        let found = seeded(&[
            ("lib.rs", "mod elf;"),
            ("elf/mod.rs", &format!("mod a; mod b; pub use a::*; {exported}")),
            ("elf/a.rs", &format!("{import} pub struct A(B);")),
            ("elf/b.rs", "use super::A; pub struct B; fn f(_: A) {}"),
        ]);
        assert!(found.contains(&"circle of elf/a.rs, elf/b.rs".to_owned()), "{exported} {import}: {found:?}");
    }
}

#[test]
fn a_parent_that_uses_what_it_hands_on_is_no_mere_door() {
    let child = ("elf/a.rs", "use super::Word; pub struct A(Word);");
    let door = "mod a; pub use a::A; pub struct Word;";
    assert!(seeded(&[("lib.rs", "mod elf;"), ("elf/mod.rs", door), child]).is_empty());
    for uses in
        ["fn f(_: A) {}", "use a::A as B;", "fn f() { a::g(); }", "fn f() { println!(\"\", a::g()); }"]
    {
        let text = format!("{door} {uses}");
        let found = seeded(&[("lib.rs", "mod elf;"), ("elf/mod.rs", &text), child]);
        assert_eq!(found.first().map(String::as_str), Some("circle of elf/a.rs, elf/mod.rs"), "{uses}");
    }
}

#[test]
fn an_import_that_goes_up_is_found() {
    let files = |text| {
        [
            ("lib.rs", "pub mod btf; pub mod object; pub mod insn;"),
            ("object/mod.rs", "mod map; pub use map::Map;"),
            ("object/map.rs", "pub struct Map(crate::insn::Insn);"),
            ("insn/mod.rs", "pub struct Insn;"),
            ("btf/mod.rs", text),
        ]
    };
    for text in ["use crate::object::Map;", "fn f() -> Option<crate::object::Map> { None }"] {
        let found = seeded(&files(text));
        let start = "btf/mod.rs imports object/map.rs, which is above it: ";
        assert!(found.len() == 1 && found[0].starts_with(start), "{found:?}");
    }
    assert!(seeded(&files("use crate::insn::Insn;")).is_empty());
    let found = seeded(&[("lib.rs", "mod attic;"), ("attic.rs", "use crate::f;")]);
    assert!(found.contains(&"attic.rs: on no floor of the ladder".to_owned()), "{found:?}");
}

#[test]
fn macros_are_imports_of_the_file_that_makes_them() {
    let found = seeded(&[
        ("lib.rs", "#[macro_use] mod rule; mod checks;"),
        ("rule.rs", "macro_rules! rule { () => { $crate::checks::f(); }; }"),
        ("checks/mod.rs", "pub fn f() { rule!(); }"),
    ]);
    assert_eq!(
        found,
        [
            "rule.rs imports checks/mod.rs, which is above it: crate::checks::f",
            "circle of checks/mod.rs, rule.rs",
            "  checks/mod.rs imports rule.rs: rule!",
            "  rule.rs imports checks/mod.rs: crate::checks::f",
        ]
    );
}

#[test]
fn what_is_no_import_is_none() {
    let found = seeded(&[
        ("lib.rs", "mod btf; mod object; #[cfg(test)] mod tests;"),
        ("tests.rs", "use crate::object::Map;"),
        (
            "btf/mod.rs",
            r#"//! See [`crate::object`].
            mod names;
            // use crate::object::Map;
            /// As [`crate::object::Map`].
            pub fn f(names: u8) -> String { format!("crate::object::Map {names}") }
            pub(in crate::btf) fn g() {}
            #[cfg(test)]
            mod tests { use crate::object::Map; }
            #[cfg(test)]
            use crate::object::Map;
            "#,
        ),
        ("btf/names.rs", "use super::f; fn g() -> String { f(1) }"),
        ("object/mod.rs", "pub struct Map; fn f() { crate::btf::f(1); }"),
    ]);
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn a_known_import_that_is_gone_and_a_lost_file_are_told() {
    let sources: Sources =
        [("lib.rs", ""), ("elf.rs", "")].map(|(file, text)| (file.into(), text.into())).into();
    assert_eq!(
        troubles(&sources, &[("elf.rs", "lib.rs")]),
        ["elf.rs: no module declares it", "elf.rs no longer imports lib.rs: take it off the list"]
    );
}
