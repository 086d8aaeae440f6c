//! The object that targets which make a kernel up lint against it.

use std::sync::OnceLock;

/// The bytes of a scheduler that uses much of what kernels offer.
pub fn object() -> &'static [u8] {
    static OBJECT: OnceLock<Vec<u8>> = OnceLock::new();
    OBJECT.get_or_init(|| {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures/obj/clang-19");
        std::fs::read(format!("{folder}/good__realistic_cid.bpf.o")).unwrap_or_default()
    })
}
