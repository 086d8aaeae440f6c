//! Snapshots of kernels, behind their checksum, and a lint against what they hold.
#![no_main]

mod fixture;

use libfuzzer_sys::fuzz_target;
use scx_lint::Options;
use scx_lint::btf::TypeId;
use scx_lint::kernel::snapshot::{self, MAGIC, VERSION};
use scx_lint::kernel::{Kernel, target};

fuzz_target!(|data: &[u8]| {
    let mut file = MAGIC.to_vec();
    file.extend(VERSION.to_le_bytes());
    file.extend(crc32fast::hash(data).to_le_bytes());
    file.extend(data);
    let _ = snapshot::read_meta(&file);
    let Ok(target) = target::from_file("fuzz", &file) else { return };
    if let Some(cut) = &target.cut {
        let _ = cut.has_function("schedule");
        let _ = cut.functions();
        cut.btf_ids();
        cut.original_id(TypeId(7));
    }
    let Ok(kernel) = Kernel::new(&target) else { return };
    kernel.kfunc_sets();
    kernel.kfunc_flags("scx_bpf_create_dsq");
    scx_lint::lint_for("fuzz.bpf.o", fixture::object(), &[kernel], &Options::default());
});
