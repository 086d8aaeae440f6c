//! `sleepable-tracepoint`.

use super::context::Context;
use crate::btf::Kind;
use crate::errno::Errno;
use crate::finding::{Outcome, Site, Subject};
use crate::kernel::exceptions::Fact;
use crate::kernel::{Home, Kernel, Lookup};
use crate::object::SectionName;

rule! {
    /// A program that may sleep is for a tracepoint that lets none sleep.
    ///
    /// ## Why it matters
    /// Of the kernel's own tracepoints only `sys_enter` and `sys_exit` are passed where sleeping is allowed. The verifier refuses a sleepable `tp_btf`
    /// program for any other; kernels before 7.1 refuse all.
    /// ## Example
    /// ```c
    /// SEC("tp_btf.s/sched_switch") int BPF_PROG(demo) { return 0; }
    /// ```
    /// ## Fix
    /// `SEC("tp_btf/sched_switch")`, without helpers and kfuncs that sleep.
    /// ## Sources
    /// kernel `bpf_check_attach_target`, `can_be_sleepable` (7.3); guests of 6.12, 6.18 and 7.1 to 7.3.
    pub SLEEPABLE_TRACEPOINT: "sleepable-tracepoint", family: Program, level: Error, phase: Load, since: "0.1.0";
}

/// Tracepoints of vmlinux that may fault (`TRACE_EVENT_SYSCALL`).
const FAULTABLE: [&str; 2] = ["sys_enter", "sys_exit"];

pub(super) fn check(cx: &Context<'_, '_>, out: &mut Outcome) {
    let Some(kernel) = cx.kernel else { return };
    for (program, function, entry) in cx.loaded() {
        let SectionName { class, target: tracepoint } = function.section();
        let traces = matches!(class, "tp" | "tracepoint" | "raw_tp" | "raw_tracepoint" | "tp_btf");
        if !traces || !entry.sleepable {
            continue;
        }
        let subject = Subject::program(cx.object, program);
        // Others are held against their tracepoint when they are attached.
        let never = tracepoint.filter(|name| {
            class == "tp_btf"
                && !FAULTABLE.contains(name)
                && kernel.attach_target(None, &format!("btf_trace_{name}"), Kind::Typedef)
                    == Lookup::Found(Home::Vmlinux)
        });
        let Some(name) = never else {
            if kernel.knows(Fact::SleepableTracepoints) != Lookup::Found(()) {
                let reason = "whether this kernel lets programs on tracepoints sleep is not known";
                out.undecided(&SLEEPABLE_TRACEPOINT, subject, reason);
            }
            continue;
        };
        let does = format!("may sleep, and tracepoint '{name}' lets no program sleep");
        if cx.load.is_edited() {
            out.undecided(&SLEEPABLE_TRACEPOINT, subject, format!("{does}; the loader may leave it out"));
            continue;
        }
        let message = format!("program '{}' {does}", function.name);
        out.found(&SLEEPABLE_TRACEPOINT, subject, message)
            .errno(Errno::EINVAL)
            .quote(words(kernel, name))
            .help(format!("SEC(\"tp_btf/{name}\"), without what sleeps"))
            .at(Site::Function(program), "this program");
    }
}

/// What the verifier says: a kernel that lets none sleep does not look at the tracepoint.
fn words(kernel: &Kernel<'_>, name: &str) -> String {
    match kernel.knows(Fact::KfuncMask) {
        Lookup::Found(()) => "programs can be sleepable".to_owned(),
        _ => format!("Sleepable program cannot attach to non-faultable tracepoint {name}"),
    }
}
