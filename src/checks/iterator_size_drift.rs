//! `iterator-size-drift`.

use super::context::Context;
use super::shared::kfunc_calls;
use crate::btf::Kind;
use crate::finding::{Outcome, Subject};
use crate::load::ExternFate;

rule! {
    /// The object's iterator struct is smaller than the kernel's.
    ///
    /// ## Why it matters
    /// `struct bpf_iter_scx_dsq` and its like lie on the program's stack, and the kfuncs that fill them take the kernel's size. CO-RE does not adjust
    /// it: with an old, smaller struct the verifier finds other variables where it expects the iterator, and refuses.
    /// ## Fix
    /// Compile against the newer vmlinux.h; a larger struct works on older kernels.
    /// ## Sources
    /// kernel `process_iter_arg`, `is_iter_reg_valid_uninit`.
    pub ITERATOR_SIZE_DRIFT: "iterator-size-drift", family: CoRe, level: Warning, phase: Load, since: "0.1.0";
}

pub(super) fn check(cx: &Context<'_, '_>, out: &mut Outcome) {
    let (Some(kernel), Some(btf)) = (cx.kernel, cx.object.btf.as_ref()) else { return };
    for (program, function, _) in cx.loaded() {
        for call in kfunc_calls::of(cx, program) {
            let Some(iterator) = call.name.strip_suffix("_new").filter(|name| name.starts_with("bpf_iter_"))
            else {
                continue;
            };
            let ExternFate::Kfunc(kfunc) = call.fate else { continue };
            let local =
                btf.names().find(iterator, Kind::Struct).and_then(|id| btf.get(id)).map(|ty| ty.size());
            let target = kernel.btf_of(kfunc.home);
            let theirs =
                target.names().find(iterator, Kind::Struct).and_then(|id| target.get(id)).map(|ty| ty.size());
            let (Some(local), Some(theirs)) = (local, theirs) else { continue };
            if local < theirs {
                let message =
                    format!("struct {iterator} is {local} bytes long here and {theirs} in the kernel");
                // It depends on what lies beside it on the stack, which is seldom nothing.
                let reason =
                    format!("{message}: whether the verifier finds room for it on the stack is not known");
                out.undecided(&ITERATOR_SIZE_DRIFT, Subject::program(cx.object, program), reason).via(
                    call.site(),
                    program,
                    "this call",
                );
                out.found(&ITERATOR_SIZE_DRIFT, Subject::program(cx.object, program), message)
                    .help("compile against the newer vmlinux.h; a larger struct works on older kernels")
                    .via(call.site(), program, format!("used in program '{}'", function.name));
                break;
            }
        }
    }
}
