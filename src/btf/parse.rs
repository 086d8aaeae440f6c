//! One pass over the bytes of a `.BTF` section: where each type starts, and the bounds of what they refer to.

use super::error::Error;
use super::ids::TypeId;
use super::reader::{HEADER, MAGIC, Reader, TYPE_HEADER};
use super::types::{Kind, kind, kind_number, vlen};
use crate::elf::ByteOrder;

/// Header checks (libbpf `btf_parse_hdr`, `btf_parse_str_sec`); gives the type section and the strings.
pub(super) fn sections(data: &[u8], split: bool) -> Result<(Reader<'_>, &[u8]), Error> {
    let magic = data.first_chunk().ok_or(Error::HeaderTruncated { len: data.len() as u64 })?;
    let order = match (u16::from_le_bytes(*magic), u16::from_be_bytes(*magic)) {
        (MAGIC, _) => ByteOrder::Little,
        (_, MAGIC) => ByteOrder::Big,
        (got, _) => return Err(Error::Magic { got }),
    };
    let all = Reader { bytes: data, order, wide: false };
    if data.len() < HEADER {
        return Err(Error::HeaderTruncated { len: data.len() as u64 });
    }
    let header_len = all.word(4) as usize;
    // A shorter one is nobody's, but libbpf 1.7 takes it: the sections then overlap the header.
    if order == ByteOrder::Big && header_len != HEADER {
        return Err(Error::ForeignHeaderLength { got: header_len as u64 });
    }
    let Some(body) = data.get(header_len..) else {
        return Err(Error::HeaderLength { got: header_len as u64, len: data.len() as u64 });
    };
    let (type_off, type_len) = (u64::from(all.word(8)), u64::from(all.word(12)));
    let (str_off, str_len) = (u64::from(all.word(16)), u64::from(all.word(20)));
    let len = body.len() as u64;
    // The sections in their order, and the file ends before they do: cut off, as a download can be.
    if str_off + str_len > len && type_off + type_len <= str_off && type_off % 4 == 0 {
        let needs = header_len as u64 + str_off + str_len;
        return Err(Error::Truncated { needs, len: data.len() as u64 });
    }
    if str_off + str_len > len || type_off + type_len > str_off || type_off % 4 != 0 {
        return Err(Error::Layout { type_off, type_len, str_off, str_len, len });
    }
    // Both ends are at most `len`.
    let strings = &body[str_off as usize..(str_off + str_len) as usize];
    let types = &body[type_off as usize..(type_off + type_len) as usize];
    let ends = match (strings.first(), strings.last()) {
        (Some(&first), Some(&last)) => last == 0 && (split || first == 0),
        // All the strings may be the base's.
        _ => split,
    };
    if !ends || str_len > 1 << 31 {
        return Err(Error::Strings { offset: str_off, len: str_len });
    }
    Ok((Reader { bytes: types, order, wide: header_len > HEADER }, strings))
}

/// What one pass finds.
#[derive(Default)]
pub(super) struct Scan {
    /// Where each type starts; with a 0 for void before the first of a section without base.
    pub(super) offsets: Vec<u32>,
    /// The greatest string offset that anything has.
    pub(super) max_str: u32,
    /// The greatest type id that anything refers to.
    pub(super) max_id: u32,
    /// What functions say their prototype is.
    pub(super) protos: Vec<u32>,
    /// Enums whose values take 8 bytes, though the kind has room for 4 of each.
    pub(super) truncated_enums: Vec<TypeId>,
}

/// Cuts the section into types (libbpf `btf_parse_type_sec`).
///
/// # Errors
/// An unknown kind, or a type that runs beyond the end.
pub(super) fn scan(types: &Reader<'_>, first_id: u32) -> Result<Scan, Error> {
    match types.order {
        ByteOrder::Little => scan_in(types, first_id, u32::from_le_bytes),
        ByteOrder::Big => scan_in(types, first_id, u32::from_be_bytes),
    }
}

/// Inlined into each caller, so that the byte order costs nothing per word.
#[inline(always)]
fn scan_in(types: &Reader<'_>, first_id: u32, word: impl Fn([u8; 4]) -> u32) -> Result<Scan, Error> {
    let bytes = types.bytes;
    // Kernels have some 22 bytes per type, two in five of them functions' or prototypes'.
    let mut scan = Scan { offsets: Vec::with_capacity(bytes.len() / 20 + 2), ..Scan::default() };
    if first_id == 0 {
        scan.offsets.push(0);
    }
    let (mut max_str, mut max_id) = (0, 0);
    let mut rest = bytes;
    while !rest.is_empty() {
        let at = bytes.len() - rest.len();
        let truncated = |needs: usize, scan: &Scan| Error::TypeTruncated {
            id: TypeId(first_id + scan.offsets.len() as u32),
            offset: at as u64,
            needs: needs as u64,
            left: (bytes.len() - at) as u64,
        };
        let Some((head, body)) = rest.split_first_chunk::<TYPE_HEADER>() else {
            return Err(truncated(TYPE_HEADER, &scan));
        };
        let words = head.as_chunks::<4>().0;
        let (name, info, target) = (word(words[0]), word(words[1]), word(words[2]));
        let Some(kind) = kind(info, types.wide).filter(|&kind| kind != Kind::Void) else {
            let id = TypeId(first_id + scan.offsets.len() as u32);
            return Err(Error::UnknownKind { id, offset: at as u64, kind: kind_number(info, types.wide) });
        };
        scan.offsets.push(at as u32);
        max_str = max_str.max(name);
        let len = match kind {
            Kind::Int | Kind::Var | Kind::DeclTag => 4,
            Kind::Array => 12,
            Kind::Struct | Kind::Union | Kind::DataSec | Kind::Enum64 => vlen(info, types.wide) * 12,
            Kind::Enum | Kind::FuncProto => vlen(info, types.wide) * 8,
            _ => 0,
        };
        let Some((body, next)) = body.split_at_checked(len) else {
            scan.offsets.pop();
            return Err(truncated(TYPE_HEADER + len, &scan));
        };
        rest = next;
        match kind {
            Kind::Void | Kind::Int | Kind::Fwd | Kind::Float => {}
            Kind::Ptr
            | Kind::Typedef
            | Kind::Volatile
            | Kind::Const
            | Kind::Restrict
            | Kind::Var
            | Kind::DeclTag
            | Kind::TypeTag => max_id = max_id.max(target),
            Kind::Func => {
                max_id = max_id.max(target);
                scan.protos.push(target);
            }
            Kind::Array => {
                for &id in &body.as_chunks::<4>().0[..2] {
                    max_id = max_id.max(word(id));
                }
            }
            Kind::Struct | Kind::Union => {
                for element in body.as_chunks::<12>().0 {
                    let words = element.as_chunks::<4>().0;
                    max_str = max_str.max(word(words[0]));
                    max_id = max_id.max(word(words[1]));
                }
            }
            Kind::FuncProto => {
                for element in body.as_chunks::<8>().0 {
                    let words = element.as_chunks::<4>().0;
                    max_str = max_str.max(word(words[0]));
                    max_id = max_id.max(word(words[1]));
                }
            }
            Kind::Enum => {
                if target == 8 {
                    scan.truncated_enums.push(TypeId(first_id + scan.offsets.len() as u32 - 1));
                }
                for element in body.as_chunks::<8>().0 {
                    max_str = max_str.max(word(element.as_chunks::<4>().0[0]));
                }
            }
            Kind::Enum64 => {
                for element in body.as_chunks::<12>().0 {
                    max_str = max_str.max(word(element.as_chunks::<4>().0[0]));
                }
            }
            Kind::DataSec => {
                for element in body.as_chunks::<12>().0 {
                    max_id = max_id.max(word(element.as_chunks::<4>().0[0]));
                }
            }
        }
    }
    Ok(Scan { max_str, max_id, ..scan })
}
