//! The compressions that kernels are packed with, all read in pure Rust, none without a bound.

use std::io::{self, Read};

use memchr::memmem;
use serde::{Deserialize, Serialize};

/// Most bytes that a kernel may unpack to. A vmlinux with all debug information of a distribution is about half of it.
pub const MAX_IMAGE: usize = 1 << 30;
/// Most bytes that a byte may unpack to, on average. Kernels reach 3 to 10.
const MAX_RATIO: usize = 64;
/// What a tiny input may unpack to all the same.
const MIN_LIMIT: usize = 1 << 20;
/// Most memory of an LZMA decoder, KiB. The kernel's build asks for a dictionary of up to 128 MiB.
const LZMA_MEMORY: u32 = 160 << 10;

/// A compression.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum Compression {
    Gzip,
    Xz,
    Zstd,
    Lz4,
    Lzma,
    Bzip2,
}

/// Why something does not unpack.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// The data end early.
    #[error("truncated")]
    Truncated,
    /// The data are damaged, or use what the decoder does not know.
    #[error("{0}")]
    Malformed(String),
    /// More comes out than a kernel can be.
    #[error("unpacks to more than {limit} bytes, which no kernel does")]
    TooLarge {
        /// The bound, bytes.
        limit: usize,
    },
}

impl Compression {
    /// Every compression, with the bytes that such data start with.
    const MAGICS: [(Self, &'static [u8]); 7] = [
        (Self::Gzip, &[0x1f, 0x8b, 8]),
        (Self::Xz, &[0xfd, b'7', b'z', b'X', b'Z', 0]),
        (Self::Zstd, &[0x28, 0xb5, 0x2f, 0xfd]),
        // The legacy frame, which the kernel uses, and today's.
        (Self::Lz4, &[0x02, 0x21, 0x4c, 0x18]),
        (Self::Lz4, &[0x04, 0x22, 0x4d, 0x18]),
        // The default properties, and a dictionary that is a multiple of 64 KiB.
        (Self::Lzma, &[0x5d, 0, 0]),
        (Self::Bzip2, b"BZh"),
    ];

    /// What the data start with.
    pub fn of(data: &[u8]) -> Option<Self> {
        Self::MAGICS
            .into_iter()
            .find(|(_, magic)| data.starts_with(magic))
            .map(|(compression, _)| compression)
    }

    /// Every place where such data seem to start, in the order in which they should be tried: rare magics before
    /// those that code has by chance.
    pub(super) fn candidates(data: &[u8]) -> Vec<(usize, Self)> {
        let mut found = Vec::new();
        for (compression, magic) in Self::MAGICS {
            // LZMA has no magic to speak of; its length field, unknown or sane, makes up for it.
            let plausible = |at: &usize| {
                compression != Self::Lzma
                    || data.get(at + 5..).and_then(|rest| rest.first_chunk()).is_some_and(|raw| {
                        let len = u64::from_le_bytes(*raw);
                        len == u64::MAX || (len > 0 && len <= MAX_IMAGE as u64)
                    })
            };
            found
                .extend(memmem::find_iter(data, magic).filter(plausible).take(8).map(|at| (at, compression)));
        }
        found
    }

    /// The name that the kernel's build knows it by.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Xz => "xz",
            Self::Zstd => "zstd",
            Self::Lz4 => "lz4",
            Self::Lzma => "lzma",
            Self::Bzip2 => "bzip2",
        }
    }
}

impl std::fmt::Display for Compression {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A compression that is recognised and not read.
pub(super) fn unsupported(data: &[u8]) -> Option<&'static str> {
    [("lzo", b"\x89LZO".as_slice()), ("lzip", b"LZIP"), ("zip", b"PK\x03\x04"), ("compress", &[0x1f, 0x9d])]
        .into_iter()
        .find(|(_, magic)| data.starts_with(magic))
        .map(|(name, _)| name)
}

/// How many bytes an input of this length may unpack to.
pub(super) fn limit(len: usize) -> usize {
    len.saturating_mul(MAX_RATIO).clamp(MIN_LIMIT, MAX_IMAGE)
}

/// Unpacks; what follows the data is ignored where the format tells its end.
pub(super) fn decompress(compression: Compression, packed: &[u8], limit: usize) -> Result<Vec<u8>, Failure> {
    let mut source = Source { rest: packed, dry: false };
    let mut out = Vec::new();
    let result = read(compression, &mut source, limit as u64 + 1, &mut out);
    if out.len() > limit {
        return Err(Failure::TooLarge { limit });
    }
    match result {
        Ok(()) => Ok(out),
        Err(_) if source.dry => Err(Failure::Truncated),
        Err(error) => Err(Failure::Malformed(error.to_string())),
    }
}

fn read(compression: Compression, source: &mut Source<'_>, most: u64, out: &mut Vec<u8>) -> io::Result<()> {
    match compression {
        Compression::Gzip => flate2::read::GzDecoder::new(source).take(most).read_to_end(out),
        Compression::Xz => {
            lzma_rust2::XzReader::new_mem_limit(source, false, LZMA_MEMORY).take(most).read_to_end(out)
        }
        Compression::Zstd => ruzstd::decoding::StreamingDecoder::new(source)
            .map_err(io::Error::other)?
            .take(most)
            .read_to_end(out),
        Compression::Lz4 => lz4_flex::frame::FrameDecoder::new(source).take(most).read_to_end(out),
        Compression::Lzma => {
            lzma_rust2::LzmaReader::new_mem_limit(source, LZMA_MEMORY, None)?.take(most).read_to_end(out)
        }
        Compression::Bzip2 => bzip2::read::BzDecoder::new(source).take(most).read_to_end(out),
    }
    .map(|_| ())
}

/// The packed bytes; remembers whether a decoder asked for more than there are, which tells truncation from damage
/// whatever the decoder's own errors say.
struct Source<'d> {
    rest: &'d [u8],
    dry: bool,
}

impl Read for Source<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.dry |= self.rest.is_empty() && !buffer.is_empty();
        self.rest.read(buffer)
    }
}
