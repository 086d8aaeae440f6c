//! Every fixture on every kernel.

use std::collections::BTreeSet;

use libtest_mimic::{Failed, Trial};
use scx_lint::checks;
use scx_lint::live::observation::{AttachSeen, Came, Observation, code};
use scx_lint::object::{Form, Object};
use scx_lint::rule::{Level, Phase};
use serde_json::Value;

use super::kernels::Kernel;
use super::{check, differences, root, scx_lint};

/// One boot serves all fixtures that leave the kernel as it was.
pub fn trials(kernel: &Kernel) -> Vec<Trial> {
    let kernel = kernel.clone();
    vec![Trial::test(format!("fixtures_on_{}", kernel.name), move || run(&kernel))]
}

/// A fixture and what it says of itself.
struct Fixture {
    name: String,
    /// The phases at which a rule of level error expects a refusal, with the rule.
    refused: Vec<(Phase, String)>,
    /// It says what it expects of named releases, which the matrix of rules, fixtures and built-in kernels holds it to;
    /// here only the agreement of kernel and report counts.
    targeted: bool,
    has_cid: bool,
    has_scheduler: bool,
}

fn read(path: &std::path::Path) -> Option<Fixture> {
    let name = path.file_name()?.to_str()?.strip_suffix(".bpf.o")?.to_owned();
    let data = std::fs::read(path).ok()?;
    // What is no BPF object has nothing to ask a kernel.
    let object = Object::open(&data, &name).ok()?;
    let manifest = std::fs::read_to_string(root().join("fixtures/MANIFEST.toml")).ok()?;
    let entry = manifest.split("[[object]]").find(|entry| entry.contains(&format!("name = \"{name}\"\n")));
    let line = entry.and_then(|entry| entry.lines().find_map(|line| line.strip_prefix("expect = ")));
    let tags: BTreeSet<String> = match (line, &object.btf) {
        (Some(line), _) => serde_json::from_str(line).ok()?,
        (None, Some(btf)) => btf
            .decl_tags()
            .filter_map(|(_, _, text)| text.strip_prefix("expect:").map(str::to_owned))
            .collect(),
        (None, None) => BTreeSet::new(),
    };
    let refused = tags
        .iter()
        .filter(|tag| !tag.starts_with('!'))
        .filter_map(|tag| {
            let (rule, phase) = tag.split_once(':')?;
            // RULE@KERNEL is for the named kernel only; those are tested with kernel targets.
            let level = checks::find(rule.split('@').next()?)?.level;
            let phase = Phase::ALL.into_iter().find(|known| known.as_str() == phase)?;
            (level == Level::Error && !rule.contains('@')).then(|| (phase, rule.to_owned()))
        })
        .collect();
    Some(Fixture {
        name,
        refused,
        targeted: tags.iter().any(|tag| tag.contains('@')),
        has_cid: object.schedulers().any(|(_, ops)| ops.form() == Form::Cid),
        has_scheduler: object.schedulers().next().is_some(),
    })
}

fn run(kernel: &Kernel) -> Result<(), Failed> {
    let mut paths: Vec<_> = std::fs::read_dir(root().join("fixtures/obj/clang-19"))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "o"))
        // Those have tests of their own, with longer holds.
        .filter(|path| !path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("live__")))
        .collect();
    paths.sort();
    let fixtures: Vec<(Fixture, String)> =
        paths.iter().filter_map(|path| Some((read(path)?, path.to_str()?.to_owned()))).collect();
    let mut arguments =
        vec!["--vm", kernel.path.to_str().ok_or("the path is not UTF-8")?, "--timeout", "180s"];
    // One word of a scheduler's life is enough here; that the hold works is tested elsewhere.
    arguments.extend(["--hold", "100ms", "--workload", "off", "--format", "json", "--exit-zero"]);
    arguments.extend(fixtures.iter().map(|(_, path)| path.as_str()));
    let (code, out, err) = scx_lint(&arguments);
    let mut report: Value =
        serde_json::from_str(&out).map_err(|error| format!("exit {code}: {error}\n{err}"))?;
    let unseen = run_again(kernel, &fixtures, &mut report)?;
    let mut wrong = Vec::new();
    let mut enabled = 0;
    for (number, (fixture, _)) in fixtures.iter().enumerate() {
        let seen =
            report["live"].as_array().and_then(|live| live.iter().position(|seen| seen["object"] == number));
        let differs = seen.map(|at| differences(&report["live"]).swap_remove(at));
        let seen = seen.map(|at| report["live"][at].clone());
        let seen = seen.and_then(|seen| serde_json::from_value::<Observation>(seen).ok());
        let (Some(seen), Some(differs)) = (seen, differs) else {
            wrong.push(format!("{}: no observation", fixture.name));
            continue;
        };
        enabled += usize::from(seen.attach.iter().any(|attach| attach.ok));
        let mut complain = |words: String| {
            wrong.push(format!(
                "{}: {words}\n    seen: {}",
                fixture.name,
                serde_json::to_string(&seen).unwrap_or_default()
            ));
        };
        let excused = REFUSED_ANYWAY.iter().any(|(name, _)| *name == fixture.name);
        for difference in differs.iter().filter(|_| !excused) {
            complain(format!("differs: {difference}"));
        }
        judge(fixture, kernel, &seen, &report, &mut complain);
        if unseen.contains(&number) {
            complain("the report foresees an ejection, and none was seen under a workload".to_owned());
        }
    }
    check(enabled > 0 || fixtures.is_empty(), || format!("no fixture at all was enabled\n{err}"))?;
    println!("{}: {} fixtures, {enabled} of them enabled", kernel.name, fixtures.len());
    check(wrong.is_empty(), || wrong.join("\n"))?;
    arena_rule(kernel, &|name| {
        let number = fixtures.iter().position(|(fixture, _)| fixture.name == name)?;
        let seen = report["live"].as_array()?.iter().find(|seen| seen["object"] == number)?;
        serde_json::from_value(seen.clone()).ok()
    })
}

/// What only shows when callbacks run needs time and something to schedule: those fixtures take a second boot, whose
/// observations take the place of the first's. Returns those that were not ejected although the report foresees it.
fn run_again(
    kernel: &Kernel,
    fixtures: &[(Fixture, String)],
    report: &mut Value,
) -> Result<BTreeSet<usize>, Failed> {
    let fails_at_run = |verdict: &Value| verdict["run"] == "fail" && verdict["attach"] != "fail";
    let number = |value: &Value| value["object"].as_u64().map(|number| number as usize);
    // After an ejection the first boot has nothing more to show, and an oops is not asked for twice.
    let was_held = |number: usize| {
        let live = report["live"].as_array().into_iter().flatten();
        let mut seen =
            live.filter(|seen| seen["object"] == number).filter_map(|seen| seen["attach"].as_array());
        seen.any(|attach| attach.iter().any(|attach| attach["enabled"] == true && attach["ejected"] == false))
    };
    let again: BTreeSet<usize> = report["verdicts"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|verdict| fails_at_run(verdict))
        .filter_map(number)
        .filter(|&number| was_held(number))
        .collect();
    if again.is_empty() {
        return Ok(again);
    }
    let mut arguments =
        vec!["--vm", kernel.path.to_str().ok_or("the path is not UTF-8")?, "--timeout", "180s"];
    // The hold ends with the ejection.
    arguments.extend(["--hold", "10s", "--workload", "on", "--format", "json", "--exit-zero"]);
    arguments.extend(again.iter().map(|&number| fixtures[number].1.as_str()));
    let (code, out, err) = scx_lint(&arguments);
    let mut second: Value =
        serde_json::from_str(&out).map_err(|error| format!("exit {code}: {error}\n{err}"))?;
    let mut unseen = BTreeSet::new();
    for (index, &number) in again.iter().enumerate() {
        let live = second["live"].as_array_mut().into_iter().flatten();
        let Some(seen) = live.into_iter().find(|seen| seen["object"] == index) else { continue };
        let mut seen = seen.take();
        if seen["attach"].as_array().is_some_and(|all| all.iter().all(|attach| attach["ejected"] == false)) {
            unseen.insert(number);
        }
        seen["object"] = number.into();
        let first = report["live"].as_array_mut().into_iter().flatten();
        for place in first.filter(|first| first["object"] == number) {
            *place = seen.clone();
        }
    }
    Ok(unseen)
}

/// The rule that foresees an oops of the kernel, which panics over it in a guest.
const OOPS: &str = "arena-argument-as-kernel-pointer";

/// Fixtures that a rule must not fire on and that a kernel refuses all the same, for what no file shows; and the words.
const REFUSED_ANYWAY: [(&str, &str); 4] = [
    // Without a kernel it is open; those from 7.1 on refuse it.
    (
        "invalid-address-space-cast__branch",
        "addr_space_cast insn can only convert between address space 1 and 0",
    ),
    // The libbpf that is linked is too old.
    ("newer-libbpf__sleepable_tracepoint", "missing BPF prog type, check ELF section name"),
    // Its user space sets max_entries, and there is none here.
    ("invalid-map-definition__near_scx", "map 'table': failed to create: -EINVAL"),
    // Calls the highest helper with an argument of another type.
    ("unknown-helper__near_last", "R2 is of type task_struct but cgroup is expected"),
];

/// The fixture's own expectation on this kernel.
fn judge(
    fixture: &Fixture,
    kernel: &Kernel,
    seen: &Observation,
    report: &Value,
    complain: &mut dyn FnMut(String),
) {
    let found = report["findings"].as_array().into_iter().flatten();
    let foreseen =
        found.filter(|finding| finding["object"] == seen.object).any(|finding| finding["rule"] == OOPS);
    if let Some(failure) = &seen.failure
        // A config is not to be had for every image.
        && failure.code != code::NO_KCONFIG
        && !(foreseen && failure.code == code::PANIC)
    {
        complain(format!("{}: {}", failure.code, failure.message));
    }
    let fails = |phase| seen.came(phase, None) == Came::Fail;
    let refused: Vec<&(Phase, String)> = fixture
        .refused
        .iter()
        .filter(|(_, rule)| rule != "arena-not-always-mapped" || kernel.is_map_always())
        // The arena rule is for kernels that know the form; others refuse the type itself.
        .filter(|_| !fixture.has_cid || kernel.knows_cid())
        .collect();
    for (phase, rule) in &refused {
        let earlier = Phase::ALL.into_iter().any(|other| other <= *phase && fails(other));
        // An error while a scheduler is enabled sets off its end, which may come after the enabling.
        let late = *phase == Phase::Attach && seen.attach.iter().any(|attach| attach.ejected);
        if !earlier && !late {
            complain(format!("expects {rule} at {}, and got past it", phase.as_str()));
        }
        // Whatever the finding quotes of the kernel, the kernel said, if it came so far.
        let errors: BTreeSet<&str> = report["findings"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|finding| finding["object"] == seen.object && finding["level"] == "error")
            .filter_map(|finding| finding["rule"].as_str())
            .collect();
        // Of several errors it says only the first.
        if *phase == Phase::Attach && !seen.attach.is_empty() && errors.len() == 1 {
            let quotes = report["findings"].as_array().into_iter().flatten();
            let quote = quotes
                .filter(|finding| finding["object"] == seen.object && finding["rule"] == *rule)
                .find_map(|finding| finding["kernel_message"].as_str());
            let said = |attach: &AttachSeen| {
                let exit = attach.exit.as_ref().map(|exit| exit.message.as_str());
                attach
                    .kernel_log
                    .iter()
                    .map(String::as_str)
                    .chain(exit)
                    .any(|line| quote.is_some_and(|quote| line.contains(quote)))
            };
            if quote.is_some() && !seen.attach.iter().any(said) {
                complain(format!("the kernel did not say {quote:?}"));
            }
        }
    }
    let words = REFUSED_ANYWAY.iter().find(|(name, _)| *name == fixture.name).map(|(_, words)| *words);
    match words {
        Some(words) if kernel.is_map_always() => {
            let load = seen.phase(Phase::Load);
            let message = load.and_then(|load| load.diagnostic.as_ref()).map(|found| &found.message);
            let errno = seen.attach.first().and_then(|attach| attach.errno.as_ref());
            let mut said = load.into_iter().flat_map(|load| &load.messages).chain(message).chain(errno);
            if !said.any(|line| line.contains(words)) {
                complain(format!("expects {words:?}"));
            }
        }
        None if refused.is_empty()
            && !fixture.targeted
            // What makes these right is set by user space, and there is none here.
            && !fixture.name.ends_with("__near_scx")
            && kernel.is_map_always()
            && fixture.has_scheduler
            && !seen.is_ok() =>
        {
            complain("expects nothing wrong".to_owned());
        }
        _ => {}
    }
}

/// The rule that all this is about, on the kernel that has it and on one of those that do not.
fn arena_rule(kernel: &Kernel, seen: &dyn Fn(&str) -> Option<Observation>) -> Result<(), Failed> {
    let plain = seen("arena-not-always-mapped__plain").ok_or("plain was not seen")?;
    let flagged = seen("arena-not-always-mapped__near_set").ok_or("near_set was not seen")?;
    let missing = seen("missing-arena__no_arena").ok_or("no_arena was not seen")?;
    let dump = |seen: &Observation| serde_json::to_string_pretty(seen).unwrap_or_default();
    let refusal = |seen: &Observation, words: &str| -> Result<(), Failed> {
        let attach = seen.attach.first().ok_or_else(|| dump(seen))?;
        let told = attach.kernel_log.iter().any(|line| line == words);
        check(!attach.call_ok && attach.errno.as_deref() == Some("EINVAL") && told, || dump(seen))
    };
    if !kernel.knows_cid() {
        for seen in [&plain, &flagged, &missing] {
            let load = seen.phase(Phase::Load).ok_or_else(|| dump(seen))?;
            check(!load.ok && load.errno.as_deref() == Some("ESRCH"), || dump(seen))?;
        }
        return Ok(());
    }
    if kernel.is_map_always() {
        refusal(&missing, "sched_ext: cid-form scheduler must use a BPF arena map")?;
        refusal(&plain, "sched_ext: arena map requires BPF_F_ARENA_MAP_ALWAYS for cid-form")?;
        return check(flagged.is_ok() && flagged.attach.len() == 1, || dump(&flagged));
    }
    check(plain.is_ok() && plain.attach.len() == 1, || dump(&plain))?;
    let load = flagged.phase(Phase::Load).ok_or_else(|| dump(&flagged))?;
    let told = load.messages.iter().any(|line| line.contains("map 'arena': failed to create: -EINVAL"));
    check(!load.ok && told, || dump(&flagged))?;
    // No arena at all is refused by every kernel that knows the form.
    refusal(&missing, "sched_ext: cid-form scheduler must use a BPF arena map")
}
