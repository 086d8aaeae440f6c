//! `missing-attach-target`.

use super::Context;
use crate::btf::Kind;
use crate::errno::Errno;
use crate::finding::{Outcome, Site, Subject};
use crate::kernel::{Kernel, Lookup};
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

/// What a section name asks the kernel for: what libbpf looks up, and how.
fn target(section: &str) -> Option<(String, Kind)> {
    let (kind, name) = section.split_once('/')?;
    let function = |prefix: &str| Some((format!("{prefix}{name}"), Kind::Func));
    match kind.strip_suffix(".s").unwrap_or(kind) {
        "fentry" | "fexit" | "fmod_ret" | "fsession" => function(""),
        "lsm" | "lsm_cgroup" => function("bpf_lsm_"),
        "iter" => function("bpf_iter_"),
        "tp_btf" => Some((format!("btf_trace_{name}"), Kind::Typedef)),
        _ => None,
    }
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
    let message = format!("section '{}' of program '{}' names no target", function.section_name, function.name);
    if cx.edited {
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

fn exists(kernel: &Kernel<'_>, name: &str, kind: Kind) -> Lookup<()> {
    match kind {
        Kind::Func => kernel.function(name),
        _ => kernel.lookup(name, kind).map(|_| ()),
    }
}

pub(super) fn check(cx: &Context<'_, '_>, out: &mut Outcome) {
    let Some(kernel) = cx.kernel else { return };
    for (program, function, _) in cx.loaded() {
        let subject = Subject::program(cx.object, program);
        if is_bare(&function.section_name) {
            bare(cx, program, subject, out);
            continue;
        }
        let Some((name, kind)) = target(&function.section_name) else { continue };
        // `fentry/module:function` looks into one module.
        let (module, name) = match name.split_once(':') {
            Some(("vmlinux", name)) => (None, name.to_owned()),
            Some((module, name)) => (Some(module.to_owned()), name.to_owned()),
            None => (None, name),
        };
        match exists(kernel, &name, kind) {
            Lookup::Found(()) => {}
            _ if module.is_some() => out.undecided(
                &MISSING_ATTACH_TARGET,
                subject,
                format!("attaches to '{name}' of module '{}', whose types are not known", module.unwrap_or_default()),
            ),
            Lookup::Unknown(reason) => {
                out.undecided(&MISSING_ATTACH_TARGET, subject, format!("attaches to '{name}', and {reason}"));
            }
            Lookup::Absent => {
                let short = function.section_name.rsplit('/').next().unwrap_or_default();
                let message = format!("program '{}' attaches to '{name}', which the kernel lacks", function.name);
                if cx.edited {
                    out.undecided(&MISSING_ATTACH_TARGET, subject, format!("{message}; the loader may leave it out"));
                    continue;
                }
                out.found(&MISSING_ATTACH_TARGET, subject, message)
                    .errno(Errno::ESRCH)
                    .quote(format!("prog '{}': failed to find kernel BTF type ID of '{short}': -ESRCH", function.name))
                    .help(format!("SEC(\"?{}\"), switched on by the loader where the target exists", function.section_name))
                    .at(Site::Function(program), "this program");
            }
        }
    }
}
