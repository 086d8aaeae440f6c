//! A BTF section as the words it is made of, to be cut and written again without loss.
//!
//! [`crate::btf`] answers questions; this keeps what no question needs (a kind flag, the kernel's byte order).

use std::collections::{BTreeSet, HashSet};

use crate::btf::{self, Btf, TypeId};
use crate::elf::ByteOrder;

/// Bytes of the header that is written.
const HEADER: u32 = 24;
/// The same with the two words that announce wide kinds and lengths.
const WIDE_HEADER: u32 = 32;

/// Component index of a declaration tag that is on the whole declaration: -1.
const WHOLE: u32 = u32::MAX;

/// `BTF_KIND_*` numbers, as far as the layout of a record depends on them.
pub(super) mod kind {
    pub const INT: u8 = 1;
    pub const PTR: u8 = 2;
    pub const ARRAY: u8 = 3;
    pub const STRUCT: u8 = 4;
    pub const UNION: u8 = 5;
    pub const ENUM: u8 = 6;
    pub const FWD: u8 = 7;
    pub const TYPEDEF: u8 = 8;
    pub const CONST: u8 = 10;
    pub const FUNC: u8 = 12;
    pub const FUNC_PROTO: u8 = 13;
    pub const VAR: u8 = 14;
    pub const DATASEC: u8 = 15;
    pub const FLOAT: u8 = 16;
    pub const DECL_TAG: u8 = 17;
    pub const ENUM64: u8 = 19;
}

/// Words behind `struct btf_type` that a record of this kind has, for `vlen` elements.
pub(super) fn extra_words(kind: u8, vlen: u32) -> usize {
    let vlen = vlen as usize;
    match kind {
        kind::INT | kind::VAR | kind::DECL_TAG => 1,
        kind::ARRAY => 3,
        kind::STRUCT | kind::UNION | kind::DATASEC | kind::ENUM64 => vlen * 3,
        kind::ENUM | kind::FUNC_PROTO => vlen * 2,
        _ => 0,
    }
}

/// One record.
#[derive(Clone, Copy)]
pub(super) struct RawType<'a> {
    pub kind: u8,
    pub flag: bool,
    /// Elements; the linkage of a function; 0 where the kind has neither.
    pub vlen: u32,
    /// Name, an offset into the strings.
    pub name: u32,
    /// Size or target type.
    pub third: u32,
    /// The words behind.
    pub extra: &'a [u32],
}

/// What a type refers to by id: the target or element types, in the record's order.
pub(super) fn references(ty: &RawType<'_>, each: &mut dyn FnMut(u32)) {
    match ty.kind {
        kind::INT | kind::FLOAT | kind::FWD | kind::ENUM | kind::ENUM64 => {}
        kind::ARRAY => ty.extra[..2].iter().copied().for_each(each),
        kind::STRUCT | kind::UNION => ty.extra.chunks_exact(3).for_each(|member| each(member[1])),
        kind::FUNC_PROTO => {
            each(ty.third);
            ty.extra.chunks_exact(2).for_each(|param| each(param[1]));
        }
        kind::DATASEC => ty.extra.chunks_exact(3).for_each(|var| each(var[0])),
        _ => each(ty.third),
    }
}

/// A section taken apart.
pub(super) struct Raw<'d> {
    pub order: ByteOrder,
    /// The header announces wide kinds and lengths.
    pub wide: bool,
    words: Vec<u32>,
    /// Where each type starts in `words`; index 0 is unused.
    starts: Vec<u32>,
    strings: &'d [u8],
}

impl<'d> Raw<'d> {
    /// Takes apart what [`Btf::parse`] accepts.
    pub fn parse(data: &'d [u8]) -> Result<Self, btf::Error> {
        let count = Btf::parse(data)?.len();
        let order = if data.starts_with(&[0x9f, 0xeb]) { ByteOrder::Little } else { ByteOrder::Big };
        let word = |bytes: &[u8]| {
            let raw = *bytes.first_chunk().unwrap_or(&[0; 4]);
            match order {
                ByteOrder::Little => u32::from_le_bytes(raw),
                ByteOrder::Big => u32::from_be_bytes(raw),
            }
        };
        let field = |at: usize| word(&data[at..]) as usize;
        // SANITY: the parser above has seen that header, types and strings lie inside.
        let header_len = field(4);
        let body = &data[header_len..];
        let types = &body[field(8)..field(8) + field(12)];
        let strings = &body[field(16)..field(16) + field(20)];
        let wide = header_len as u32 > HEADER;
        let words: Vec<u32> = types.chunks_exact(4).map(word).collect();
        let mut starts = Vec::with_capacity(count);
        starts.push(0);
        let mut at = 0;
        while at < words.len() {
            starts.push(at as u32);
            let (kind, _, vlen) = split_info(words[at + 1], wide);
            at += 3 + extra_words(kind, vlen);
        }
        Ok(Self { order, wide, words, starts, strings })
    }

    /// Number of types, void included.
    pub fn len(&self) -> u32 {
        self.starts.len() as u32
    }

    /// A type by id, which is neither 0 nor outside.
    pub fn get(&self, id: u32) -> RawType<'_> {
        let words = &self.words[self.starts[id as usize] as usize..];
        let (kind, flag, vlen) = split_info(words[1], self.wide);
        let extra = &words[3..3 + extra_words(kind, vlen)];
        RawType { kind, flag, vlen, name: words[0], third: words[2], extra }
    }

    /// All types but void.
    pub fn types(&self) -> impl Iterator<Item = (u32, RawType<'_>)> {
        (1..self.len()).map(|id| (id, self.get(id)))
    }

    /// The string at an offset, without the NUL.
    pub fn bytes(&self, offset: u32) -> &'d [u8] {
        let rest = self.strings.get(offset as usize..).unwrap_or_default();
        let len = rest.iter().position(|&b| b == 0).unwrap_or(rest.len());
        &rest[..len]
    }
}

/// Kind, kind flag and number of elements (or linkage).
fn split_info(info: u32, wide: bool) -> (u8, bool, u32) {
    let (kinds, lengths) = if wide { (0x7f, 0x00ff_ffff) } else { (0x1f, 0xffff) };
    let kind = ((info >> 24) & kinds) as u8;
    let has_length = matches!(
        kind,
        kind::STRUCT
            | kind::UNION
            | kind::ENUM
            | kind::ENUM64
            | kind::FUNC
            | kind::FUNC_PROTO
            | kind::DATASEC
    );
    (kind, info >> 31 == 1, if has_length { info & lengths } else { 0 })
}

/// The info word of a record.
pub(super) fn join_info(kind: u8, flag: bool, vlen: u32) -> u32 {
    u32::from(flag) << 31 | u32::from(kind) << 24 | vlen
}

/// Writes words in one byte order.
pub(super) struct Words {
    pub bytes: Vec<u8>,
    order: ByteOrder,
}

impl Words {
    pub fn new(order: ByteOrder) -> Self {
        Self { bytes: Vec::new(), order }
    }

    pub fn push<const N: usize>(&mut self, words: [u32; N]) {
        let mut raw = [[0; 4]; N];
        for (raw, word) in raw.iter_mut().zip(words) {
            *raw = match self.order {
                ByteOrder::Little => word.to_le_bytes(),
                ByteOrder::Big => word.to_be_bytes(),
            };
        }
        self.bytes.extend_from_slice(raw.as_flattened());
    }

    /// The header of a section.
    pub fn header(&mut self, wide: bool, types: u32, strings: u32) {
        let magic_and_version = match self.order {
            ByteOrder::Little => [0x9f, 0xeb, 1, 0],
            ByteOrder::Big => [0xeb, 0x9f, 1, 0],
        };
        self.bytes.extend_from_slice(&magic_and_version);
        self.push([if wide { WIDE_HEADER } else { HEADER }, 0, types, types, strings]);
        if wide {
            self.push([0, 0]);
        }
    }
}

/// Gives functions that still show their implicit last argument the prototype that callers see.
///
/// From 7.1 the verifier supplies the trailing `struct bpf_prog_aux *` of a `KF_IMPLICIT_ARGS` kfunc. pahole writes
/// the prototype without it under the kfunc's name, and the full one under `NAME_impl`. A kernel built with an older
/// pahole has the full one under the kfunc's name and nothing else. Returns the repaired section, and the names of
/// what was repaired.
///
/// # Errors
/// What [`Btf::parse`] refuses.
pub fn repair_implicit_arguments(btf: &[u8]) -> Result<(Vec<u8>, Vec<String>), btf::Error> {
    repair_arguments_of(btf, |name| name.starts_with(b"scx_bpf_") || name.starts_with(b"__scx_bpf_"))
}

/// The same for functions that are tagged as kfuncs, and for those that may be kfuncs by their names.
pub(in crate::kernel) fn repair_arguments_of(
    btf: &[u8],
    may_be_kfunc: impl Fn(&[u8]) -> bool,
) -> Result<(Vec<u8>, Vec<String>), btf::Error> {
    let raw = Raw::parse(btf)?;
    let tagged = tagged_kfuncs(&raw);
    let mut kfunc_tag = None;
    let mut words = raw.words.clone();
    let mut strings = raw.strings.to_vec();
    let mut count = raw.len();
    let mut names = Vec::new();
    for id in implicit_argument_functions(&raw, &tagged, may_be_kfunc) {
        let func = raw.get(id);
        let proto = raw.get(func.third);
        let name = raw.bytes(func.name);
        let params = &proto.extra[..proto.extra.len() - 2];
        let short = count;
        words.extend([proto.name, join_info(kind::FUNC_PROTO, proto.flag, proto.vlen - 1), proto.third]);
        words.extend(params);
        let full_name = strings.len() as u32;
        strings.extend_from_slice(name);
        strings.extend_from_slice(b"_impl\0");
        words.extend([full_name, join_info(kind::FUNC, func.flag, func.vlen), func.third]);
        words[raw.starts[id as usize] as usize + 2] = short;
        count += 2;
        if !tagged.contains(&id) {
            let tag = *kfunc_tag.get_or_insert_with(|| {
                strings.extend_from_slice(b"bpf_kfunc\0");
                strings.len() as u32 - 10
            });
            words.extend([tag, join_info(kind::DECL_TAG, false, 0), id, WHOLE]);
            count += 1;
        }
        names.push(String::from_utf8_lossy(name).into_owned());
    }
    let mut out = Words::new(raw.order);
    out.header(raw.wide, words.len() as u32 * 4, strings.len() as u32);
    words.iter().for_each(|&word| out.push([word]));
    out.bytes.extend_from_slice(&strings);
    Ok((out.bytes, names))
}

/// Gives enums whose 64-bit values were cut to 32 bits the values that `whole` knows by name and low half; others keep
/// what is left of them. Returns the repaired section, and the names of the enums.
///
/// # Errors
/// What [`Btf::parse`] refuses.
pub(in crate::kernel) fn repair_truncated_enums(
    btf: &[u8],
    whole: impl Fn(&[u8], u32) -> Option<u64>,
) -> Result<(Vec<u8>, Vec<String>), btf::Error> {
    let raw = Raw::parse(btf)?;
    let (mut words, mut names) = (Vec::with_capacity(raw.words.len()), Vec::new());
    for (id, ty) in raw.types() {
        if ty.kind != kind::ENUM || ty.third != 8 {
            let start = raw.starts[id as usize] as usize;
            words.extend(&raw.words[start..start + 3 + ty.extra.len()]);
            continue;
        }
        words.extend([ty.name, join_info(kind::ENUM64, ty.flag, ty.vlen), ty.third]);
        for value in ty.extra.chunks_exact(2) {
            let known = whole(raw.bytes(value[0]), value[1]).unwrap_or(u64::from(value[1]));
            words.extend([value[0], known as u32, (known >> 32) as u32]);
        }
        names.push(String::from_utf8_lossy(raw.bytes(ty.name)).into_owned());
    }
    let mut out = Words::new(raw.order);
    out.header(raw.wide, words.len() as u32 * 4, raw.strings.len() as u32);
    words.iter().for_each(|&word| out.push([word]));
    out.bytes.extend_from_slice(raw.strings);
    Ok((out.bytes, names))
}

/// FUNCs tagged `bpf_kfunc`.
pub(super) fn tagged_kfuncs(raw: &Raw<'_>) -> BTreeSet<u32> {
    raw.types()
        .filter(|(_, ty)| ty.kind == kind::DECL_TAG && ty.extra[0] == WHOLE)
        .filter(|(_, ty)| raw.bytes(ty.name) == b"bpf_kfunc" && ty.third != 0)
        .filter(|(_, ty)| raw.get(ty.third).kind == kind::FUNC)
        .map(|(_, ty)| ty.third)
        .collect()
}

/// kfuncs whose last parameter is `const struct bpf_prog_aux *` and that have no `_impl` twin. What made pahole keep
/// the parameter in the image seen also made it leave out the `bpf_kfunc` tag, so sched_ext's names count too.
fn implicit_argument_functions(
    raw: &Raw<'_>,
    tagged: &BTreeSet<u32>,
    may_be_kfunc: impl Fn(&[u8]) -> bool,
) -> Vec<u32> {
    let functions: HashSet<&[u8]> =
        raw.types().filter(|(_, ty)| ty.kind == kind::FUNC).map(|(_, ty)| raw.bytes(ty.name)).collect();
    let last_is_aux = |func: &RawType<'_>| {
        let Some(&[_, mut id]) = raw.get(func.third).extra.last_chunk() else { return false };
        // PTR, an optional CONST, STRUCT.
        for _ in 0..3 {
            if id == TypeId::VOID.0 {
                return false;
            }
            let ty = raw.get(id);
            match ty.kind {
                kind::STRUCT => return raw.bytes(ty.name) == b"bpf_prog_aux",
                kind::PTR | kind::CONST => id = ty.third,
                _ => return false,
            }
        }
        false
    };
    raw.types()
        .filter(|(id, ty)| {
            let name = raw.bytes(ty.name);
            ty.kind == kind::FUNC
                && (tagged.contains(id) || may_be_kfunc(name))
                && !name.ends_with(b"_impl")
                && !functions.contains([name, b"_impl"].concat().as_slice())
                && last_is_aux(ty)
        })
        .map(|(id, _)| id)
        .collect()
}
