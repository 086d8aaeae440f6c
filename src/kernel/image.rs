//! What a user names as a kernel, down to the bytes of its BTF.
//!
//! Raw BTF, a vmlinux ELF, an x86 bzImage (Documentation/arch/x86/boot.rst), an arm64 or RISC-V Image
//! (Documentation/arch/arm64/booting.rst), an EFI zboot image (drivers/firmware/efi/libstub/zboot-header.S), any of them
//! compressed, or a snapshot. Nothing here touches a file.

mod compression;
mod flat;
#[cfg(test)]
mod tests;
mod words;

use std::borrow::Cow;
use std::ops::Range;

use memchr::memmem;
use object::Endianness;
use object::elf::{ELFCLASS32, ELFMAG, EM_BPF, ET_REL, FileHeader32, FileHeader64};
use object::read::elf::{FileHeader, SectionHeader};
use serde::{Deserialize, Serialize};

pub use self::compression::{Compression, Failure, MAX_IMAGE};
use self::words::words;
use super::arch::Arch;
use super::snapshot::{self, Cut};
use crate::btf;

/// How many layers of compression and containers are opened. A compressed bzImage of a compressed vmlinux has three.
const MAX_LAYERS: usize = 4;
/// How many places in an image are tried where a compressed kernel seems to start.
const MAX_CANDIDATES: usize = 32;
/// What it starts with.
const BANNER: &[u8] = b"Linux version ";
/// Longest banner; `linux_banner` of the kernel has a few hundred bytes.
const MAX_BANNER: usize = 1024;
/// Longest `uname -r`; `__NEW_UTS_LEN` of the kernel.
const MAX_RELEASE: usize = 64;

/// Why no BTF can be had from a file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Nothing that is known.
    #[error("not a kernel: {found}; expected raw BTF, a vmlinux or vmlinuz image, or a kernel snapshot")]
    NotAKernel {
        /// What it looks like.
        found: &'static str,
    },
    /// A BPF program.
    #[error("a BPF object, not a kernel; expected raw BTF, a vmlinux or vmlinuz image, or a kernel snapshot")]
    BpfObject,
    /// A kernel module, or another file still to be linked.
    #[error(
        "a kernel module or object file: its types only extend those of a vmlinux; give the kernel image"
    )]
    Module,
    /// A kernel, built without BTF.
    #[error(
        "{kind} without BTF: the kernel was built without CONFIG_DEBUG_INFO_BTF; give the BTF of one that has it, such as /sys/kernel/btf/vmlinux of the running machine"
    )]
    WithoutBtf {
        /// What was recognised.
        kind: Kind,
    },
    /// Compressed in a way that is not read.
    #[error(
        "{kind} compressed with {name}, which is not supported; decompress it first, or give the vmlinux"
    )]
    UnsupportedCompression {
        /// What was recognised.
        kind: Kind,
        /// The compression's name.
        name: String,
    },
    /// Ends early.
    #[error("{kind} is truncated: needs {needs} bytes, has {len}")]
    Truncated {
        /// What was recognised.
        kind: Kind,
        /// How many bytes the headers announce.
        needs: u64,
        /// How many there are.
        len: u64,
    },
    /// Does not decompress.
    #[error("{compression} data in {kind}: {failure}")]
    Decompression {
        /// What was recognised.
        kind: Kind,
        /// How it is compressed.
        compression: Compression,
        /// What went wrong.
        failure: Failure,
    },
    /// An ELF file whose headers contradict themselves.
    #[error("malformed ELF: {0}")]
    Elf(String),
    /// There is BTF, and it is not acceptable.
    #[error("malformed kernel BTF: {0}")]
    Btf(#[from] btf::Error),
    /// A snapshot that cannot be read.
    #[error(transparent)]
    Snapshot(#[from] snapshot::Error),
}

impl Error {
    /// A short stable word for the kind of error.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotAKernel { .. } => "not-a-kernel",
            Self::BpfObject => "bpf-object-as-kernel",
            Self::Module => "module-as-kernel",
            Self::WithoutBtf { .. } => "kernel-without-btf",
            Self::UnsupportedCompression { .. } => "unsupported-compression",
            Self::Truncated { .. } | Self::Decompression { failure: Failure::Truncated, .. } => {
                "truncated-kernel"
            }
            Self::Decompression { failure: Failure::TooLarge { .. }, .. } => "decompression-limit",
            Self::Decompression { .. } | Self::Elf(_) => "malformed-kernel",
            Self::Btf(_) => "malformed-kernel-btf",
            Self::Snapshot(error) => error.code(),
        }
    }
}

/// What a file was recognised as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// BTF on its own, as in /sys/kernel/btf.
    RawBtf,
    /// An ELF file with a `.BTF` section.
    Vmlinux,
    /// An x86 boot image.
    BzImage,
    /// An uncompressed arm64 or RISC-V boot image.
    FlatImage,
    /// A compressed boot image that unpacks itself by EFI means.
    Zboot,
    /// Another EFI executable, such as a unified kernel image.
    Efi,
    /// A compressed file.
    Compressed,
    /// A snapshot.
    Snapshot,
}

impl Kind {
    /// What it is called in messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RawBtf => "raw BTF",
            Self::Vmlinux => "ELF file",
            Self::BzImage => "x86 bzImage",
            Self::FlatImage => "flat kernel image",
            Self::Zboot => "EFI zboot image",
            Self::Efi => "EFI executable",
            Self::Compressed => "compressed file",
            Self::Snapshot => "kernel snapshot",
        }
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What was found in a file.
#[derive(Debug)]
pub struct Extracted<'d> {
    /// The BTF section. Only its magic was looked at, but for a [`Kind::FlatImage`] and a [`Kind::Snapshot`].
    pub btf: Cow<'d, [u8]>,
    /// `uname -r` of the kernel, from the image's banner or the snapshot.
    pub release: Option<String>,
    /// `uname -v` of the kernel, from the image's banner.
    pub build: Option<String>,
    /// The config that the kernel carries (`CONFIG_IKCONFIG`).
    pub kconfig: Option<String>,
    /// The architecture, as the headers of the image say it.
    pub arch: Option<Arch>,
    /// The words of its `.BTF_ids`, where [`super::kfunc_flags::KfuncSets`] finds the flags of kfuncs: the section, or, in
    /// a [`Kind::FlatImage`], what lies where it should be.
    pub btf_ids: Option<Vec<u32>>,
    /// What the file was recognised as; of a compressed file, what is inside.
    pub kind: Kind,
    /// The outermost compression, of the file or of the kernel in it.
    pub compression: Option<Compression>,
    /// Of a snapshot, what was cut.
    pub cut: Option<Cut>,
}

/// Finds the BTF of a kernel.
///
/// What is unpacked is bounded by 64 times the input and by [`MAX_IMAGE`]. Raw BTF is not copied.
///
/// # Errors
/// See [`Error`].
pub fn extract<'d>(bytes: impl Into<Cow<'d, [u8]>>) -> Result<Extracted<'d>, Error> {
    let bytes = bytes.into();
    let limits = Limits { bytes: compression::limit(bytes.len()), layers: MAX_LAYERS };
    open(bytes, Kind::Compressed, limits)
}

/// Whether a file that starts like this may hold a kernel, or something of which more can be said than that it is none.
pub fn may_be_kernel(head: &[u8]) -> bool {
    const STARTS: [&[u8]; 5] = [snapshot::MAGIC, &[0x9f, 0xeb], &[0xeb, 0x9f], &ELFMAG, b"MZ"];
    STARTS.iter().any(|start| head.starts_with(start))
        || head.get(0x202..0x206) == Some(b"HdrS")
        || flat::is_image(head)
        || Compression::of(head).is_some()
}

/// Does a file look as if its kernel has to be unpacked first.
pub fn is_packed(data: &[u8]) -> bool {
    let is_executable = data.starts_with(b"MZ") && !flat::is_image(data);
    is_executable || data.get(0x202..0x206) == Some(b"HdrS") || Compression::of(data).is_some()
}

/// The config between `IKCFG_ST` and `IKCFG_ED` of an uncompressed image (kernel/configs.c).
pub fn kconfig(image: &[u8]) -> Option<String> {
    let start = memmem::find(image, b"IKCFG_ST\x1f\x8b")? + 8;
    let len = memmem::find(&image[start..], b"IKCFG_ED")?;
    let packed = &image[start..start + len];
    let text = compression::decompress(Compression::Gzip, packed, compression::limit(packed.len())).ok()?;
    String::from_utf8(text).ok()
}

/// The text of a configuration file, compressed (/proc/config.gz) or not; `None` for what is no text.
pub fn config_file(bytes: &[u8]) -> Option<String> {
    let text = match Compression::of(bytes) {
        Some(packing) => compression::decompress(packing, bytes, compression::limit(bytes.len())).ok()?,
        None => bytes.to_vec(),
    };
    String::from_utf8(text).ok()
}

/// The release out of the banner of an uncompressed image: `Linux version 7.3.4 (...`.
pub fn release(image: &[u8]) -> Option<String> {
    // The first is a format string in some builds.
    memmem::find_iter(image, BANNER).find_map(|at| first_word(&image[at + BANNER.len()..]))
}

/// What `uname -v` says, out of the banner of an uncompressed image: what stands behind the compiler, from `#` on.
pub fn build(image: &[u8]) -> Option<String> {
    let line = memmem::find_iter(image, BANNER).find_map(|at| {
        let text = &image[at + BANNER.len()..];
        first_word(text)?;
        let len = text.iter().take(MAX_BANNER).position(|&b| matches!(b, b'\n' | 0))?;
        std::str::from_utf8(&text[..len]).ok()
    })?;
    line.find(") #").map(|at| line[at + 2..].trim_end().to_owned())
}

/// A release number at the start of bytes.
fn first_word(bytes: &[u8]) -> Option<String> {
    let len = bytes.iter().take(MAX_RELEASE + 1).position(|&b| b == b' ')?;
    let word = std::str::from_utf8(&bytes[..len]).ok()?;
    let is_release =
        word.starts_with(|c: char| c.is_ascii_digit()) && word.chars().all(|c| c.is_ascii_graphic());
    is_release.then(|| word.to_owned())
}

/// What may still be unpacked.
#[derive(Clone, Copy)]
struct Limits {
    /// Bytes that one layer may unpack to.
    bytes: usize,
    layers: usize,
}

/// Recognises a file or the content of one; `outer` is what holds it.
fn open<'d>(data: Cow<'d, [u8]>, outer: Kind, limits: Limits) -> Result<Extracted<'d>, Error> {
    let found = |kind, btf| Extracted {
        btf,
        release: None,
        build: None,
        kconfig: None,
        arch: None,
        btf_ids: None,
        kind,
        compression: None,
        cut: None,
    };
    // Of a kernel that lies there as it runs, the banner and the configuration are there too.
    let unpacked = |kind, data: Cow<'d, [u8]>, btf| {
        let (release, build, kconfig) = (release(&data), build(&data), kconfig(&data));
        Extracted { release, build, kconfig, ..found(kind, slice(data, btf)) }
    };
    if data.starts_with(snapshot::MAGIC) {
        let snapshot = snapshot::read(&data)?;
        let release = snapshot.cut.meta.release.clone();
        return Ok(Extracted {
            release,
            kconfig: snapshot.kconfig,
            cut: Some(snapshot.cut),
            ..found(Kind::Snapshot, Cow::Owned(snapshot.btf))
        });
    }
    if data.starts_with(&[0x9f, 0xeb]) || data.starts_with(&[0xeb, 0x9f]) {
        return Ok(found(Kind::RawBtf, data));
    }
    if data.starts_with(&ELFMAG) {
        let ElfParts { btf, btf_ids, arch } = elf_btf(&data)?;
        return Ok(Extracted { btf_ids, arch, ..unpacked(Kind::Vmlinux, data, btf) });
    }
    if data.starts_with(b"MZ") && data.get(4..8) == Some(b"zimg") {
        return open_zboot(&data, limits);
    }
    if data.get(0x202..0x206) == Some(b"HdrS") {
        return open_bzimage(&data, limits);
    }
    if flat::is_image(&data) {
        let btf = flat::find_btf(&data).ok_or(Error::WithoutBtf { kind: Kind::FlatImage })?;
        let (btf_ids, arch) = (Some(flat::behind(&data, &btf)), flat::arch(&data));
        return Ok(Extracted { btf_ids, arch, ..unpacked(Kind::FlatImage, data, btf) });
    }
    if let Some(compression) = Compression::of(&data) {
        return open_compressed(&data, compression, Kind::Compressed, limits);
    }
    if data.starts_with(b"MZ") {
        return scan(&data, Kind::Efi, limits)
            .unwrap_or(Err(Error::NotAKernel { found: "an EFI or Windows executable" }));
    }
    if let Some(name) = compression::unsupported(&data) {
        return Err(Error::UnsupportedCompression { kind: outer, name: name.to_owned() });
    }
    Err(Error::NotAKernel {
        found: match &*data {
            [] => "an empty file",
            _ if data.starts_with(b"#!") => "a script",
            _ if data.starts_with(b"!<arch>\n") => "an archive or a Debian package",
            _ if data.starts_with(&[0xed, 0xab, 0xee, 0xdb]) => "an RPM package",
            _ if data.iter().all(|&byte| byte == 0) => "nothing but zero bytes",
            _ if data.iter().all(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace()) => {
                "a text file"
            }
            _ => "unknown data",
        },
    })
}

/// Part of the data, without a copy where the data are borrowed.
fn slice(data: Cow<'_, [u8]>, range: Range<usize>) -> Cow<'_, [u8]> {
    match data {
        Cow::Borrowed(bytes) => Cow::Borrowed(&bytes[range]),
        Cow::Owned(mut bytes) => {
            bytes.truncate(range.end);
            bytes.drain(..range.start);
            bytes.shrink_to_fit();
            Cow::Owned(bytes)
        }
    }
}

/// What an ELF file has of a kernel.
struct ElfParts {
    /// Where its `.BTF` section lies.
    btf: Range<usize>,
    /// The words of its `.BTF_ids`.
    btf_ids: Option<Vec<u32>>,
    arch: Option<Arch>,
}

fn elf_btf(data: &[u8]) -> Result<ElfParts, Error> {
    if data.get(4) == Some(&ELFCLASS32.0) {
        elf_sections::<FileHeader32<Endianness>>(data)
    } else {
        elf_sections::<FileHeader64<Endianness>>(data)
    }
}

fn elf_sections<E: FileHeader<Endian = Endianness>>(data: &[u8]) -> Result<ElfParts, Error> {
    let malformed = |error: object::read::Error| Error::Elf(error.to_string().to_lowercase());
    let header = E::parse(data).map_err(malformed)?;
    let endian = header.endian().map_err(malformed)?;
    if header.e_machine(endian) == EM_BPF {
        return Err(Error::BpfObject);
    }
    if header.e_type(endian) == ET_REL {
        return Err(Error::Module);
    }
    let len = data.len() as u64;
    let table = header.e_shoff(endian).into();
    if table > len {
        return Err(Error::Truncated { kind: Kind::Vmlinux, needs: table, len });
    }
    let sections = header.sections(endian, data).map_err(malformed)?;
    // A NOBITS section (of a file that holds debug information only) has no range.
    let range = |name: &[u8]| {
        sections.section_by_name(endian, name).and_then(|(_, section)| section.file_range(endian))
    };
    let Some((start, size)) = range(b".BTF") else {
        return Err(match release(data) {
            Some(_) => Error::WithoutBtf { kind: Kind::Vmlinux },
            None => Error::NotAKernel { found: "an ELF file with neither a kernel's banner nor BTF" },
        });
    };
    let end = start.saturating_add(size);
    if end > len {
        return Err(Error::Truncated { kind: Kind::Vmlinux, needs: end, len });
    }
    // Whoever cut it off, the types are whole.
    let btf_ids = range(b".BTF_ids").and_then(|(start, size)| {
        let end = start.checked_add(size).filter(|&end| end <= len)?;
        Some(words(&data[start as usize..end as usize], endian == Endianness::Big))
    });
    let arch = Arch::of_elf(header.e_machine(endian));
    Ok(ElfParts { btf: start as usize..end as usize, btf_ids, arch })
}

/// Unpacks and goes on inside.
fn open_compressed(
    packed: &[u8],
    compression: Compression,
    kind: Kind,
    limits: Limits,
) -> Result<Extracted<'static>, Error> {
    let Some(layers) = limits.layers.checked_sub(1) else {
        return Err(Error::NotAKernel {
            found: "compressed data inside compressed data, several times over",
        });
    };
    let data = compression::decompress(compression, packed, limits.bytes)
        .map_err(|failure| Error::Decompression { kind, compression, failure })?;
    let inner = open(Cow::Owned(data), kind, Limits { layers, ..limits })?;
    Ok(Extracted {
        kind: if kind == Kind::Compressed { inner.kind } else { kind },
        compression: Some(compression),
        ..inner
    })
}

fn u32_at(data: &[u8], at: usize) -> Option<u32> {
    data.get(at..)?.first_chunk().map(|raw| u32::from_le_bytes(*raw))
}

fn u16_at(data: &[u8], at: usize) -> Option<u16> {
    data.get(at..)?.first_chunk().map(|raw| u16::from_le_bytes(*raw))
}

/// The part of an image that its header says is the packed kernel.
fn payload(data: &[u8], kind: Kind, start: u64, len: u64) -> Result<&[u8], Error> {
    let needs = start + len;
    let range = usize::try_from(start).ok().zip(usize::try_from(needs).ok());
    range.and_then(|(start, end)| data.get(start..end)).ok_or(Error::Truncated {
        kind,
        needs,
        len: data.len() as u64,
    })
}

/// Offsets are those of `struct setup_header`.
fn open_bzimage(data: &[u8], limits: Limits) -> Result<Extracted<'static>, Error> {
    let kind = Kind::BzImage;
    let version = u16_at(data, 0x206).unwrap_or(0);
    let banner = u16_at(data, 0x20e)
        .filter(|&at| at != 0)
        .and_then(|at| data.get(0x200 + usize::from(at)..))
        .and_then(first_word);
    let extracted = match (u32_at(data, 0x248), u32_at(data, 0x24c)) {
        // The payload's place is told since boot protocol 2.08.
        (Some(offset), Some(len)) if version >= 0x208 && len != 0 => {
            let sectors = match data[0x1f1] {
                0 => 4,
                sectors => u64::from(sectors),
            };
            let payload = payload(data, kind, (sectors + 1) * 512 + u64::from(offset), u64::from(len))?;
            match Compression::of(payload) {
                Some(compression) => {
                    open_compressed(unsized_payload(payload, compression), compression, kind, limits)
                }
                None if payload.starts_with(&ELFMAG) => {
                    open(Cow::Borrowed(payload), kind, limits).map(|inner| into_owned(inner, kind))
                }
                None => match compression::unsupported(payload) {
                    Some(name) => Err(Error::UnsupportedCompression { kind, name: name.to_owned() }),
                    None => scan(data, kind, limits).unwrap_or(Err(Error::UnsupportedCompression {
                        kind,
                        name: "an unknown method".to_owned(),
                    })),
                },
            }
        }
        _ => scan(data, kind, limits).unwrap_or(Err(Error::WithoutBtf { kind })),
    };
    match extracted {
        Ok(extracted) => Ok(Extracted { release: extracted.release.or(banner), ..extracted }),
        Err(Error::WithoutBtf { .. }) => Err(Error::WithoutBtf { kind }),
        Err(error) => Err(error),
    }
}

/// The kernel's build appends the unpacked length to what does not tell it itself (scripts/Makefile.lib, `size_append`);
/// a decoder would take it for more data.
fn unsized_payload(payload: &[u8], compression: Compression) -> &[u8] {
    match payload.len().checked_sub(4) {
        Some(len) if compression != Compression::Gzip => &payload[..len],
        _ => payload,
    }
}

fn open_zboot(data: &[u8], limits: Limits) -> Result<Extracted<'static>, Error> {
    let kind = Kind::Zboot;
    let truncated = || Error::Truncated { kind, needs: 64, len: data.len() as u64 };
    let start = u32_at(data, 8).ok_or_else(truncated)?;
    let len = u32_at(data, 12).ok_or_else(truncated)?;
    let name = data.get(24..56).ok_or_else(truncated)?;
    let payload = payload(data, kind, u64::from(start), u64::from(len))?;
    let Some(compression) = Compression::of(payload) else {
        let name = name.split(|&b| b == 0).next().unwrap_or_default();
        return Err(Error::UnsupportedCompression { kind, name: String::from_utf8_lossy(name).into_owned() });
    };
    match open_compressed(payload, compression, kind, limits) {
        Err(Error::WithoutBtf { .. }) => Err(Error::WithoutBtf { kind }),
        other => other,
    }
}

fn into_owned(extracted: Extracted<'_>, kind: Kind) -> Extracted<'static> {
    Extracted { btf: Cow::Owned(extracted.btf.into_owned()), kind, ..extracted }
}

/// Tries every place where compressed data seem to start, as the kernel's scripts/extract-vmlinux does; `None` where
/// none of them holds a kernel.
fn scan(data: &[u8], kind: Kind, limits: Limits) -> Option<Result<Extracted<'static>, Error>> {
    let mut without_btf = None;
    for (at, compression) in Compression::candidates(data).into_iter().take(MAX_CANDIDATES) {
        match open_compressed(&data[at..], compression, kind, limits) {
            Err(error @ Error::WithoutBtf { .. }) => without_btf = Some(Err(error)),
            Err(_) => {}
            found => return Some(found),
        }
    }
    without_btf
}
