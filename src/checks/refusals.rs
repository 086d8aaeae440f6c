//! What libbpf refuses when it opens the object; one rule for each cause.

use super::{Context, Rule};
use crate::finding::{Outcome, Site, Subject, SubjectKind};
use crate::object::{Cause, Item, Refusal};

rule! {
    /// The object has maps or an ops variable, and no `.BTF` section to describe them.
    ///
    /// ## Why it matters
    /// libbpf reads map definitions and ops variables out of BTF. Without it `bpf_object__open` fails with ENOENT.
    /// ## Fix
    /// Compile with `-g`; strip with `llvm-strip -g`, which keeps BTF, and not with `strip`.
    /// ## Sources
    /// libbpf `bpf_object__init_btf`.
    pub MISSING_BTF: "missing-btf", family: Object, level: Error, phase: Open, since: "0.1.0";
}

rule! {
    /// The `.BTF` or `.BTF.ext` section does not hold together.
    ///
    /// ## Why it matters
    /// libbpf refuses to open an object that needs types and whose types, variables or line records are corrupted.
    /// ## Fix
    /// Compile again; look for a tool that rewrote sections after the compiler (objcopy, a custom linker step).
    /// ## Sources
    /// libbpf `btf__new`, `btf_ext__new`, `btf_fixup_datasec` (which fails without printing a word).
    pub MALFORMED_BTF: "malformed-btf", family: Object, level: Error, phase: Open, since: "0.1.0";
}

rule! {
    /// Maps are declared the old way, in a section `maps`.
    ///
    /// ## Why it matters
    /// libbpf 1.0 dropped `struct bpf_map_def`; opening fails with EOPNOTSUPP.
    /// ## Fix
    /// Declare each map as an anonymous struct in `SEC(".maps")`.
    /// ## Sources
    /// libbpf `bpf_object__elf_collect`.
    pub LEGACY_MAPS: "legacy-maps", family: Object, level: Error, phase: Open, since: "0.1.0";
}

rule! {
    /// A function symbol that libbpf cannot take as a program.
    ///
    /// ## Why it matters
    /// Entry programs must be global, have a size in whole instructions, and lie inside their section.
    /// A `static` function with a `SEC()` of its own is refused with EOPNOTSUPP.
    /// ## Example
    /// ```c
    /// SEC("struct_ops/enqueue") static void demo_enqueue(unsigned long long *ctx) { }
    /// ```
    /// ## Fix
    /// Drop `static` from the program, or drop its `SEC()` if it is a subprogram.
    /// ## Sources
    /// libbpf `bpf_object__add_programs`, `bpf_object__init_prog`.
    pub REFUSED_SYMBOL: "refused-symbol", family: Object, level: Error, phase: Open, since: "0.1.0";
}

rule! {
    /// An instruction refers to something that libbpf cannot give it.
    ///
    /// ## Why it matters
    /// Code may refer to maps, global variables, externs and subprograms in `.text`. The address of an ops variable
    /// or of another entry program, or a call to one, is refused at open.
    /// ## Fix
    /// Move shared code into a function without `SEC()`; reach ops state through a map.
    /// ## Sources
    /// libbpf `bpf_program__record_reloc`.
    pub INVALID_RELOCATION: "invalid-relocation", family: Object, level: Error, phase: Open, since: "0.1.0";
}

rule! {
    /// An undefined symbol that is no kfunc, ksym or kconfig value.
    ///
    /// ## Why it matters
    /// libbpf resolves externs that carry `__ksym` or `__kconfig`. Any other undefined symbol fails the open.
    /// ## Fix
    /// Define it, link the object that defines it (`bpftool gen object`), or mark it `__ksym`.
    /// ## Sources
    /// libbpf `bpf_object__collect_externs`.
    pub UNRESOLVED_EXTERN: "unresolved-extern", family: Object, level: Error, phase: Open, since: "0.1.0";
}

rule! {
    /// Two arena maps are declared in one object.
    ///
    /// ## Why it matters
    /// libbpf takes one ARENA map per object, used or not; opening fails with EINVAL.
    /// ## Fix
    /// Keep one arena and carve it up, or split the object.
    /// ## Sources
    /// libbpf `bpf_object__init_user_btf_maps`.
    pub SEVERAL_ARENAS_IN_OBJECT: "several-arenas-in-object", family: Arena, level: Error, phase: Open, since: "0.1.0";
}

rule! {
    /// Global `__arena` variables, and no arena map to hold them.
    ///
    /// ## Why it matters
    /// Such variables live in section `.addr_space.1`, which libbpf places in the object's ARENA map.
    /// ## Fix
    /// Declare an ARENA map in `SEC(".maps")`.
    /// ## Sources
    /// libbpf `bpf_object__init_user_btf_maps`, `bpf_program__record_reloc`.
    pub ARENA_GLOBALS_WITHOUT_ARENA: "arena-globals-without-arena", family: Arena, level: Error, phase: Open, since: "0.1.0";
}

rule! {
    /// The global `__arena` variables do not fit into the arena.
    ///
    /// ## Why it matters
    /// `max_entries` of an arena counts pages; libbpf refuses globals that take more. Opening fails with E2BIG.
    /// ## Fix
    /// Raise `max_entries`.
    /// ## Sources
    /// libbpf `init_arena_map_data`.
    pub ARENA_GLOBALS_TOO_LARGE: "arena-globals-too-large", family: Arena, level: Error, phase: Open, since: "0.1.0";
}

rule! {
    /// An ops variable is initialised in a way that libbpf refuses.
    ///
    /// ## Why it matters
    /// A callback must be a program in a `struct_ops` section, and only function pointers of the ops type take one.
    /// ## Fix
    /// Give the program `SEC("struct_ops/NAME")`, or drop the initialiser of the member.
    /// ## Sources
    /// libbpf `init_struct_ops_maps`, `bpf_object__collect_st_ops_relos`.
    pub INVALID_STRUCT_OPS_MEMBER: "invalid-struct-ops-member", family: StructOps, level: Error, phase: Open, since: "0.1.0";
}

pub(super) fn check(cx: &Context<'_, '_>, out: &mut Outcome) {
    for refusal in &cx.object.refusals {
        let rule = rule_of(refusal.cause);
        let (subject, detail) = subject(cx, refusal);
        let message = match (refusal.text.is_empty(), detail) {
            (_, Some(detail)) => format!("libbpf refuses to open the object: {detail}"),
            (false, None) => format!("libbpf refuses to open the object: {}", refusal.text.trim_end_matches('.')),
            (true, None) => "libbpf refuses to open the object without a word".to_owned(),
        };
        let finding = out.found(rule, subject, message).errno(refusal.errno).help(help(refusal));
        if !refusal.text.is_empty() {
            finding.quote(refusal.text.clone());
        }
        if let Item::Insn(function, insn) = refusal.item {
            finding.at(Site::Insn(function, insn), "this reference");
        }
        if refusal.cause == Cause::SeveralArenas {
            for arena in cx.object.arenas() {
                finding.at(Site::Map(arena), "an arena is declared here");
            }
        }
    }
}

fn rule_of(cause: Cause) -> &'static Rule {
    match cause {
        Cause::MissingBtf => &MISSING_BTF,
        Cause::MalformedBtf => &MALFORMED_BTF,
        Cause::LegacyMaps => &LEGACY_MAPS,
        Cause::Symbol => &REFUSED_SYMBOL,
        Cause::Extern => &UNRESOLVED_EXTERN,
        Cause::MapDefinition => &super::map_definition::INVALID_MAP_DEFINITION,
        Cause::SeveralArenas => &SEVERAL_ARENAS_IN_OBJECT,
        Cause::ArenaGlobalsWithoutArena => &ARENA_GLOBALS_WITHOUT_ARENA,
        Cause::ArenaGlobalsTooLarge => &ARENA_GLOBALS_TOO_LARGE,
        Cause::StructOps => &INVALID_STRUCT_OPS_MEMBER,
        Cause::Relocation => &INVALID_RELOCATION,
    }
}

/// What a refusal is about, and our own words for it where libbpf's say too little.
fn subject(cx: &Context<'_, '_>, refusal: &Refusal) -> (Subject, Option<String>) {
    let named = |kind, name: &str| Subject { kind, name: name.to_owned() };
    match &refusal.item {
        Item::Object => (Subject::object(cx.object), None),
        Item::Section(text) if matches!(refusal.cause, Cause::MissingBtf | Cause::MalformedBtf) => {
            (Subject::section(".BTF"), Some(text.clone()))
        }
        Item::Section(name) => (Subject::section(name), None),
        Item::Symbol(name) => (named(SubjectKind::Program, name), None),
        Item::Map(name) => (named(SubjectKind::Map, name), None),
        Item::Insn(function, _) => (Subject::program(cx.object, *function), None),
        Item::Extern(name) => (Subject::external(name), None),
        Item::Member(ops, member) if member.is_empty() => (named(SubjectKind::StructOps, ops), None),
        Item::Member(ops, member) => (named(SubjectKind::Member, &format!("{ops}.{member}")), None),
    }
}

fn help(refusal: &Refusal) -> &'static str {
    match refusal.cause {
        Cause::MissingBtf => "compile with -g, and strip with 'llvm-strip -g', which keeps BTF",
        Cause::MalformedBtf => "compile again with a current clang and leave .BTF and .BTF.ext as they come out",
        Cause::LegacyMaps => "declare each map as an anonymous struct in SEC(\".maps\")",
        Cause::Symbol => "programs must be global functions: drop 'static', or drop SEC() if it is a subprogram",
        Cause::Extern => "define the symbol, link the object that does, or mark it __ksym or __kconfig",
        Cause::MapDefinition => "correct the definition in SEC(\".maps\"); see 'scx-lint explain invalid-map-definition'",
        Cause::SeveralArenas => "keep one ARENA map per object",
        Cause::ArenaGlobalsWithoutArena => "declare an ARENA map in SEC(\".maps\") to hold the __arena variables",
        Cause::ArenaGlobalsTooLarge => "raise max_entries of the arena: it counts pages",
        Cause::StructOps => "callbacks must be programs in SEC(\"struct_ops/...\"), set on function pointer members only",
        Cause::Relocation => "code may refer to maps, global variables, externs and functions without SEC() only",
    }
}
