//! What was read of kernel images, kept on disk: to unpack one takes a third of a second, and to read what was kept a twentieth of that.
//!
//! An entry is a file named after the SHA-256 of the image, so an image that changes has another entry. Unlike a snapshot it holds all
//! that [`image::extract`] found, uncut: whatever is asked of the image is answered from it alike. A file, little-endian:
//! `scxlkept`, the version (u32), a CRC-32 of what follows, the SHA-256 of the image, then the parts, each behind its length: what is
//! short as JSON, and the BTF, the words of `.BTF_ids` and the configuration, packed.
//!
//! Nothing here is an error: an entry that cannot be used is made anew, and where none can be made the image is read as it always was.
//! Entries are written aside and renamed, so that whoever reads one at the same time reads a whole one.

use std::borrow::Cow;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::arch::Arch;
use super::image::{self, Compression, Extracted, Kind};
use super::pack::{Cursor, MAX_UNPACKED, put_fast, take_fast, varint};

/// First bytes of an entry.
pub const MAGIC: &[u8; 8] = b"scxlkept";
/// The version that is written, and the only one that is read. What [`image::extract`] finds in an image is part of the format.
pub const VERSION: u32 = 1;
/// Where the checksum stands, and what it is of starts.
const CHECKSUM: usize = 12;
const CHECKED: usize = 16;
/// Bytes of a SHA-256.
const KEY: usize = 32;
/// Largest entry that is read; a kernel's takes 3 MB.
const MOST: u64 = 96 << 20;
/// How long an entry is kept that nobody asks for.
const KEPT: Duration = Duration::from_secs(90 * 24 * 60 * 60);
/// How often it is noted that somebody did.
const NOTED: Duration = Duration::from_secs(24 * 60 * 60);

/// A folder with entries.
#[derive(Debug, Clone)]
pub struct Cache {
    folder: PathBuf,
}

/// What is short of an entry.
#[derive(Debug, Serialize, Deserialize)]
struct Meta {
    release: Option<String>,
    build: Option<String>,
    arch: Option<Arch>,
    kind: Kind,
    compression: Option<Compression>,
    btf_ids: bool,
    kconfig: bool,
}

impl Cache {
    /// Entries in a folder, which is made when there is something to keep.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// The user's: in `$SCX_LINT_CACHE`, else in `scx-lint` of `$XDG_CACHE_HOME` or `~/.cache`. `None` where none of them is set.
    pub fn of_user() -> Option<Self> {
        let absolute =
            |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let own = std::env::var_os("SCX_LINT_CACHE").filter(|path| !path.is_empty()).map(PathBuf::from);
        let of_all = || absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")));
        let folder = own.or_else(|| Some(of_all()?.join("scx-lint")))?;
        Some(Self::new(folder.join("images")))
    }

    /// What [`image::extract`] finds, from the entry of the file where there is one.
    ///
    /// # Errors
    /// As for [`image::extract`].
    pub fn extract<'d>(&self, bytes: impl Into<Cow<'d, [u8]>>) -> Result<Extracted<'d>, image::Error> {
        let bytes = bytes.into();
        if !image::is_packed(&bytes) {
            return image::extract(bytes);
        }
        let key: [u8; KEY] = Sha256::digest(&bytes).into();
        let path = self.path(&key);
        if let Some(found) = self.read(&path, &key) {
            return Ok(found);
        }
        let found = image::extract(bytes)?;
        // What was not packed is read as fast from the file.
        if found.compression.is_some()
            && let Some(entry) = encode(&found, &key)
        {
            // It is there or it is not: see above.
            let _ = self.write(&path, &entry);
        }
        Ok(found)
    }

    fn path(&self, key: &[u8; KEY]) -> PathBuf {
        let hex: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
        self.folder.join(format!("{hex}.{VERSION}"))
    }

    fn read(&self, path: &Path, key: &[u8; KEY]) -> Option<Extracted<'static>> {
        let bytes = crate::regular::read(path, MOST).ok()?;
        let (of, found) = decode(&bytes)?;
        if of != key {
            return None;
        }
        let age = fs::metadata(path).and_then(|known| known.modified()).ok().and_then(|at| at.elapsed().ok());
        if age.is_some_and(|age| age > NOTED) {
            let _ = fs::File::options()
                .append(true)
                .open(path)
                .and_then(|file| file.set_modified(SystemTime::now()));
        }
        Some(found)
    }

    fn write(&self, path: &Path, entry: &[u8]) -> std::io::Result<()> {
        make_folder(&self.folder)?;
        self.clean();
        let aside =
            self.folder.join(format!(".{}-{:?}.new", std::process::id(), std::thread::current().id()));
        let written = fs::File::create(&aside)
            .and_then(|mut file| file.write_all(entry).and_then(|()| file.sync_data()))
            .and_then(|()| fs::rename(&aside, path));
        if written.is_err() {
            let _ = fs::remove_file(&aside);
        }
        written
    }

    /// Drops entries of other versions, those that nobody has asked for, and what is left of runs that were ended.
    fn clean(&self) {
        for entry in fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            let age =
                entry.metadata().and_then(|known| known.modified()).ok().and_then(|at| at.elapsed().ok());
            let older = |limit| age.is_some_and(|age| age > limit);
            let stale = match name.rsplit_once('.') {
                Some((_, "new")) => name.starts_with('.') && older(NOTED),
                Some((key, version)) if key.len() == 2 * KEY => {
                    let number = version.parse::<u32>().ok();
                    number.is_some_and(|number| number != VERSION || older(KEPT))
                }
                _ => false,
            };
            if stale {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

/// Makes a folder that nobody else reads.
fn make_folder(folder: &Path) -> std::io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

/// An entry with what was found in the image of that SHA-256; `None` for what cannot be kept.
fn encode(found: &Extracted<'_>, key: &[u8; KEY]) -> Option<Vec<u8>> {
    // Each field is named: what is added to it is to be kept, too.
    let Extracted { btf, release, build, kconfig, arch, btf_ids, kind, compression, cut } = found;
    if cut.is_some() || btf.len() > MAX_UNPACKED {
        return None;
    }
    let meta = Meta {
        release: release.clone(),
        build: build.clone(),
        arch: *arch,
        kind: *kind,
        compression: *compression,
        btf_ids: btf_ids.is_some(),
        kconfig: kconfig.is_some(),
    };
    let meta = serde_json::to_vec(&meta).ok()?;
    let words: Vec<u8> = btf_ids.iter().flatten().flat_map(|word| word.to_le_bytes()).collect();
    let mut rest = key.to_vec();
    varint(&mut rest, u32::try_from(meta.len()).ok()?);
    rest.extend_from_slice(&meta);
    put_fast(&mut rest, btf);
    put_fast(&mut rest, &words);
    put_fast(&mut rest, kconfig.as_deref().unwrap_or_default().as_bytes());
    let mut out = MAGIC.to_vec();
    out.extend_from_slice(&VERSION.to_le_bytes());
    out.extend_from_slice(&crc32fast::hash(&rest).to_le_bytes());
    out.extend_from_slice(&rest);
    Some(out)
}

/// The SHA-256 of the image that an entry is about, and what was found there; `None` for bytes that are no entry of this version, or
/// a damaged one.
pub fn decode(bytes: &[u8]) -> Option<(&[u8], Extracted<'static>)> {
    let word = |at: usize| bytes.get(at..)?.first_chunk().map(|raw| u32::from_le_bytes(*raw));
    if !bytes.starts_with(MAGIC) || word(MAGIC.len())? != VERSION {
        return None;
    }
    if word(CHECKSUM)? != crc32fast::hash(bytes.get(CHECKED..)?) {
        return None;
    }
    let mut cursor = Cursor::new(bytes.get(CHECKED..)?);
    let key = cursor.take(KEY)?;
    let len = cursor.varint()? as usize;
    let meta: Meta = serde_json::from_slice(cursor.take(len)?).ok()?;
    let btf = take_fast(&mut cursor)?;
    let words = take_fast(&mut cursor)?;
    let kconfig = String::from_utf8(take_fast(&mut cursor)?).ok()?;
    let (words, rest) = words.as_chunks();
    let whole = rest.is_empty() && cursor.rest().is_empty();
    let found = Extracted {
        btf: Cow::Owned(btf),
        release: meta.release,
        build: meta.build,
        arch: meta.arch,
        kconfig: meta.kconfig.then_some(kconfig),
        btf_ids: meta.btf_ids.then(|| words.iter().copied().map(u32::from_le_bytes).collect()),
        kind: meta.kind,
        compression: meta.compression,
        cut: None,
    };
    whole.then_some((key, found))
}

/// Makes the checksum of an entry or a snapshot that of its content: what fuzzers and tests change lies behind it.
pub fn correct_checksum(bytes: &mut [u8]) {
    if let Some((head, rest)) = bytes.split_at_mut_checked(CHECKED) {
        head[CHECKSUM..].copy_from_slice(&crc32fast::hash(rest).to_le_bytes());
    }
}

#[cfg(test)]
mod tests;
