//! Schedulers against a kernel of any types.
#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use scx_lint::Options;
use scx_lint::kernel::{Kernel, Target};

/// Small objects that ask a kernel many things.
fn objects() -> &'static [Vec<u8>] {
    static OBJECTS: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    OBJECTS.get_or_init(|| {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures/obj/clang-19");
        ["good__realistic_cid", "good__realistic_cpu", "unresolved-core-relocation__fires"]
            .iter()
            .filter_map(|stem| std::fs::read(format!("{folder}/{stem}.bpf.o")).ok())
            .collect()
    })
}

fuzz_target!(|data: &[u8]| {
    let target = Target {
        name: "fuzz".to_owned(),
        btf: data.to_vec(),
        // As in an image without sections: what lies behind the types, and here the types, too.
        btf_ids: Some(data.as_chunks().0.iter().copied().map(u32::from_le_bytes).collect()),
        ..Target::default()
    };
    let Ok(kernel) = Kernel::new(&target) else { return };
    kernel.kfunc_flags("scx_bpf_create_dsq");
    let kernels = [kernel];
    for object in objects() {
        scx_lint::lint_for("fuzz.bpf.o", object, &kernels, &Options::default());
    }
});
