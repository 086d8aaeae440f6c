//! Snapshots of kernels, behind their checksum.
#![no_main]

use libfuzzer_sys::fuzz_target;
use scx_lint::btf::{Btf, TypeId};
use scx_lint::kernel::kfunc_flags::KfuncSets;
use scx_lint::kernel::snapshot::{self, MAGIC, VERSION};

fuzz_target!(|data: &[u8]| {
    let mut file = MAGIC.to_vec();
    file.extend(VERSION.to_le_bytes());
    file.extend(crc32fast::hash(data).to_le_bytes());
    file.extend(data);
    let _ = snapshot::read_meta(&file);
    let Ok(snapshot) = snapshot::read(&file) else { return };
    let words = snapshot.cut.btf_ids().unwrap_or_default();
    if let Ok(btf) = Btf::parse(&snapshot.btf) {
        let _ = KfuncSets::read(&words, &btf);
    }
    let _ = snapshot.cut.has_function("scx_bpf_dsq_insert");
    let _ = snapshot.cut.functions();
    snapshot.cut.original_id(TypeId(7));
});
