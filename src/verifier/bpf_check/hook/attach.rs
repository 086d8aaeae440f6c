//! What tracing and LSM programs attach to (`check_attach_btf_id`, `bpf_check_attach_target`).

use super::lists;
use super::{Hook, KernelPrototype, KnownArgument, KnownKind, Program};
use crate::btf::{Btf, Kind, TypeId};
use crate::kernel::exceptions::Fact;
use crate::kernel::{Arch, Home, Kernel, Lookup, USUAL_ARCH};
use crate::load::Load;
use crate::object::{AttachTarget, FuncIdx, SectionName};
use crate::verifier::bpf_check::names::kind_word;
use crate::verifier::bpf_check::refusal::{Step, Stop, Why};
use crate::verifier::bpf_check::reg::{BtfOf, Flags, TypeRef};
use crate::verifier::bpf_check::rules::{Era, Rules};

/// Most arguments of a function that is traced (`MAX_BPF_FUNC_ARGS`).
const MAX_ARGUMENTS: usize = 12;

/// Holds a program against what it attaches to, and notes that.
pub(super) fn check(
    load: &Load<'_, '_>,
    kernel: &Kernel<'_>,
    rules: &Rules,
    program: FuncIdx,
    hook: &mut Hook,
) -> Step {
    if hook.sleepable && hook.program != Program::Syscall {
        can_be_sleepable(kernel, rules, hook.program)?;
    }
    if !hook.program.is_tracing() && !hook.program.is_lsm() {
        return Ok(());
    }
    if hook.program == Program::Fsession && !rules.since(Era::V7_0) {
        return Err(Stop::unmodelled("programs for entry and return before 7.0"));
    }
    let (home, id) = target(kernel, rules, hook.program, load.object[program].section())?;
    hook.target = Some((home, id));
    let btf = kernel.btf_of(home);
    let Some(ty) = btf.get(id) else { return Err(Stop::unmodelled("the target's type is not known")) };
    let name = btf.name(&ty);
    match hook.program {
        Program::TpBtf => tracepoint(&btf, home, name, ty.target(), hook),
        Program::Iter => {
            hook.name = name.to_owned();
            hook.prototype = Some(prototype(kernel, &btf, home, name, ty.target())?);
            distill(&btf, hook)?;
            iterator(&btf, hook)
        }
        _ => function(kernel, rules, &btf, home, name, ty.target(), hook),
    }
}

/// A program of that kind may sleep (`can_be_sleepable`).
fn can_be_sleepable(kernel: &Kernel<'_>, rules: &Rules, program: Program) -> Step {
    let refused = || {
        let message = if rules.since(Era::V7_1) {
            "Program of this type cannot be sleepable"
        } else {
            "Only fentry/fexit/fmod_ret, lsm, iter, uprobe, and struct_ops programs can be sleepable"
        };
        Err(Stop::einval(Why::Attach, message))
    };
    match program {
        Program::Fentry | Program::Fexit | Program::ModifyReturn | Program::Iter | Program::Fsession => {
            Ok(())
        }
        Program::Lsm | Program::Kprobe { .. } | Program::Syscall | Program::StructOps(_) => Ok(()),
        Program::TpBtf if rules.since(Era::V7_1) => Ok(()),
        Program::FentryMulti | Program::FexitMulti | Program::FsessionMulti if rules.since(Era::V7_2) => {
            Ok(())
        }
        Program::Tracepoint | Program::RawTracepoint if rules.since(Era::V7_1) => {
            match kernel.knows(Fact::SleepableTracepoints) {
                Lookup::Found(()) => Ok(()),
                _ => Err(Stop::unmodelled("whether programs on tracepoints may sleep")),
            }
        }
        Program::TpBtf | Program::Tracepoint | Program::RawTracepoint if rules.since(Era::V7_0) => {
            Err(Stop::unmodelled("whether programs on tracepoints may sleep"))
        }
        _ => refused(),
    }
}

/// What a section names, as libbpf looks it up (`find_kernel_btf_id`).
fn target(
    kernel: &Kernel<'_>,
    rules: &Rules,
    program: Program,
    section: SectionName<'_>,
) -> Step<(Home, TypeId)> {
    if program.is_multi() {
        if !rules.since(Era::V7_2) {
            return Err(Stop::einval(Why::Attach, "Tracing programs must provide btf_id"));
        }
        return match kernel.find("bpf_multi_func", Kind::Func) {
            Some(id) => Ok((Home::Vmlinux, id)),
            None => Err(Stop::unmodelled("the prototype of bpf_multi_func is not known")),
        };
    }
    let Some(AttachTarget { module, name, kind }) = section.attach_target() else {
        return Err(Stop::unmodelled("what the program attaches to is not said"));
    };
    match kernel.attach_target(module, &name, kind) {
        Lookup::Found(home) => match kernel.btf_of(home).names().find(&name, kind) {
            Some(id) => Ok((home, id)),
            None => Err(Stop::unmodelled(format!("the prototype of {name} is not known"))),
        },
        Lookup::Absent => Err(Stop::unmodelled(format!("there is no {name} to attach to"))),
        Lookup::Unknown(reason) => Err(Stop::Unknown(reason)),
    }
}

/// The prototype of a FUNC.
fn prototype(
    kernel: &Kernel<'_>,
    btf: &Btf<'_>,
    home: Home,
    name: &str,
    proto: TypeId,
) -> Step<KernelPrototype> {
    if btf.get(proto).and_then(|ty| ty.func_proto()).is_none() {
        return Err(Stop::unmodelled(format!("the prototype of {name} is not known")));
    }
    // A kfunc whose last arguments the kernel fills in is called with those of its twin.
    if kernel.find(&format!("{name}_impl"), Kind::Func).is_some() {
        return Err(Stop::unmodelled(format!("what {name} is called with")));
    }
    Ok(KernelPrototype { home, id: proto })
}

/// A tracepoint by its `btf_trace_` typedef.
fn tracepoint(btf: &Btf<'_>, home: Home, name: &str, pointer: TypeId, hook: &mut Hook) -> Step {
    let event = name.strip_prefix("btf_trace_").unwrap_or(name);
    event.clone_into(&mut hook.name);
    if hook.sleepable && !matches!(event, "sys_enter" | "sys_exit") {
        if home != Home::Vmlinux {
            return Err(Stop::unmodelled("whether programs on a module's tracepoint may sleep"));
        }
        let message = format!("Sleepable program cannot attach to non-faultable tracepoint {event}");
        return Err(Stop::einval(Why::Attach, message));
    }
    // The template has names for its arguments, the typedef has not; their types are the same.
    let template = btf.names().find(&format!("__bpf_trace_{event}"), Kind::Func);
    let template = template.and_then(|id| btf.get(id)).map(|ty| ty.target());
    let of_typedef = btf.get(pointer).filter(|ty| ty.kind() == Kind::Ptr).map(|ty| ty.target());
    let Some(id) = template.or(of_typedef) else {
        return Err(Stop::unmodelled(format!("the prototype of {name} is not known")));
    };
    if btf.get(id).and_then(|ty| ty.func_proto()).is_none() {
        return Err(Stop::unmodelled(format!("the prototype of {name} is not known")));
    }
    hook.prototype = Some(KernelPrototype { home, id });
    Ok(())
}

/// What a function's prototype must be like for a trampoline (`btf_distill_func_proto`).
fn distill(btf: &Btf<'_>, hook: &Hook) -> Step {
    let name = &hook.name;
    let refused = |message| Err(Stop::einval(Why::Attach, message));
    let Some(proto) = hook.prototype.and_then(|proto| btf.get(proto.id)?.func_proto()) else { return Ok(()) };
    let count = proto.params().len();
    if count > MAX_ARGUMENTS {
        return refused(format!("The function {name} has {count} arguments. Too many."));
    }
    let size = |id: TypeId| {
        let (_, ty) = btf.resolve(id)?;
        let size = match ty.kind() {
            Kind::Void => 0,
            Kind::Ptr => 8,
            Kind::Int | Kind::Enum | Kind::Enum64 | Kind::Struct | Kind::Union => ty.size(),
            other => return Some(Err(kind_word(other))),
        };
        Some(Ok((size, ty.kind())))
    };
    let unsupported = match size(proto.ret()) {
        None => return Ok(()),
        Some(Err(word)) => Some(word),
        Some(Ok((_, kind @ (Kind::Struct | Kind::Union)))) => Some(kind_word(kind)),
        Some(Ok(_)) => None,
    };
    if let Some(word) = unsupported {
        return refused(format!("The function {name} return type {word} is unsupported."));
    }
    for (number, param) in proto.params().enumerate() {
        if number + 1 == count && param.ty == TypeId::VOID {
            return refused(format!("The function {name} with variable args is unsupported."));
        }
        match size(param.ty) {
            None => return Ok(()),
            Some(Err(word)) => {
                return refused(format!("The function {name} arg{number} type {word} is unsupported."));
            }
            Some(Ok((size, kind))) if size > 16 => {
                let word = kind_word(kind);
                return refused(format!("The function {name} arg{number} type {word} is unsupported."));
            }
            Some(Ok((0, _))) => {
                return refused(format!("The function {name} has malformed void argument."));
            }
            Some(Ok(_)) => {}
        }
    }
    Ok(())
}

/// A function that is traced, or a hook of the LSM.
fn function(
    kernel: &Kernel<'_>,
    rules: &Rules,
    btf: &Btf<'_>,
    home: Home,
    name: &str,
    proto: TypeId,
    hook: &mut Hook,
) -> Step {
    name.clone_into(&mut hook.name);
    hook.prototype = Some(prototype(kernel, btf, home, name, proto)?);
    distill(btf, hook)?;
    let program = hook.program;
    if hook.sleepable {
        match may_sleep(kernel, rules, program, home, name)? {
            true => {}
            false => return Err(Stop::einval(Why::Attach, format!("{name} is not sleepable"))),
        }
    } else if program == Program::ModifyReturn && !may_modify(kernel, rules, home, name)? {
        return Err(Stop::einval(Why::Attach, format!("{name}() is not modifiable")));
    }
    if program.is_lsm() {
        return lsm(rules, hook);
    }
    deny(kernel, rules, program, name)
}

/// A function of the kernel that programs may sleep in (`btf_id_allow_sleepable`).
fn may_sleep(kernel: &Kernel<'_>, rules: &Rules, program: Program, home: Home, name: &str) -> Step<bool> {
    if program.is_lsm() {
        return lists::sleepable_lsm_hook(name, rules)
            .ok_or_else(|| Stop::unmodelled(format!("whether {name} may sleep")));
    }
    if program.is_multi() || lists::MODIFIABLE.contains(&(name, true)) {
        return Ok(true);
    }
    if home != Home::Vmlinux {
        return Err(Stop::unmodelled("functions of modules that may sleep"));
    }
    takes_errors(kernel, rules, name)
}

/// The result of a function may be changed (`check_attach_modify_return`).
fn may_modify(kernel: &Kernel<'_>, rules: &Rules, home: Home, name: &str) -> Step<bool> {
    if name.starts_with("security_") || lists::MODIFIABLE.iter().any(|(known, _)| *known == name) {
        return Ok(true);
    }
    if home != Home::Vmlinux {
        return Err(Stop::unmodelled("functions of modules that may be modified"));
    }
    if name == "update_socket_protocol" {
        // MPTCP lets it be modified.
        return match kernel.function("bpf_mptcp_sock_from_subflow") {
            Lookup::Found(()) => Ok(true),
            Lookup::Absent => Ok(false),
            Lookup::Unknown(reason) => Err(Stop::Unknown(reason)),
        };
    }
    takes_errors(kernel, rules, name)
}

/// Errors may be injected in a function (`within_error_injection_list`), and so programs on it may sleep and change its result. Since 7.1
/// that holds of system calls without the list, too.
fn takes_errors(kernel: &Kernel<'_>, rules: &Rules, name: &str) -> Step<bool> {
    let is_syscall = name.starts_with(syscall_prefix(kernel)?);
    match kernel.function("within_error_injection_list") {
        // Every system call is on that list.
        Lookup::Found(()) if is_syscall => Ok(true),
        Lookup::Found(()) => Err(Stop::unmodelled(format!("whether errors may be injected in {name}"))),
        Lookup::Absent if is_syscall && rules.since(Era::V7_0) && !rules.since(Era::V7_1) => {
            Err(Stop::unmodelled("what programs on system calls may do"))
        }
        Lookup::Absent => Ok(is_syscall && rules.since(Era::V7_1)),
        Lookup::Unknown(reason) => Err(Stop::Unknown(reason)),
    }
}

/// What the names of system calls begin with.
fn syscall_prefix(kernel: &Kernel<'_>) -> Step<&'static str> {
    match kernel.arch().found().unwrap_or(USUAL_ARCH) {
        Arch::X86_64 => Ok("__x64_"),
        _ => Err(Stop::unmodelled("system calls of this machine")),
    }
}

/// A hook of the LSM (`bpf_lsm_verify_prog`).
fn lsm(rules: &Rules, hook: &Hook) -> Step {
    let name = &hook.name;
    let id = hook.target.map_or(0, |(_, id)| id.0);
    if !hook.gpl_compatible {
        return Err(Stop::einval(Why::License, "LSM programs must have a GPL compatible license"));
    }
    match lists::disabled_lsm_hook(name, rules) {
        None => return Err(Stop::unmodelled(format!("whether {name} is disabled"))),
        Some(true) => {
            let message = format!("attach_btf_id {id} points to disabled hook {name}");
            return Err(Stop::einval(Why::Attach, message));
        }
        Some(false) => {}
    }
    if lists::NO_LSM_HOOKS.contains(&name.as_str()) {
        let message = format!("attach_btf_id {id} points to wrong type name {name}");
        return Err(Stop::einval(Why::Attach, message));
    }
    Ok(())
}

/// Functions that are never traced, or not for what they return.
fn deny(kernel: &Kernel<'_>, rules: &Rules, program: Program, name: &str) -> Step {
    let says_name = rules.since(Era::V6_18);
    if lists::UNTRACEABLE.contains(&name) {
        // Most of them are so in some configurations only.
        let always = matches!(name, "migrate_disable" | "migrate_enable");
        let preemptible = || kernel.config.told_set("CONFIG_PREEMPT_RCU") == Some(Lookup::Found(()));
        let is_rcu = matches!(name, "__rcu_read_lock" | "__rcu_read_unlock");
        if !(always || is_rcu && preemptible()) {
            return Err(Stop::unmodelled(format!("whether {name} may be traced")));
        }
        let message = match says_name {
            true => format!("Attaching tracing programs to function '{name}' is rejected."),
            false => String::new(),
        };
        return Err(Stop::einval(Why::Attach, message));
    }
    let after = matches!(
        program,
        Program::Fexit | Program::Fsession | Program::FsessionMulti | Program::ModifyReturn
    );
    if after && lists::NO_RETURN.contains(&name) {
        let message = if rules.since(Era::V7_0) {
            format!("Attaching fexit/fsession/fmod_ret to __noreturn function '{name}' is rejected.")
        } else if says_name {
            format!("Attaching fexit/fmod_ret to __noreturn function '{name}' is rejected.")
        } else {
            "Attaching fexit/fmod_ret to __noreturn functions is rejected.".to_owned()
        };
        return Err(Stop::einval(Why::Attach, message));
    }
    if after && name == "kthread_exit" {
        return Err(Stop::unmodelled("whether kthread_exit may be traced"));
    }
    Ok(())
}

/// What an iterator is known to hand out (`bpf_iter_prog_supported`).
fn iterator(btf: &Btf<'_>, hook: &mut Hook) -> Step {
    let name = hook.name.strip_prefix("bpf_iter_").unwrap_or_default();
    let Some((_, known)) = lists::ITERATORS.iter().find(|(target, _)| *target == name) else {
        return Err(Stop::unmodelled(format!("iterators over {name}")));
    };
    let Some(prototype) = hook.prototype else { return Ok(()) };
    let params = btf.get(prototype.id).and_then(|ty| ty.func_proto());
    let params: Vec<_> = params.into_iter().flat_map(|proto| proto.params()).collect();
    for &(number, kind) in *known {
        let offset = number as i64 * 8;
        let flags = Flags::MAYBE_NULL;
        let (kind, flags) = match kind {
            lists::Handed::Buffer => (KnownKind::Buf, flags),
            lists::Handed::ReadOnlyBuffer => (KnownKind::Buf, flags.with(Flags::RDONLY)),
            lists::Handed::Object | lists::Handed::TrustedObject => {
                let pointee = params.get(number).and_then(|param| {
                    let (_, pointer) = btf.resolve(param.ty)?;
                    let (id, ty) = btf.resolve(pointer.target())?;
                    (pointer.kind() == Kind::Ptr && ty.composite().is_some()).then_some(id)
                });
                let Some(id) = pointee else {
                    return Err(Stop::unmodelled(format!("iterators over {name}")));
                };
                let flags = match kind {
                    lists::Handed::TrustedObject => flags.with(Flags::TRUSTED),
                    _ => flags,
                };
                (KnownKind::Object(TypeRef { btf: BtfOf::Kernel(prototype.home), id }), flags)
            }
        };
        hook.arguments.push(KnownArgument { offset, kind, flags, refcounted: false, ref_id: 0 });
    }
    Ok(())
}
