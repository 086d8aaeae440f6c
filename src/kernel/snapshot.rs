//! A kernel's BTF, cut down to what an object can be held against, and small enough to carry along.
//!
//! A snapshot must give the same answers as the BTF it was made from. What answers no question of ours is cut: the
//! prototypes of functions that only exist to be traced. Their names stay, so that "is there such a function" is
//! still answered, and [`Cut`] tells what is gone, so that other questions are answered "unknown" and never "absent".
//! Types keep their order: where several have one name, the first is still the first.
//!
//! The file: `scxlsnap`; a version, a CRC-32 of what follows, and the checksum of the [`Pool`] that it shares strings
//! with or 0 (u32, little-endian); then the parts, each behind its length: [`Meta`] as JSON, types, names of the functions
//! cut, the kernel's config, which type ids were kept, and the id sets of the kfuncs in the layout of `.BTF_ids`. The last
//! was added later: a file may end before it, and who does not know it does not miss it. What nearly every question needs
//! is packed for speed (LZ4), the rest for size (deflate).

mod columns;
mod error;
mod pool;
mod raw;
mod reduce;
#[cfg(test)]
mod tests;

use std::sync::OnceLock;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use self::pool::Strings;
use self::raw::Raw;
use super::kfunc_flags::KfuncSets;
use super::pack::{Cursor, put, take_packed, varint};
use crate::btf::{self, TypeId};

pub use self::error::{Error, VERSION};
pub use self::pool::Pool;
pub use self::raw::repair_implicit_arguments;
pub(super) use self::raw::{repair_arguments_of, repair_truncated_enums};

/// First bytes of a snapshot.
pub const MAGIC: &[u8; 8] = b"scxlsnap";
/// Bytes before the parts: magic, version, checksum.
const HEADER: usize = 16;

/// Where a snapshot comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Meta {
    /// What the kernel is called: `7.3`, or the file's name.
    pub name: String,
    /// `uname -r` of the kernel, where known.
    pub release: Option<String>,
    /// The package and its version, or the file, that the BTF is from.
    pub source: String,
    /// The day the BTF was taken, `YYYY-MM-DD`; empty where nobody said.
    pub date: String,
    /// SHA-256 of the BTF it was made from, before anything was derived.
    pub sha256: String,
    /// How many types that BTF has, void included.
    pub types: u32,
    /// Bytes of that BTF.
    pub bytes: u64,
    /// Why the BTF stands for less than the whole release: what it lacks outside the scheduler's own surface is then
    /// unknown, not absent.
    pub partial: Option<String>,
    /// What was changed on purpose in comparison with the BTF it was made from.
    pub derived: Vec<String>,
}

/// What a snapshot knows of the BTF it was made from, besides the types it keeps.
#[derive(Debug)]
pub struct Cut {
    /// Where the snapshot comes from.
    pub meta: Meta,
    functions: Functions,
    ids: Vec<u8>,
    btf_ids: Vec<u8>,
    original_ids: OnceLock<Option<Vec<u32>>>,
}

/// Names of the functions cut.
#[derive(Debug)]
struct Functions {
    pool: Option<&'static Pool>,
    packed: Vec<u8>,
    unpacked: OnceLock<Result<Unpacked, Error>>,
}

#[derive(Debug)]
struct Unpacked {
    /// Which of the pool's functions, one bit each.
    bits: Vec<u8>,
    own: Strings,
}

impl Functions {
    fn unpacked(&self) -> Result<&Unpacked, Error> {
        let unpack = || {
            let mut cursor = Cursor::new(&self.packed);
            let bits = take_packed(&mut cursor).ok_or(Error::Corrupt("function names"))?;
            Ok(Unpacked { bits, own: pool::unpack_sorted(cursor.rest())? })
        };
        self.unpacked.get_or_init(unpack).as_ref().map_err(Clone::clone)
    }
}

impl Unpacked {
    fn has(&self, index: usize) -> bool {
        self.bits.get(index / 8).is_some_and(|byte| byte >> (index % 8) & 1 == 1)
    }
}

impl Cut {
    /// The kernel has this function, and its prototype was cut: it can be traced, and nothing else is known of it.
    /// `false` for a function that was kept: look for it in the BTF first. The first call unpacks the names.
    ///
    /// # Errors
    /// The list does not unpack: nothing is known of any function that is not in the BTF.
    pub fn has_function(&self, name: &str) -> Result<bool, Error> {
        let cut = self.functions.unpacked()?;
        if cut.own.search(name.as_bytes()).is_some() {
            return Ok(true);
        }
        let Some(pool) = self.functions.pool else { return Ok(false) };
        Ok(pool.functions()?.search(name.as_bytes()).is_some_and(|index| cut.has(index)))
    }

    /// Names of all functions whose prototype was cut, sorted. Makes a string of each: to ask for one name,
    /// [`Self::has_function`] is much faster.
    ///
    /// # Errors
    /// The list does not unpack.
    pub fn functions(&self) -> Result<Vec<String>, Error> {
        let cut = self.functions.unpacked()?;
        let mut names: Vec<&[u8]> = cut.own.iter().collect();
        if let Some(pool) = self.functions.pool {
            let shared = pool.functions()?.iter().enumerate().filter(|(index, _)| cut.has(*index));
            names.extend(shared.map(|(_, name)| name));
        }
        names.sort_unstable();
        Ok(names.into_iter().map(|name| String::from_utf8_lossy(name).into_owned()).collect())
    }

    /// The id that a type of the snapshot has in the BTF it was made from, as the kernel's messages show it; `None`
    /// for one that was derived or does not exist.
    pub fn original_id(&self, id: TypeId) -> Option<TypeId> {
        let unpack = || {
            // The kernel itself takes no more types (`BTF_MAX_TYPE`).
            let most = self.meta.types.min(0x10_0000);
            let runs = take_packed(&mut Cursor::new(&self.ids))?;
            let (mut runs, mut ids, mut next) = (Cursor::new(&runs), vec![0], 1u32);
            while !runs.rest().is_empty() {
                next = next.checked_add(runs.varint()?)?;
                let end = next.checked_add(runs.varint()?).filter(|&end| end <= most)?;
                ids.extend(next..end);
                next = end;
            }
            Some(ids)
        };
        let ids = self.original_ids.get_or_init(unpack).as_ref()?;
        ids.get(id.0 as usize).copied().map(TypeId)
    }
}

impl Cut {
    /// The words of a `.BTF_ids` with the id sets of the kfuncs, by the ids of the snapshot; `None` where the snapshot was
    /// taken from a BTF alone, by an older version, or is damaged. Each call unpacks them.
    pub fn btf_ids(&self) -> Option<Vec<u32>> {
        if self.btf_ids.is_empty() {
            return None;
        }
        let bytes = take_packed(&mut Cursor::new(&self.btf_ids))?;
        let (words, _) = bytes.as_chunks();
        Some(words.iter().copied().map(u32::from_le_bytes).collect())
    }
}

/// A snapshot, unpacked.
#[derive(Debug)]
pub struct Snapshot {
    /// The types that were kept, as a BTF section.
    pub btf: Vec<u8>,
    /// The config that the kernel image carried (`CONFIG_IKCONFIG`).
    pub kconfig: Option<String>,
    /// What was cut, and where it all comes from.
    pub cut: Cut,
}

/// Hex digits of the SHA-256 of bytes.
pub fn sha256(bytes: &[u8]) -> String {
    use std::fmt::Write;
    Sha256::digest(bytes).iter().fold(String::new(), |mut hex, byte| {
        // SANITY: writing to a string does not fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// Writes a snapshot that stands alone. `btf_ids` are the words of the kernel's `.BTF_ids`, for the flags of its kfuncs.
///
/// # Errors
/// The BTF is not acceptable.
pub fn write(
    btf: &[u8],
    btf_ids: Option<&[u32]>,
    kconfig: Option<&str>,
    meta: &Meta,
) -> Result<Vec<u8>, Error> {
    write_with(btf, btf_ids, kconfig, meta, None)
}

/// Writes a snapshot that takes its strings from a pool where that has them, and has the others itself.
///
/// # Errors
/// The BTF is not acceptable.
pub fn write_pooled(btf: &[u8], btf_ids: Option<&[u32]>, meta: &Meta, pool: &Pool) -> Result<Vec<u8>, Error> {
    write_with(btf, btf_ids, None, meta, Some(pool))
}

/// Packs the strings of several BTFs for [`Pool::read`]. The first BTF should be the newest: its order is kept best.
///
/// # Errors
/// A BTF is not acceptable.
pub fn write_pool(btfs: &[&[u8]]) -> Result<Vec<u8>, Error> {
    let raws = btfs.iter().map(|btf| Raw::parse(btf)).collect::<Result<Vec<_>, _>>()?;
    let reduced: Vec<_> = raws.iter().map(|raw| reduce::reduce(raw, &KfuncSets::default())).collect();
    let usages: Vec<_> =
        raws.iter().zip(&reduced).map(|(raw, kept)| columns::usage(raw, &kept.ids)).collect();
    let functions: Vec<_> = reduced.iter().map(|kept| &kept.functions).collect();
    Ok(pool::build(&usages, &functions))
}

impl Meta {
    /// Fills in what can be told from the BTF itself: checksum, length, number of types.
    ///
    /// # Errors
    /// The BTF is not acceptable.
    pub fn describing(self, btf: &[u8]) -> Result<Self, Error> {
        let types = btf::Btf::parse(btf)?.len() as u32;
        Ok(Self { sha256: sha256(btf), types, bytes: btf.len() as u64, ..self })
    }
}

fn write_with(
    btf: &[u8],
    btf_ids: Option<&[u32]>,
    kconfig: Option<&str>,
    meta: &Meta,
    pool: Option<&Pool>,
) -> Result<Vec<u8>, Error> {
    let raw = Raw::parse(btf)?;
    let kfuncs = match btf_ids {
        Some(words) => KfuncSets::read(words, &btf::Btf::parse(btf)?),
        None => KfuncSets::default(),
    };
    let kept = reduce::reduce(&raw, &kfuncs);

    // SANITY: strings, numbers and lists of them have a JSON form.
    let meta = serde_json::to_vec(meta).unwrap_or_default();
    let types = columns::encode(&raw, &kept.ids, pool);

    let mut functions = Vec::new();
    let empty = Strings::default();
    let pooled = pool.map_or(Ok(&empty), Pool::functions)?;
    let mut bits = vec![0u8; pooled.len().div_ceil(8)];
    let mut own = kept.functions.clone();
    for (index, name) in pooled.iter().enumerate() {
        if own.remove(name) {
            bits[index / 8] |= 1 << (index % 8);
        }
    }
    put(&mut functions, &bits);
    functions.extend(pool::pack_sorted(own));

    let mut packed_kconfig = Vec::new();
    if let Some(text) = kconfig {
        put(&mut packed_kconfig, text.as_bytes());
    }

    let (mut runs, mut ids, mut next) = (Vec::new(), Vec::new(), 1);
    for run in kept.ids.chunk_by(|a, b| a + 1 == *b) {
        varint(&mut runs, run[0] - next);
        varint(&mut runs, run.len() as u32);
        next = run[0] + run.len() as u32;
    }
    put(&mut ids, &runs);

    let new_id = |id: TypeId| kept.ids.binary_search(&id.0).ok().map(|at| TypeId(at as u32 + 1));
    let mut btf_ids = Vec::new();
    if !kfuncs.is_empty() {
        let words: Vec<u8> = kfuncs.words(new_id).into_iter().flat_map(u32::to_le_bytes).collect();
        put(&mut btf_ids, &words);
    }

    let mut parts = pool.map_or(0, |pool| pool.id).to_le_bytes().to_vec();
    for part in [meta, types, functions, packed_kconfig, ids, btf_ids] {
        varint(&mut parts, part.len() as u32);
        parts.extend_from_slice(&part);
    }
    let mut out = MAGIC.to_vec();
    out.extend_from_slice(&VERSION.to_le_bytes());
    out.extend_from_slice(&crc32fast::hash(&parts).to_le_bytes());
    out.extend_from_slice(&parts);
    Ok(out)
}

/// Reads a snapshot that stands alone.
///
/// # Errors
/// See [`Error`].
pub fn read(bytes: &[u8]) -> Result<Snapshot, Error> {
    read_with(bytes, None)
}

/// The pool and the parts of a file whose checksum is right.
fn parts(bytes: &[u8]) -> Result<(u32, [&[u8]; 6]), Error> {
    let truncated = || Error::Truncated { len: bytes.len() as u64 };
    if !bytes.starts_with(MAGIC) {
        return Err(Error::NotASnapshot);
    }
    let word = |at: usize| bytes.get(at..)?.first_chunk().map(|raw| u32::from_le_bytes(*raw));
    let got = word(8).ok_or_else(truncated)?;
    if got != VERSION {
        return Err(Error::Version { got });
    }
    let expected = word(12).ok_or_else(truncated)?;
    let rest = &bytes[HEADER..];
    let got = crc32fast::hash(rest);
    if got != expected {
        return Err(Error::Checksum { got, expected });
    }
    let pool = word(HEADER).ok_or_else(truncated)?;
    let mut cursor = Cursor::new(&rest[4..]);
    let mut parts = [[].as_slice(); 6];
    for (index, part) in parts.iter_mut().enumerate() {
        // Written before there was a sixth part.
        if index == 5 && cursor.rest().is_empty() {
            break;
        }
        let len = cursor.varint().ok_or_else(truncated)?;
        *part = cursor.take(len as usize).ok_or_else(truncated)?;
    }
    Ok((pool, parts))
}

/// What a snapshot says of itself, without unpacking the rest.
///
/// # Errors
/// See [`Error`].
pub fn read_meta(bytes: &[u8]) -> Result<Meta, Error> {
    serde_json::from_slice(parts(bytes)?.1[0]).map_err(|_| Error::Corrupt("metadata"))
}

/// Reads a snapshot that may share strings.
pub(super) fn read_with(bytes: &[u8], pool: Option<&'static Pool>) -> Result<Snapshot, Error> {
    let (wanted, [meta, types, functions, kconfig, ids, btf_ids]) = parts(bytes)?;
    let meta: Meta = serde_json::from_slice(meta).map_err(|_| Error::Corrupt("metadata"))?;
    let pool = match pool {
        _ if wanted == 0 => None,
        Some(pool) if pool.id == wanted => Some(pool),
        _ => return Err(Error::Pool { wanted }),
    };
    let btf = columns::decode(types, pool)?;
    let kconfig = match kconfig {
        [] => None,
        packed => {
            let text = take_packed(&mut Cursor::new(packed)).and_then(|text| String::from_utf8(text).ok());
            Some(text.ok_or(Error::Corrupt("config"))?)
        }
    };
    let functions = Functions { pool, packed: functions.to_vec(), unpacked: OnceLock::new() };
    let cut =
        Cut { meta, functions, ids: ids.to_vec(), btf_ids: btf_ids.to_vec(), original_ids: OnceLock::new() };
    Ok(Snapshot { btf, kconfig, cut })
}
