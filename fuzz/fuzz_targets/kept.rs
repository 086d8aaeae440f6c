//! What is kept of kernel images, behind its checksum, and a lint against it.
#![no_main]

mod fixture;

use libfuzzer_sys::fuzz_target;
use scx_lint::Options;
use scx_lint::kernel::{Kernel, Target, cache};

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
    scx_lint::lint_for("fuzz.bpf.o", fixture::object(), &[kernel], &Options::default());
});
