//! A file to sections, symbols and relocations, and to what libbpf would build of them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use scx_lint::elf::Elf;
use scx_lint::object::Object;

fuzz_target!(|data: &[u8]| {
    if let Ok(elf) = Elf::parse(data) {
        for section in &elf.sections {
            for relocation in elf.relocations(section) {
                let _ = elf.section_at(relocation.symbol);
            }
        }
    }
    if let Err(error) = Object::open(data, "fuzz.bpf.o") {
        let message = error.to_string();
        assert!(!message.is_empty());
    }
});
