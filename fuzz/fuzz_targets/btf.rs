//! Types, and every question about them that follows references.
#![no_main]

use libfuzzer_sys::fuzz_target;
use scx_lint::btf::Btf;

fuzz_target!(|data: &[u8]| {
    let Ok(btf) = Btf::parse(data) else { return };
    for (id, ty) in btf.types() {
        let name = btf.name(&ty);
        btf.find(name, ty.kind());
        btf.resolve(id);
        btf.size_of(id);
        let _ = btf.resolve_size(id);
        btf.align_of(id);
    }
    btf.decl_tags().for_each(drop);
    // The same bytes as a module's types.
    if let Ok(split) = Btf::parse_split(data, &btf) {
        split.types().for_each(|(id, _)| {
            let _ = split.resolve_size(id);
        });
    }
});
