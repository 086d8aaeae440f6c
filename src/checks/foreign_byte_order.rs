//! `foreign-byte-order`.

use super::context::Context;
use crate::elf::ByteOrder;
use crate::errno::Errno;
use crate::finding::{Outcome, Subject};

rule! {
    /// The object is of another byte order than the machine.
    ///
    /// ## Why it matters
    /// libbpf opens such an object for inspection and refuses to load it. x86-64 and arm64 are little endian.
    /// ## Fix
    /// Compile with `-target bpf` on the machine, or `-target bpfel`.
    /// ## Sources
    /// libbpf `bpf_object_load`.
    pub FOREIGN_BYTE_ORDER: "foreign-byte-order", family: Object, level: Error, phase: Load, since: "0.1.0";
}

pub(super) fn check(cx: &Context<'_, '_>, out: &mut Outcome) {
    if cx.object.elf.byte_order == ByteOrder::Big {
        out.found(
            &FOREIGN_BYTE_ORDER,
            Subject::object(cx.object),
            "the object is big endian, this tool assumes that an x86-64 machine loads it",
        )
        .errno(Errno::LIBBPF_ERRNO__ENDIAN)
        .quote(format!("object '{}': loading non-native endianness is unsupported", cx.object.name))
        .help("compile with -target bpfel");
    }
}
