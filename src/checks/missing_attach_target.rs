//! `missing-attach-target`.

use super::context::Context;
use crate::btf::Kind;
use crate::errno::Errno;
use crate::finding::{Outcome, Site, Subject};
use crate::kernel::Lookup;
use crate::object::FuncIdx;

rule! {
    /// A tracing program of the object names something to attach to that the kernel does not have.
    ///
    /// ## Why it matters
    /// libbpf looks the target of `fentry`, `fexit`, `fmod_ret`, `tp_btf`, `lsm` and `iter` programs up before it loads them; without it the whole
    /// object does not load, the scheduler included.
    /// ## Example
    /// ```c
    /// SEC("fentry/no_such_function") int BPF_PROG(demo) { return 0; }
    /// ```
    /// ## Fix
    /// `SEC("?fentry/...")`, switched on by the loader where the target exists.
    /// ## Sources
    /// libbpf `libbpf_find_attach_btf_id`, `find_kernel_btf_id`.
    pub MISSING_ATTACH_TARGET: "missing-attach-target", family: Program, level: Error, phase: Load, since: "0.1.0";
}

/// What a section name asks the kernel for: the module where one is named (`fentry/module:function`), what libbpf looks
/// up, and how.
fn target(section: &str) -> Option<(Option<&str>, String, Kind)> {
    let (program, name) = section.split_once('/')?;
    let (prefix, kind) = match program.strip_suffix(".s").unwrap_or(program) {
        "fentry" | "fexit" | "fmod_ret" | "fsession" => ("", Kind::Func),
        "lsm" | "lsm_cgroup" => ("bpf_lsm_", Kind::Func),
        "iter" => ("bpf_iter_", Kind::Func),
        "tp_btf" => ("btf_trace_", Kind::Typedef),
        _ => return None,
    };
    let (module, name) = match name.split_once(':') {
        Some((module, name)) => (Some(module), name),
        None => (None, name),
    };
    Some((module, format!("{prefix}{name}"), kind))
}

/// A section name such as `fentry`, for a target that user space sets.
fn is_bare(section: &str) -> bool {
    matches!(
        section.strip_suffix(".s").unwrap_or(section),
        "fentry" | "fexit" | "fmod_ret" | "fsession" | "lsm" | "lsm_cgroup" | "iter" | "tp_btf"
    )
}

/// A program whose target nobody named.
fn bare(cx: &Context<'_, '_>, program: FuncIdx, subject: Subject, out: &mut Outcome) {
    let function = &cx.object[program];
    let message =
        format!("section '{}' of program '{}' names no target", function.section_name, function.name);
    if cx.load.is_edited() {
        out.undecided(&MISSING_ATTACH_TARGET, subject, format!("{message}; the loader may set one"));
        return;
    }
    out.found(&MISSING_ATTACH_TARGET, subject, message)
        .errno(Errno::EINVAL)
        .quote(format!(
            "prog '{}': no BTF-based attach target is specified, use bpf_program__set_attach_target()",
            function.name
        ))
        .help("name it: SEC(\"fentry/function\"), or let the loader set it")
        .at(Site::Function(program), "this program");
}

pub(super) fn check(cx: &Context<'_, '_>, out: &mut Outcome) {
    let Some(kernel) = cx.kernel else { return };
    for (program, function, _) in cx.loaded() {
        let subject = Subject::program(cx.object, program);
        if is_bare(&function.section_name) {
            bare(cx, program, subject, out);
            continue;
        }
        let Some((module, name, kind)) = target(&function.section_name) else { continue };
        let of_module = module.map_or_else(String::new, |module| format!(" of module '{module}'"));
        match kernel.attach_target(module, &name, kind) {
            Lookup::Found(_) => {}
            Lookup::Unknown(reason) => {
                let reason = reason.within(|why| format!("attaches to '{name}'{of_module}, and {why}"));
                out.undecided(&MISSING_ATTACH_TARGET, subject, reason);
            }
            Lookup::Absent => {
                let short = function.section_name.rsplit('/').next().unwrap_or_default();
                let message = format!(
                    "program '{}' attaches to '{name}'{of_module}, which the kernel lacks",
                    function.name
                );
                if cx.load.is_edited() {
                    out.undecided(
                        &MISSING_ATTACH_TARGET,
                        subject,
                        format!("{message}; the loader may leave it out"),
                    );
                    continue;
                }
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
    fn sections_name_functions_and_modules() {
        let function = |module, name: &str| Some((module, name.to_owned(), Kind::Func));
        assert_eq!(target("fentry/do_exit"), function(None, "do_exit"));
        assert_eq!(target("fexit.s/xfs:xfs_open"), function(Some("xfs"), "xfs_open"));
        // The prefix belongs to the function.
        assert_eq!(target("lsm/some:file_open"), function(Some("some"), "bpf_lsm_file_open"));
        assert_eq!(target("iter/task"), function(None, "bpf_iter_task"));
        assert_eq!(
            target("tp_btf/sched_switch"),
            Some((None, "btf_trace_sched_switch".to_owned(), Kind::Typedef))
        );
        assert_eq!(target("tp/sched/sched_switch"), None);
        assert_eq!(target("fentry"), None);
    }
}
