//! `.BTF.ext` beside types: a length, the section, then the types whose strings it uses.
#![no_main]

use libfuzzer_sys::fuzz_target;
use scx_lint::btf::{Btf, BtfExt};

fuzz_target!(|data: &[u8]| {
    let Some((len, rest)) = data.split_first_chunk() else { return };
    let (ext, types) = rest.split_at(usize::from(u16::from_le_bytes(*len)).min(rest.len()));
    let Ok(ext) = BtfExt::parse(ext) else { return };
    ext.core_relo_count();
    let Ok(btf) = Btf::parse(types) else { return };
    for section in ["struct_ops/a", ".text", ""] {
        ext.funcs(&btf, section).for_each(drop);
        ext.lines(&btf, section).for_each(drop);
        ext.core_relos(&btf, section).for_each(drop);
    }
});
