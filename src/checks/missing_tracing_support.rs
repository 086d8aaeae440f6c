//! `missing-tracing-support`.

use std::collections::HashSet;

use super::context::Context;
use super::shared::kernel_refuses::{self, Deed};
use super::shared::surely::Surely;
use crate::errno::Errno;
use crate::finding::{Outcome, Site, Stops, Subject};
use crate::insn::Op;
use crate::kernel::exceptions::Fact;
use crate::kernel::{Arch, Kernel, Lookup, helpers};
use crate::object::{Entry, FuncIdx, Function};
use crate::rule::Phase;
use crate::verifier::At;

rule! {
    /// A program needs the kernel's tracing, which its configuration leaves out.
    ///
    /// ## Why it matters
    /// Without CONFIG_BPF_EVENTS a kernel has no programs that trace (kprobes, tracepoints, fentry and the like), and none of the helpers that came
    /// with them, for callbacks neither: `bpf_printk` (`bpf_trace_printk`), `bpf_probe_read_kernel`, `bpf_get_current_task` and more. Without
    /// CONFIG_FUNCTION_TRACER fentry programs and their like load, and do not attach (EBUSY). Without CONFIG_FTRACE_SYSCALLS there is no tracepoint
    /// of `syscalls/`. An object with such a program does not load or attach as a whole. Distributions set all three.
    /// ## Fix
    /// `SEC("?tp/...")`, switched on by the loader where the kernel can; `bpf_core_read` of what a trusted pointer gives directly; `scx_bpf_error` and
    /// `scx_bpf_dump` in place of `bpf_printk`.
    /// ## Sources
    /// kernel include/linux/bpf_types.h, `bpf_base_func_proto`, kernel/trace/bpf_trace.c; `register_fentry`, x86 `bpf_arch_text_poke`.
    pub MISSING_TRACING_SUPPORT: "missing-tracing-support", family: Program, level: Error, phase: Load, since: "0.1.0";
}

/// Something that a program needs of the kernel's tracing.
struct Need {
    fact: Fact,
    option: &'static str,
    /// What such programs do, in words.
    does: &'static str,
    /// What this one does.
    label: String,
    phase: Phase,
    errno: Option<Errno>,
    quote: String,
}

/// What a program needs because of what it is.
fn need(kernel: &Kernel<'_>, function: &Function<'_>, entry: &Entry) -> Option<Need> {
    let kind = entry.kind.as_str();
    let (class, target) = (function.section().class, function.section().target.unwrap_or_default());
    let traces = matches!(kind, "kprobe" | "tracepoint" | "perf_event" | "raw_tracepoint" | "tracing");
    if traces && kernel.knows(Fact::TracingHelpers) != Lookup::Found(()) {
        return Some(Need {
            fact: Fact::TracingHelpers,
            option: "CONFIG_BPF_EVENTS",
            does: "traces",
            label: "this program".to_owned(),
            phase: Phase::Load,
            errno: Some(Errno::EINVAL),
            quote: format!("prog '{}': BPF program load failed: -EINVAL", function.name),
        });
    }
    if kind == "tracing" && matches!(class, "fentry" | "fexit" | "fmod_ret" | "fsession") {
        return Some(Need {
            fact: Fact::FunctionTracer,
            option: "CONFIG_FUNCTION_TRACER",
            does: "attaches to a function",
            label: format!("attaches to function '{target}'"),
            phase: Phase::Attach,
            errno: (kernel.arch_or_usual() == Arch::X86_64).then_some(Errno::EBUSY),
            quote: format!("prog '{}': failed to attach", function.name),
        });
    }
    (kind == "tracepoint" && target.starts_with("syscalls/")).then(|| Need {
        fact: Fact::SyscallTracepoints,
        option: "CONFIG_FTRACE_SYSCALLS",
        does: "attaches to a system call's tracepoint",
        label: format!("attaches to tracepoint '{target}'"),
        phase: Phase::Attach,
        errno: Some(Errno::ENOENT),
        quote: format!(
            "prog '{}': failed to create tracepoint '{target}' perf event: -ENOENT",
            function.name
        ),
    })
}

pub(super) fn check(cx: &Context<'_, '_>, out: &mut Outcome) {
    let Some(kernel) = cx.kernel else { return };
    let mut needs: Vec<Vec<(FuncIdx, Need)>> = Vec::new();
    let mut with_need = HashSet::new();
    for (program, function, entry) in cx.loaded() {
        let Some(need) = need(kernel, function, entry) else { continue };
        with_need.insert(program);
        match needs.iter_mut().find(|known| known[0].1.fact == need.fact) {
            Some(known) => known.push((program, need)),
            None => needs.push(vec![(program, need)]),
        }
    }
    for needs in &needs {
        judge(cx, kernel, needs, out);
    }
    let mut lacking: Vec<Lacking> = Vec::new();
    let deed = Deed {
        refused: "calls a helper that the kernel lacks (no CONFIG_BPF_EVENTS)",
        unknown: "calls a helper that came with tracing (CONFIG_BPF_EVENTS)",
    };
    let calls = |program| {
        let of_tracing = |_, op: Op| op.helper().is_some_and(helpers::is_of_tracing);
        if with_need.contains(&program) { Surely::No } else { cx.walks_any(program, of_tracing) }
    };
    let refuses = match kernel.knows(Fact::TracingHelpers) {
        Lookup::Found(()) => Lookup::Absent,
        Lookup::Absent => Lookup::Found(()),
        unknown => unknown,
    };
    for (program, at, op) in kernel_refuses::surely(cx, out, &MISSING_TRACING_SUPPORT, &refuses, &deed, calls)
    {
        let Some(id) = op.helper() else { continue };
        match lacking.iter_mut().find(|known| known.id == id) {
            Some(known) => known.calls.push((program, at)),
            None => lacking.push(Lacking { id, calls: vec![(program, at)] }),
        }
    }
    for helper in &lacking {
        tell(cx, helper, out);
    }
}

/// Programs that cannot be what they are, for one cause.
fn judge(cx: &Context<'_, '_>, kernel: &Kernel<'_>, needs: &[(FuncIdx, Need)], out: &mut Outcome) {
    let Some(((first, need), others)) = needs.split_first() else { return };
    let subject = Subject::program(cx.object, *first);
    let others = kernel_refuses::so_do(cx.object, others.iter().map(|(program, _)| *program));
    let does = format!("{}, which the kernel cannot do without {}{others}", need.does, need.option);
    let reason = match kernel.knows(need.fact) {
        Lookup::Found(()) => return,
        Lookup::Unknown(reason) => reason.within(|why| {
            format!("{}, for which the kernel needs {}{others}; {why}", need.does, need.option)
        }),
        Lookup::Absent if cx.load.is_edited() => format!("{does}; the loader may leave it out").into(),
        Lookup::Absent => {
            let name = &cx.object[*first].name;
            let finding = out
                .found(&MISSING_TRACING_SUPPORT, subject, format!("program '{name}' {does}"))
                .phase(need.phase)
                .quote(need.quote.clone())
                .help("let the loader switch the program on where the kernel can: SEC(\"?...\")");
            if let Some(errno) = need.errno {
                finding.errno(errno);
            }
            for (program, need) in needs {
                finding.at(Site::Function(*program), need.label.clone());
            }
            return;
        }
    };
    let question = out.undecided_at(&MISSING_TRACING_SUPPORT, need.phase, subject, reason);
    for (program, need) in needs {
        question.at(Site::Function(*program), need.label.clone());
    }
}

/// A helper that the kernel lacks, and the programs that surely call it, with where.
struct Lacking {
    id: i32,
    calls: Vec<(FuncIdx, At)>,
}

/// One cause is told once: the helper, about the program that is refused first, with the others that call it.
fn tell(cx: &Context<'_, '_>, lacking: &Lacking, out: &mut Outcome) {
    let id = lacking.id;
    let helper = helpers::get(id).map_or_else(String::new, helpers::Helper::full_name);
    let Some((&(first, _), others)) = lacking.calls.split_first() else { return };
    let others = kernel_refuses::so_do(cx.object, others.iter().map(|(program, _)| *program));
    let message = format!(
        "program '{}' calls '{helper}', which a kernel without CONFIG_BPF_EVENTS lacks{others}",
        cx.object[first].name
    );
    let finding = out
        .found(&MISSING_TRACING_SUPPORT, Subject::program(cx.object, first), message)
        .errno(Errno::EINVAL)
        .quote(format!("program of this type cannot use helper {helper}#{id}"))
        .help("leave the call out where the kernel cannot: behind a .rodata variable that the loader sets");
    finding.stops(Stops::Programs(lacking.calls.iter().map(|(program, _)| *program).collect()));
    for &(program, (code, at)) in &lacking.calls {
        finding.via(Site::Insn(code, at), program, "this call");
    }
}
