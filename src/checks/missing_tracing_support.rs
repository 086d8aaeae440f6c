//! `missing-tracing-support`.

use super::context::Context;
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
    /// What the program does, in words: `is a program that traces`.
    does: String,
    phase: Phase,
    errno: Option<Errno>,
    quote: Option<String>,
}

/// What a program needs because of what it is.
fn need(kernel: &Kernel<'_>, function: &Function<'_>, entry: &Entry) -> Option<Need> {
    let kind = entry.kind.as_str();
    let section = &*function.section_name;
    let (program, target) = section.split_once('/').unwrap_or((section, ""));
    let program = program.strip_suffix(".s").unwrap_or(program);
    let traces = matches!(kind, "kprobe" | "tracepoint" | "perf_event" | "raw_tracepoint" | "tracing");
    if traces && kernel.knows(Fact::TracingHelpers) != Lookup::Found(()) {
        return Some(Need {
            fact: Fact::TracingHelpers,
            option: "CONFIG_BPF_EVENTS",
            does: "traces".to_owned(),
            phase: Phase::Load,
            errno: Some(Errno::EINVAL),
            quote: Some(format!("prog '{}': BPF program load failed: -EINVAL", function.name)),
        });
    }
    if kind == "tracing" && matches!(program, "fentry" | "fexit" | "fmod_ret" | "fsession") {
        return Some(Need {
            fact: Fact::FunctionTracer,
            option: "CONFIG_FUNCTION_TRACER",
            does: format!("attaches to function '{target}'"),
            phase: Phase::Attach,
            errno: (kernel.arch_or_usual() == Arch::X86_64).then_some(Errno::EBUSY),
            quote: Some(format!("prog '{}': failed to attach", function.name)),
        });
    }
    (kind == "tracepoint" && target.starts_with("syscalls/")).then(|| Need {
        fact: Fact::SyscallTracepoints,
        option: "CONFIG_FTRACE_SYSCALLS",
        does: format!("attaches to tracepoint '{target}'"),
        phase: Phase::Attach,
        errno: Some(Errno::ENOENT),
        quote: Some(format!(
            "prog '{}': failed to create tracepoint '{target}' perf event: -ENOENT",
            function.name
        )),
    })
}

pub(super) fn check(cx: &Context<'_, '_>, out: &mut Outcome) {
    let Some(kernel) = cx.kernel else { return };
    let mut lacking: Vec<Lacking> = Vec::new();
    for (program, function, entry) in cx.loaded() {
        match need(kernel, function, entry) {
            Some(need) => judge(cx, kernel, program, &need, out),
            None => calls(cx, kernel, program, &mut lacking, out),
        }
    }
    for helper in &lacking {
        tell(cx, helper, out);
    }
}

/// A program that cannot be what it is.
fn judge(cx: &Context<'_, '_>, kernel: &Kernel<'_>, program: FuncIdx, need: &Need, out: &mut Outcome) {
    let (name, subject) = (&cx.object[program].name, Subject::program(cx.object, program));
    let does = format!("{}, which the kernel cannot do without {}", need.does, need.option);
    match kernel.knows(need.fact) {
        Lookup::Found(()) => {}
        Lookup::Unknown(reason) => {
            let reason = reason
                .within(|why| format!("{}, for which the kernel needs {}; {why}", need.does, need.option));
            out.undecided_at(&MISSING_TRACING_SUPPORT, need.phase, subject, reason);
        }
        Lookup::Absent if cx.load.is_edited() => {
            let reason = format!("{does}; the loader may leave it out");
            out.undecided_at(&MISSING_TRACING_SUPPORT, need.phase, subject, reason);
        }
        Lookup::Absent => {
            let finding = out
                .found(&MISSING_TRACING_SUPPORT, subject, format!("program '{name}' {does}"))
                .phase(need.phase)
                .help("let the loader switch the program on where the kernel can: SEC(\"?...\")")
                .at(Site::Function(program), "this program");
            if let Some(errno) = need.errno {
                finding.errno(errno);
            }
            if let Some(quote) = &need.quote {
                finding.quote(quote.clone());
            }
        }
    }
}

/// A helper that the kernel lacks, and the programs that surely call it, with where.
struct Lacking {
    id: i32,
    calls: Vec<(FuncIdx, At)>,
}

/// A call to a helper that came with tracing.
fn calls(
    cx: &Context<'_, '_>,
    kernel: &Kernel<'_>,
    program: FuncIdx,
    lacking: &mut Vec<Lacking>,
    out: &mut Outcome,
) {
    let known = kernel.knows(Fact::TracingHelpers);
    if known == Lookup::Found(()) {
        return;
    }
    let subject = Subject::program(cx.object, program);
    let of_tracing = |_, op: Op| op.helper().is_some_and(helpers::is_of_tracing);
    let call = cx.walks_any(program, of_tracing);
    if let (Some(((code, at), _)), Lookup::Unknown(reason)) = (call.found(), &known) {
        let reason =
            reason.within(|why| format!("calls a helper that came with tracing (CONFIG_BPF_EVENTS); {why}"));
        let open = out.undecided(&MISSING_TRACING_SUPPORT, subject, reason);
        open.via(Site::Insn(*code, *at), program, "this call");
        return;
    }
    let what = |_: &_| "calls a helper that the kernel lacks (no CONFIG_BPF_EVENTS)".to_owned();
    let Some((at, op)) = call.or_undecided(out, &MISSING_TRACING_SUPPORT, subject, what) else { return };
    let Some(id) = op.helper() else { return };
    match lacking.iter_mut().find(|known| known.id == id) {
        Some(known) => known.calls.push((program, at)),
        None => lacking.push(Lacking { id, calls: vec![(program, at)] }),
    }
}

/// One cause is told once: the helper, about the program that is refused first, with the others that call it.
fn tell(cx: &Context<'_, '_>, lacking: &Lacking, out: &mut Outcome) {
    let id = lacking.id;
    let helper = helpers::get(id).map_or_else(String::new, helpers::Helper::full_name);
    let Some((&(first, _), others)) = lacking.calls.split_first() else { return };
    let name = |program: FuncIdx| format!("'{}'", cx.object[program].name);
    let others: Vec<String> = others.iter().map(|(program, _)| name(*program)).collect();
    let others = match &*others {
        [] => String::new(),
        [other] => format!(", and so does {other}"),
        others => format!(", and so do {}", others.join(", ")),
    };
    let message = format!(
        "program {} calls '{helper}', which a kernel without CONFIG_BPF_EVENTS lacks{others}",
        name(first)
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
