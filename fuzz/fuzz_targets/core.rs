//! CO-RE records: a length, records of 24 bytes, then the types that they speak of. They are resolved against these types
//! themselves and against a kernel's.
#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use scx_lint::btf::core::{Resolver, Slot};
use scx_lint::btf::{Btf, CoreRelo, StrOff, TypeId};
use scx_lint::elf::ByteOrder;
use scx_lint::insn::Insn;
use scx_lint::kernel::{Target, target};

fn kernel() -> &'static Btf<'static> {
    static TARGET: OnceLock<Target> = OnceLock::new();
    static BTF: OnceLock<Btf<'static>> = OnceLock::new();
    let target = TARGET.get_or_init(|| target::load("7.3").unwrap().remove(0));
    BTF.get_or_init(|| Btf::parse(&target.btf).unwrap())
}

fuzz_target!(|data: &[u8]| {
    let Some((len, rest)) = data.split_first_chunk() else { return };
    let (records, types) = rest.split_at(usize::from(u16::from_le_bytes(*len)).min(rest.len()));
    let Ok(local) = Btf::parse(types) else { return };
    for target in [&local, kernel()] {
        let mut resolver = Resolver::new(&local, target, &[]);
        for record in records.as_chunks::<24>().0.iter().take(64) {
            let word = |at: usize| u32::from_le_bytes(*record[at..].first_chunk().unwrap());
            let insn = Insn::decode(record[16..].first_chunk().unwrap(), ByteOrder::Little);
            let record = CoreRelo {
                insn_off: word(0),
                type_id: TypeId(word(4)),
                access: StrOff(word(8)),
                kind: word(12),
            };
            match resolver.resolve(&record, Slot { index: 0, insn, next: Some(insn) }) {
                Ok(resolution) => drop(format!("{resolution:?}")),
                Err(error) => drop(format!("{error}")),
            }
        }
    }
});
