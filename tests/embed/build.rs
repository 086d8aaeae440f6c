//! Compiles two fixtures and generates their skeletons, as a scheduler's build script does.

use std::path::PathBuf;

fn main() {
    let fixtures = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap()).join("../../fixtures");
    let include = format!("-I{}", fixtures.join("include").display());
    let out = PathBuf::from(std::env::var_os("OUT_DIR").unwrap());
    for (name, fixture) in [("qmap", "good__realistic_cid"), ("central", "missing-arena__no_arena")] {
        let source = out.join(format!("{name}.bpf.c"));
        let text = std::fs::read_to_string(fixtures.join(format!("src/{fixture}.bpf.c"))).unwrap();
        std::fs::write(&source, text).unwrap();
        libbpf_cargo::SkeletonBuilder::new()
            .source(&source)
            .clang("clang-19")
            .clang_args(["-w", "-Wno-int-conversion", "-mcpu=v3", &include])
            .build_and_generate(out.join(format!("{name}.skel.rs")))
            .unwrap();
    }
}
