//! The built-in releases and the tables about them, held against `tests/data/facts`.

use std::collections::BTreeSet;

use scx_lint::kernel::builtin::RELEASES;
use scx_lint::kernel::kfuncs::{self, Caller, Permission, must_sleep, permission};
use scx_lint::kernel::{Kernel, Lookup, OpsType, Target, cpu_name, target};
use scx_lint::object::Form;

use super::root;

#[path = "../../examples/kernel_facts/mod.rs"]
mod kernel_facts;

/// The struct_ops types of sched_ext.
const OPS: [(Form, &str); 2] = [(Form::Cpu, "sched_ext_ops"), (Form::Cid, "sched_ext_ops_cid")];

/// The rows of a table, a list of fields each.
fn rows(file: &str) -> Vec<Vec<String>> {
    let path = root().join("tests/data/facts").join(file);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let rows = text.lines().filter(|line| !line.starts_with('#'));
    rows.map(|line| line.split('\t').map(str::to_owned).collect()).collect()
}

fn built_in(release: &str) -> Target {
    target::load(release).unwrap().remove(0)
}

/// Where a release is in the list of those that are built in.
fn position(release: &str) -> usize {
    let at = RELEASES.iter().position(|known| known.name == release);
    at.unwrap_or_else(|| panic!("'{release}' is not built in"))
}

/// Does `7.1`, `6.12-7.0` or `7.1-`, which is 7.1 and all later releases, include a release.
fn includes(releases: &str, release: &str) -> bool {
    match releases.split_once('-') {
        None => releases == release,
        Some((first, "")) => position(first) <= position(release),
        Some((first, last)) => (position(first)..=position(last)).contains(&position(release)),
    }
}

#[test]
fn every_built_in_release_is_what_its_kernel_shows() {
    let mut wrong = Vec::new();
    for release in RELEASES {
        let target = built_in(release.name);
        let kernel = Kernel::new(&target).unwrap();
        let cut = target.cut.as_ref().unwrap().functions().unwrap();
        let got: BTreeSet<String> = kernel_facts::lines(kernel.btf(), &cut).into_iter().collect();
        let facts: BTreeSet<String> =
            rows(&format!("{}.tsv", release.name)).iter().map(|row| row.join("\t")).collect();
        assert!(facts.len() > 80, "{}: {} facts", release.name, facts.len());
        wrong.extend(facts.difference(&got).map(|line| format!("{}: not so: {line}", release.name)));
        wrong.extend(got.difference(&facts).map(|line| format!("{}: no fact: {line}", release.name)));
    }
    assert!(wrong.is_empty(), "scripts/builtin-kernels writes the facts\n{}", wrong.join("\n"));
}

/// A row of callers.tsv.
struct Callers<'r> {
    callbacks: &'r str,
    forms: &'r str,
    elsewhere: &'r str,
    programs: &'r str,
    sleeps: bool,
}

impl<'r> Callers<'r> {
    /// The row of a kfunc for a release.
    fn of(rows: &'r [Vec<String>], kfunc: &str, release: &str) -> Self {
        let own: Vec<_> = rows.iter().filter(|row| row[0] == kfunc && includes(&row[1], release)).collect();
        let [row] = own[..] else { panic!("callers.tsv: {} rows for {kfunc} on {release}", own.len()) };
        let [_, _, callbacks, forms, elsewhere, programs, sleeps] = &row[..] else { panic!("{row:?}") };
        Self { callbacks, forms, elsewhere, programs, sleeps: sleeps == "yes" }
    }

    /// May a callback call it, in a scheduler of the right form.
    fn include(&self, member: &str) -> bool {
        let name = cpu_name(member);
        let listed = |list: &str| {
            let mut words = list.split(' ');
            words.any(|word| word.strip_suffix('*').map_or(word == name, |start| name.starts_with(start)))
        };
        self.callbacks.strip_prefix("* but ").map_or_else(|| listed(self.callbacks), |list| !listed(list))
    }

    /// What becomes of a call, in one word.
    fn outcome(&self, form: Form, member: &str) -> &'r str {
        match (self.forms, form) {
            ("cpu", Form::Cid) => "cpu-only",
            ("cid", Form::Cpu) => self.elsewhere,
            _ if self.include(member) => "granted",
            _ => self.elsewhere,
        }
    }
}

fn word(permission: &Permission) -> &'static str {
    match permission {
        Permission::Granted => "granted",
        Permission::Refused => "refused",
        Permission::CpuOnly => "cpu-only",
        Permission::Ejected(_) => "ejected",
        Permission::Unknown(_) => "unknown",
    }
}

#[test]
fn kfuncs_may_be_called_from_where_the_facts_say() {
    let callers = rows("callers.tsv");
    let mut wrong = Vec::new();
    let mut calls = 0;
    for release in RELEASES {
        let target = built_in(release.name);
        let kernel = Kernel::new(&target).unwrap();
        let facts = rows(&format!("{}.tsv", release.name));
        let there = |kfunc: &str| facts.iter().any(|row| row[0] == "kfunc" && row[1] == kfunc);
        for row in callers.iter().filter(|row| !row[1].ends_with('-') && includes(&row[1], release.name)) {
            assert!(there(&row[0]), "callers.tsv: {} on {}", row[0], release.name);
        }
        for kfunc in kfuncs::names().filter(|kfunc| there(kfunc)) {
            let mut says = |what: String| wrong.push(format!("{} {kfunc}: {what}", release.name));
            let row = Callers::of(&callers, kfunc, release.name);
            if must_sleep(Some(&kernel), kfunc) != Some(row.sleeps) {
                says(format!("sleeps: {:?}", must_sleep(Some(&kernel), kfunc)));
            }
            for (form, ops) in OPS {
                let Lookup::Found(ops) = kernel.ops_type(ops) else { continue };
                for member in ops.members.iter().filter(|member| member.proto.is_some()) {
                    let got = permission(&kernel, kfunc, Caller::Op { form, member: member.name });
                    // A callback that may not sleep is refused for that alone.
                    let asleep = row.sleeps && member.may_sleep(&kernel) != Lookup::Found(true);
                    let expected = row.outcome(form, member.name);
                    if !asleep && word(&got) != expected {
                        says(format!("from {} of {form:?}: {got:?}, expected {expected}", member.name));
                    }
                    calls += 1;
                }
            }
            for (caller, name) in
                [(Caller::Syscall, "SYSCALL"), (Caller::Tracing, "TRACING"), (Caller::Other, "OTHER")]
            {
                let registered = row.programs.split(' ').any(|program| program == name);
                let expected = if registered { Permission::Granted } else { Permission::Refused };
                let got = permission(&kernel, kfunc, caller);
                if got != expected {
                    says(format!("from {caller:?}: {got:?}, expected {expected:?}"));
                }
            }
        }
    }
    assert!(calls > 20_000, "{calls} calls");
    assert!(wrong.is_empty(), "{} wrong\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn the_table_of_kfuncs_has_what_some_release_has_and_nothing_else() {
    let mut known: BTreeSet<String> = BTreeSet::new();
    for release in RELEASES {
        let facts = rows(&format!("{}.tsv", release.name));
        known.extend(facts.into_iter().filter(|row| row[0] == "kfunc").map(|row| row[1].clone()));
    }
    // A function that has a kfunc's name and is none.
    assert!(known.remove("__scx_bpf_now"));
    let table: BTreeSet<String> = kfuncs::names().map(str::to_owned).collect();
    let callers: BTreeSet<String> = rows("callers.tsv").into_iter().map(|row| row[0].clone()).collect();
    assert_eq!(table.symmetric_difference(&known).collect::<Vec<_>>(), [""; 0], "src/kernel/kfuncs/table.rs");
    assert_eq!(callers.symmetric_difference(&known).collect::<Vec<_>>(), [""; 0], "callers.tsv");
}

/// The argument whose name in a stub ends so.
fn marked(stub: &str, mark: &str) -> Option<usize> {
    stub.trim_matches(['(', ')']).split(", ").position(|name| name.ends_with(mark))
}

#[test]
fn ops_have_the_members_that_the_facts_say() {
    let callbacks = rows("callbacks.tsv");
    let mut wrong = Vec::new();
    for release in RELEASES {
        let target = built_in(release.name);
        let kernel = Kernel::new(&target).unwrap();
        let facts = rows(&format!("{}.tsv", release.name));
        let stub_of = |ops: &str, name: &str| {
            let row = facts.iter().find(|row| row[0] == "member" && row[1] == ops && row[2] == name);
            row.map(|row| row[6].as_str()).filter(|stub| *stub != "-")
        };
        for (_, type_name) in OPS {
            let own: Vec<_> = facts.iter().filter(|row| row[1] == type_name).collect();
            let ops = match kernel.ops_type(type_name) {
                Lookup::Found(ops) => ops,
                other => {
                    assert!(own.is_empty() && other == Lookup::Absent, "{} {type_name}", release.name);
                    continue;
                }
            };
            let mut says = |what: String| wrong.push(format!("{} {type_name}{what}", release.name));
            let head = own.iter().find(|row| row[0] == "struct").unwrap();
            let sizes = [ops.value_size.to_string(), ops.members.len().to_string()];
            if sizes[..] != head[3..] {
                says(format!(": {sizes:?}, expected {:?}", &head[3..]));
            }
            for row in own.iter().filter(|row| row[0] == "member") {
                let [_, _, name, index, _, ty, _] = &row[..] else { panic!("{row:?}") };
                let stub = stub_of(type_name, name).or_else(|| stub_of("sched_ext_ops", cpu_name(name)));
                let is = |what: &str| {
                    let mut own = callbacks.iter().filter(|row| row[0] == type_name && row[1] == *name);
                    own.any(|row| row[2] == what && includes(&row[3], release.name))
                };
                let expected = Expected { index, ty, stub, sleeps: is("sleeps"), stubless: is("stubless") };
                for what in member_differs(&kernel, &ops, name, &expected) {
                    says(format!(".{name}: {what}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong\n{}", wrong.len(), wrong.join("\n"));
}

/// What the facts say of a member.
struct Expected<'r> {
    index: &'r str,
    ty: &'r str,
    stub: Option<&'r str>,
    sleeps: bool,
    stubless: bool,
}

/// What a member of a built-in release is other than the facts say.
fn member_differs(
    kernel: &Kernel<'_>,
    ops: &OpsType<'_>,
    name: &str,
    expected: &Expected<'_>,
) -> Vec<String> {
    let Some(member) = ops.member(name) else { return vec!["missing".to_owned()] };
    let mut wrong = Vec::new();
    let mut hold = |what: &str, got: String, expected: String| {
        if got != expected {
            wrong.push(format!("{what} {got}, expected {expected}"));
        }
    };
    hold("index", member.index.to_string(), expected.index.to_owned());
    // A prototype is written with its arguments in parentheses.
    let params = expected.ty.rsplit_once(" (").map(|(_, params)| params.trim_end_matches(')'));
    hold("a callback", member.proto.is_some().to_string(), params.is_some().to_string());
    let Some(params) = params else { return wrong };
    let count = if params.is_empty() { 0 } else { params.split(", ").count() };
    hold("arguments", format!("{:?}", member.argument_count(kernel)), format!("{:?}", Some(count)));
    hold(
        "may sleep",
        format!("{:?}", member.may_sleep(kernel)),
        format!("{:?}", Lookup::Found(expected.sleeps)),
    );
    hold("stubless", member.stubless.to_string(), expected.stubless.to_string());
    let nullable = matches!(name, "dispatch" | "yield").then_some(1);
    hold("nullable", format!("{:?}", member.nullable_argument(kernel)), format!("{nullable:?}"));
    if let Some(stub) = expected.stub {
        hold("marked nullable", format!("{:?}", marked(stub, "__nullable")), format!("{nullable:?}"));
        let arena = marked(stub, "__arena");
        if !expected.stubless {
            hold("arena argument", format!("{:?}", member.arena_argument(kernel)), format!("{arena:?}"));
        }
    }
    wrong
}
