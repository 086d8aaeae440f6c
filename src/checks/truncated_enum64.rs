//! `truncated-enum64`.

use super::context::Context;
use super::shared::core_uses;
use crate::finding::{Outcome, Subject};

rule! {
    /// The kernel's BTF cuts enumerators above 32 bits.
    ///
    /// ## Why it matters
    /// A kernel built without ENUM64 encodes 64-bit enums as 8-byte ENUM, whose values are 32 bits wide. Constants such as `SCX_DSQ_LOCAL` and
    /// `SCX_ENQ_*` that an object reads from such a kernel, by CO-RE or through scx's `__SCX_*` variables, are wrong.
    /// ## Fix
    /// Use a kernel built with ENUM64 (pahole 1.24 or later, without `--skip_encoding_btf_enum64`).
    /// ## Sources
    /// Documentation/bpf/btf.rst; scripts/Makefile.btf.
    pub TRUNCATED_ENUM64: "truncated-enum64", family: Kernel, level: Warning, phase: Run, since: "0.1.0";
}

pub(super) fn check(cx: &Context<'_, '_>, out: &mut Outcome) {
    let Some(kernel) = cx.kernel else { return };
    let cut = kernel.truncated_enums();
    if cut.is_empty() {
        return;
    }
    let reads = |name: &str| {
        cx.loaded().any(|(program, ..)| {
            core_uses::of(cx, program).any(|used| {
                used.kind.is_some_and(crate::btf::core::RelocationKind::is_enumerator)
                    && used.subject.split("::").next() == Some(name)
            })
        })
    };
    let read: Vec<&str> = cut
        .iter()
        .copied()
        .filter(|name| cx.load.is_edited() && name.starts_with("scx_") || reads(name))
        .collect();
    if let Some(first) = read.first() {
        let message = format!(
            "the kernel's BTF is defective, not the object: it cuts the values of enum {first} to 32 bits, and the object reads them"
        );
        out.found(&TRUNCATED_ENUM64, Subject::object(cx.object), message)
            .help("use a healthy build of the kernel, or rebuild it with pahole 1.24 or newer; a newer scheduler does not help");
    }
}
