//! What is kept of kernel images, behind its checksum, and a lint against it.
#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use scx_lint::Options;
use scx_lint::kernel::{Kernel, Target, cache};

fn object() -> &'static [u8] {
    static OBJECT: OnceLock<Vec<u8>> = OnceLock::new();
    OBJECT.get_or_init(|| {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures/obj/clang-19");
        std::fs::read(format!("{folder}/good__realistic_cid.bpf.o")).unwrap_or_default()
    })
}

fuzz_target!(|data: &[u8]| {
    let mut file = cache::MAGIC.to_vec();
    file.extend(cache::VERSION.to_le_bytes());
    file.extend([0; 4]);
    file.extend(data);
    cache::correct_checksum(&mut file);
    let Some((_, found)) = cache::decode(&file) else { return };
    let target = Target {
        release: found.release,
        kconfig: found.kconfig,
        btf_ids: found.btf_ids,
        ..Target::running("fuzz", found.btf.into_owned(), Vec::new())
    };
    let Ok(kernel) = Kernel::new(&target) else { return };
    kernel.kfunc_flags("scx_bpf_create_dsq");
    scx_lint::lint_for("fuzz.bpf.o", object(), &[kernel], &Options::default());
});
