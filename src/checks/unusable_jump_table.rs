//! `unusable-jump-table`.

use super::context::Context;
use crate::elf::ByteOrder;
use crate::errno::Errno;
use crate::finding::{Outcome, Site, Subject};
use crate::kernel::Lookup;
use crate::object::{FuncIdx, InsnIdx, MapType, Object, Referent};

rule! {
    /// A jump table that the kernel cannot have, or that libbpf cannot make sense of.
    ///
    /// ## Why it matters
    /// Compilers from LLVM 22 on turn a `switch` into a jump through a table with `-mcpu=v4`. libbpf makes a map of type insn_array of each table for each
    /// program that loads, whether or not the verifier ever comes there, and kernels before 6.19 have no such maps. The table must also lead
    /// into the program's own section: a linker that joins sections and leaves the tables alone makes them lead elsewhere.
    /// ## Fix
    /// `-fno-jump-tables`, or `-mcpu=v3`. Link with a libbpf that knows jump tables.
    /// ## Sources
    /// libbpf 1.7 `create_jt_map`; kernel `insn_array_alloc_check` (6.19).
    pub UNUSABLE_JUMP_TABLE: "unusable-jump-table", family: Program, level: Error, phase: Load, since: "0.1.0";
}

/// Size of an entry, bytes.
const ENTRY: u32 = 8;

pub(super) fn check(cx: &Context<'_, '_>, out: &mut Outcome) {
    let object = cx.object;
    // A kernel whose types say nothing is given the benefit of the doubt.
    let map_types = cx.kernel.map(crate::kernel::Kernel::map_types);
    let lacks_maps = matches!(map_types, Some(Lookup::Found(types)) if types <= MapType::INSN_ARRAY.0.into());
    for (program, function, _) in cx.loaded() {
        let mut linked = 0;
        let mut found = None;
        for (index, code) in object.code_of(program) {
            for reference in &code.refs {
                let Referent::JumpTable { offset, size } = reference.target else { continue };
                let lacking = || {
                    lacks_maps
                        .then(|| "the kernel has no maps of type insn_array, which came with 6.19".to_owned())
                };
                let trouble = misaligned(offset, size)
                    .or_else(lacking)
                    .or_else(|| misleading(object, index, linked, offset, size));
                if let Some(trouble) = trouble {
                    found = Some((index, reference.insn, offset, trouble));
                    break;
                }
            }
            if found.is_some() {
                break;
            }
            linked += code.code.len();
        }
        let Some((site, at, offset, trouble)) = found else { continue };
        let message = format!("libbpf cannot make the jump table of program '{}': {trouble}", function.name);
        out.found(&UNUSABLE_JUMP_TABLE, Subject::program(object, program), message)
            .errno(Errno::EINVAL)
            .quote(format!("can't create jump table: sym_off {offset}"))
            .help("compile with -fno-jump-tables, or with -mcpu=v3")
            .via(Site::Insn(site, InsnIdx(at.0)), program, "this jump table");
    }
}

/// Sizes that libbpf refuses before it makes a map, or the kernel then.
fn misaligned(offset: u32, size: u32) -> Option<String> {
    let aligned = offset.is_multiple_of(ENTRY) && size.is_multiple_of(ENTRY) && size > 0;
    if aligned { None } else { Some(format!("it has {size} bytes from {offset} on, entries have {ENTRY}")) }
}

/// The first entry that does not lead into the program: its distance to the function that uses it does not fit 32 bits.
fn misleading(
    object: &Object<'_>,
    function: FuncIdx,
    linked: usize,
    offset: u32,
    size: u32,
) -> Option<String> {
    let section = object.elf.sections.iter().rev().find(|section| section.name == ".jumptables")?;
    let data = section.data?;
    let range = usize::try_from(offset).ok()?..usize::try_from(u64::from(offset) + u64::from(size)).ok()?;
    let Some(table) = data.get(range) else {
        return Some(format!("it ends beyond its section of {} bytes", data.len()));
    };
    let entries = table.as_chunks::<{ ENTRY as usize }>().0.iter().map(|entry| match object.elf.byte_order {
        ByteOrder::Little => u64::from_le_bytes(*entry),
        ByteOrder::Big => u64::from_be_bytes(*entry),
    });
    let start = object[function].start as u64;
    let mut values = entries.filter(|value| {
        let leads = (value / 8).wrapping_sub(start).wrapping_add(linked as u64);
        leads > u32::MAX.into()
    });
    values.next().map(|value| format!("invalid jump table value {value:#x}"))
}
