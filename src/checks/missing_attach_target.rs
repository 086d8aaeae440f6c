//! `missing-attach-target`.

use super::context::Context;
use crate::errno::Errno;
use crate::finding::{Outcome, Site, Subject};
use crate::kernel::exceptions::Fact;
use crate::kernel::{Kernel, Lookup};
use crate::load::Loader;
use crate::object::{AttachTarget, FuncIdx, ProgramKind, SectionName};

rule! {
    /// A tracing program of the object names something to attach to that the kernel does not have.
    ///
    /// ## Why it matters
    /// libbpf looks the target of `fentry`, `fexit`, `fmod_ret`, `fsession`, `tp_btf`, `lsm` and `iter` programs up before it loads them; without it the
    /// whole object does not load, the scheduler included. Where the section names none (`SEC("fentry")`, and `freplace` in any case), the loader must
    /// set it: an error under `--loader plain`, else undecided. Programs for many functions (`fentry.multi`) are for kernels since 7.2.
    /// ## Example
    /// ```c
    /// SEC("fentry/no_such_function") int BPF_PROG(demo) { return 0; }
    /// ```
    /// ## Fix
    /// `SEC("?fentry/...")`, switched on by the loader where the target exists.
    /// ## Sources
    /// libbpf `libbpf_prepare_prog_load`, `libbpf_find_attach_btf_id`, `find_kernel_btf_id`; kernel `check_attach_btf_id` (7.2).
    pub MISSING_ATTACH_TARGET: "missing-attach-target", family: Program, level: Error, phase: Load, since: "0.1.0";
}

/// Why a program has no target by its section name alone, as libbpf says it: nothing is named, or a program of which only
/// the loader can say where it is.
fn unnamed(section: &str, program: &str) -> Option<String> {
    let SectionName { class, target } = SectionName::new(section);
    match (class, target) {
        ("freplace", Some(_)) => Some(format!("prog '{program}': attach program FD is not set")),
        (
            "fentry" | "fexit" | "fmod_ret" | "fsession" | "lsm" | "lsm_cgroup" | "iter" | "tp_btf"
            | "freplace",
            None,
        ) => Some(format!(
            "prog '{program}': no BTF-based attach target is specified, use bpf_program__set_attach_target()"
        )),
        _ => None,
    }
}

/// A program whose target only the loader can name. That it is there shows a loader that does, unless one is said to do nothing.
fn bare(cx: &Context<'_, '_>, program: FuncIdx, words: String, out: &mut Outcome) {
    let (function, subject) = (&cx.object[program], Subject::program(cx.object, program));
    let section = &function.section_name;
    if cx.options.loader != Some(Loader::Plain) {
        let reason = format!(
            "section '{section}' names no target: it loads where the loader sets one (bpf_program__set_attach_target), and then with that one"
        );
        out.undecided(&MISSING_ATTACH_TARGET, subject, reason);
        return;
    }
    let message = format!("section '{section}' of program '{}' names no target to load with", function.name);
    let help = if section.starts_with("freplace") {
        "let the loader set the program that it replaces a function of"
    } else {
        "name it: SEC(\"fentry/function\"), or let the loader set it"
    };
    out.found(&MISSING_ATTACH_TARGET, subject, message)
        .errno(Errno::EINVAL)
        .quote(words)
        .help(help)
        .at(Site::Function(program), "this program");
}

/// A program for many functions on a kernel that may not have them, or for functions of a module.
fn multi(cx: &Context<'_, '_>, kernel: &Kernel<'_>, program: FuncIdx, subject: Subject, out: &mut Outcome) {
    let function = &cx.object[program];
    let section = &function.section_name;
    let module = function.section().target.and_then(|pattern| pattern.split_once(':'));
    match (kernel.knows(Fact::TracingMulti), module) {
        (Lookup::Found(()), None) => {}
        (Lookup::Found(()), Some((module, _))) => {
            let reason = format!("attaches to functions of module '{module}', which must be loaded");
            out.undecided(&MISSING_ATTACH_TARGET, subject, reason);
        }
        (Lookup::Unknown(reason), _) => {
            out.undecided(&MISSING_ATTACH_TARGET, subject, reason);
        }
        (Lookup::Absent, _) => {
            let does = "attaches to many functions, which the kernel lets no program do";
            if cx.load.is_edited() {
                let reason = format!("{does}; the loader may leave it out");
                out.undecided(&MISSING_ATTACH_TARGET, subject, reason);
                return;
            }
            let message = format!("program '{}' {does}", function.name);
            let is_sleepable = function.entry.as_ref().is_some_and(|entry| entry.sleepable);
            let words =
                if is_sleepable { "can be sleepable" } else { "Tracing programs must provide btf_id" };
            out.found(&MISSING_ATTACH_TARGET, subject, message)
                .errno(Errno::EINVAL)
                .quote(words)
                .help(format!("SEC(\"?{section}\"), switched on by the loader where the kernel has them"))
                .at(Site::Function(program), "this program");
        }
    }
}

pub(super) fn check(cx: &Context<'_, '_>, out: &mut Outcome) {
    for (program, function, entry) in cx.loaded() {
        if entry.kind == ProgramKind::UNSPEC {
            continue;
        }
        let subject = Subject::program(cx.object, program);
        if let Some(words) = unnamed(&function.section_name, &function.name) {
            bare(cx, program, words, out);
            continue;
        }
        let Some(kernel) = cx.kernel else { continue };
        if function.section().is_multi() {
            multi(cx, kernel, program, subject, out);
            continue;
        }
        let Some(AttachTarget { module, name, kind }) = function.section().attach_target() else { continue };
        let of_module = module.map_or_else(String::new, |module| format!(" of module '{module}'"));
        match kernel.attach_target(module, &name, kind) {
            Lookup::Found(_) => {}
            Lookup::Unknown(reason) => {
                let reason = reason.within(|why| format!("attaches to '{name}'{of_module}, and {why}"));
                out.undecided(&MISSING_ATTACH_TARGET, subject, reason);
            }
            Lookup::Absent => {
                let short = function.section_name.rsplit('/').next().unwrap_or_default();
                let does = format!("attaches to '{name}'{of_module}, which the kernel lacks");
                if cx.load.is_edited() {
                    let reason = format!("{does}; the loader may leave it out");
                    out.undecided(&MISSING_ATTACH_TARGET, subject, reason);
                    continue;
                }
                let message = format!("program '{}' {does}", function.name);
                out.found(&MISSING_ATTACH_TARGET, subject, message)
                    .errno(Errno::ESRCH)
                    .quote(format!(
                        "prog '{}': failed to find kernel BTF type ID of '{short}': -ESRCH",
                        function.name
                    ))
                    .help(format!(
                        "SEC(\"?{}\"), switched on by the loader where the target exists",
                        function.section_name
                    ))
                    .at(Site::Function(program), "this program");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_sections_leave_the_target_to_the_loader() {
        let words = |section| unnamed(section, "x");
        for section in ["fentry", "fexit.s", "tp_btf.s", "lsm_cgroup", "iter", "freplace"] {
            assert!(words(section).is_some_and(|words| words.contains("set_attach_target")), "{section}");
        }
        assert!(words("freplace/f").is_some_and(|words| words.ends_with("FD is not set")));
        for section in ["fentry/do_exit", "fentry.multi", "kprobe", "tp", "raw_tp.s", "struct_ops", "usdt"] {
            assert_eq!(words(section), None, "{section}");
        }
    }
}
