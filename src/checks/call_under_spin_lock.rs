//! `call-under-spin-lock`.

use super::context::Context;
use crate::errno::Errno;
use crate::finding::{Outcome, Site, Subject};
use crate::kernel::{Lookup, Reason, helpers, kfuncs};
use crate::object::{FuncIdx, InsnIdx, Object, Referent};

rule! {
    /// A program makes a call that is not allowed while it holds a `bpf_spin_lock`, or returns with the lock.
    ///
    /// ## Why it matters
    /// Between `bpf_spin_lock` and `bpf_spin_unlock` the verifier allows calls of static functions, and of the few kfuncs that lists, trees,
    /// numeric iterators and, from 7.0, arena pages need. Any other call is refused, `scx_bpf_dsq_insert` and `bpf_map_lookup_elem` included; not reported are `bpf_kptr_xchg` and
    /// what gives out trace lines (`bpf_stream_*`), which newer kernels allow.
    /// Calls on paths that the verifier may prune are not looked at.
    /// ## Example
    /// ```c
    /// bpf_spin_lock(&v->lock);
    /// scx_bpf_dsq_insert(p, SCX_DSQ_GLOBAL, SCX_SLICE_DFL, 0);
    /// bpf_spin_unlock(&v->lock);
    /// ```
    /// ## Fix
    /// Copy what the call needs, release the lock, then call.
    /// ## Sources
    /// kernel `do_check_insn`, `kfunc_spin_allowed`, `check_func_call`, `check_resource_leak`; guests of 6.12, 6.18, 7.1 and 7.3, and scx_sdt
    /// on 6.12 to 6.19.
    pub CALL_UNDER_SPIN_LOCK: "call-under-spin-lock", family: Program, level: Error, phase: Load, since: "0.1.0";
}

/// What is wrong with an instruction under a lock.
struct Fault {
    what: String,
    label: &'static str,
    /// The kernel's words; those for a return differ from release to release.
    quote: Option<&'static str>,
}

/// Why it is refused, if it is; the error is the reason why that is not known.
fn fault(cx: &Context<'_, '_>, function: FuncIdx, at: InsnIdx) -> Result<Option<Fault>, Reason> {
    let object = cx.object;
    let Some(insn) = object[function].code.get(at.0) else { return Ok(None) };
    let call = |callee: &str| Fault {
        what: format!("calls {callee} while it holds a bpf_spin_lock"),
        label: "this call",
        quote: Some("function calls are not allowed while holding a lock"),
    };
    if insn.is_exit() {
        let what = "returns while it holds a bpf_spin_lock".to_owned();
        return Ok(Some(Fault { what, label: "this return", quote: None }));
    }
    if let Some(helper) = insn.helper() {
        let name = cx.kernel.and_then(|kernel| kernel.helper_name(helper));
        let name = name.map_or_else(|| format!("helper {helper}"), |name| format!("'{name}'"));
        // That one some kernels allow.
        return Ok((helper != helpers::KPTR_XCHG).then(|| call(&name)));
    }
    let Some(Referent::Extern(index)) =
        object[function].refs_at(at).first().map(|reference| reference.target)
    else {
        let callee = object[function].call_at(at).flatten().map(|callee| &object[callee]);
        let global = callee.filter(|callee| callee.is_global);
        let quote = Some("global function calls are not allowed while holding a lock");
        return Ok(
            global.map(|callee| Fault { quote, ..call(&format!("the global function '{}'", callee.name)) })
        );
    };
    let name = Object::essential_name(object[index].name);
    if !cx.has_kfunc(index) {
        return Ok(None);
    }
    match kfuncs::is_allowed_under_spin_lock(cx.kernel, name) {
        Lookup::Found(true) => Ok(None),
        Lookup::Found(false) | Lookup::Absent => Ok(Some(call(&format!("'{name}'")))),
        Lookup::Unknown(reason) => {
            Err(reason.within(|why| format!("calls '{name}' while it holds a bpf_spin_lock: {why}")))
        }
    }
}

pub(super) fn check(cx: &Context<'_, '_>, out: &mut Outcome) {
    let object = cx.object;
    for (program, function, _) in cx.loaded() {
        let subject = || Subject::program(object, program);
        for &(holder, at) in cx.walk(program).under_lock() {
            match fault(cx, holder, at) {
                Ok(None) => {}
                Ok(Some(fault)) => {
                    let message = format!("program '{}' {}", function.name, fault.what);
                    let finding = out.found(&CALL_UNDER_SPIN_LOCK, subject(), message);
                    finding.errno(Errno::EINVAL).help("release the lock before");
                    finding.via(Site::Insn(holder, at), program, fault.label);
                    if let Some(quote) = fault.quote {
                        finding.quote(quote);
                    }
                    break;
                }
                Err(reason) => {
                    let open = out.undecided(&CALL_UNDER_SPIN_LOCK, subject(), reason);
                    open.via(Site::Insn(holder, at), program, "this call");
                    break;
                }
            }
        }
    }
}
