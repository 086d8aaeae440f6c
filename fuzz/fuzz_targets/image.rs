//! A file that `--kernel` names: types, an ELF, an image with compressed layers, a snapshot.
#![no_main]

use libfuzzer_sys::fuzz_target;
use scx_lint::kernel::{Kernel, image, target};

fuzz_target!(|data: &[u8]| {
    match target::from_file("fuzz", data) {
        Ok(target) => {
            if let Ok(kernel) = Kernel::new(&target) {
                kernel.kfunc_flags("scx_bpf_create_dsq");
            }
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    image::kconfig(data);
    image::config_file(data);
    image::release(data);
});
