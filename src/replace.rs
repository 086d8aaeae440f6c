//! Writing a file so that it is there whole or not at all.

use std::fs::{self, File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// How many links one behind the other are followed; the kernel's own bound (`MAXSYMLINKS`).
const MAX_LINKS: usize = 40;

/// Writes a file anew: aside in the same folder, then renamed over what is there, so that a full disk or a signal leaves what was.
/// Mode and owner of an existing file stay, and a link still leads to it.
///
/// A pipe, a terminal, a device or what a process has open (`/dev/stdout`) is written to. So is a file that cannot be replaced, because
/// its folder takes no new file or because it is mounted by itself.
///
/// # Errors
/// The file cannot be written.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let known = fs::metadata(path).ok();
    if known.as_ref().is_some_and(|data| !data.is_file()) {
        return overwrite(path, bytes);
    }
    let Some(path) = behind_links(path)? else { return overwrite(path, bytes) };
    match write_aside(&path, known.as_ref(), bytes) {
        Err(error) if known.is_some() && cannot_be_replaced(error.kind()) => overwrite(&path, bytes),
        other => other,
    }
}

fn cannot_be_replaced(kind: io::ErrorKind) -> bool {
    use io::ErrorKind::{CrossesDevices, PermissionDenied, ReadOnlyFilesystem, ResourceBusy};
    matches!(kind, PermissionDenied | ReadOnlyFilesystem | ResourceBusy | CrossesDevices)
}

fn overwrite(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    match file.sync_all() {
        // Not everything that can be written to has a disk behind it.
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
        other => other,
    }
}

/// Where a path leads, also where there is nothing yet; `None` for a file that a process has open.
fn behind_links(path: &Path) -> io::Result<Option<PathBuf>> {
    let mut path = path.to_owned();
    for _ in 0..MAX_LINKS {
        match fs::read_link(&path) {
            Ok(_) if path.starts_with("/proc") => return Ok(None),
            Ok(next) => path = path.parent().unwrap_or(Path::new("")).join(next),
            Err(_) => return Ok(Some(path)),
        }
    }
    Err(io::Error::other("too many symbolic links"))
}

fn write_aside(path: &Path, known: Option<&fs::Metadata>, bytes: &[u8]) -> io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    // A new file gets what the user's mask leaves; nobody else may read an old one's successor before it has the old one's mode.
    let mode = if known.is_some() { 0o600 } else { 0o666 };
    let mut aside = tempfile::Builder::new()
        .prefix(".scx-lint-")
        .suffix(".tmp")
        .permissions(Permissions::from_mode(mode))
        .tempfile_in(folder)
        .map_err(without_path)?;
    aside.as_file_mut().write_all(bytes)?;
    if let Some(known) = known {
        let made = aside.as_file().metadata()?;
        if (made.uid(), made.gid()) != (known.uid(), known.gid()) {
            // Whoever may not give the file away could not have made it somebody else's before either.
            let _ = std::os::unix::fs::fchown(aside.as_file(), Some(known.uid()), Some(known.gid()));
        }
        aside.as_file().set_permissions(known.permissions())?;
    }
    aside.as_file().sync_all()?;
    aside.persist(path).map_err(|error| error.error)?;
    Ok(())
}

/// The error alone: its caller names the file that was asked for, not the one aside.
fn without_path(error: io::Error) -> io::Error {
    let words = error.to_string();
    let words = words.split(" at path \"").next().unwrap_or_default();
    io::Error::new(error.kind(), words)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o7777
    }

    #[test]
    fn a_file_is_replaced_with_its_mode_and_behind_its_links() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link, dangling) =
            (folder.path().join("file"), folder.path().join("link"), folder.path().join("dangling"));
        replace(&file, b"one").unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"one");
        let plain = folder.path().join("plain");
        fs::write(&plain, b"").unwrap();
        assert_eq!(mode(&file), mode(&plain), "a new file is as open as any other");
        fs::set_permissions(&file, Permissions::from_mode(0o604)).unwrap();
        std::os::unix::fs::symlink("file", &link).unwrap();
        std::os::unix::fs::symlink("new", &dangling).unwrap();
        replace(&link, b"two").unwrap();
        replace(&dangling, b"three").unwrap();
        assert_eq!((fs::read(&file).unwrap(), mode(&file)), (b"two".to_vec(), 0o604));
        assert_eq!(fs::read(folder.path().join("new")).unwrap(), b"three");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink(), "the link stays one");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 5, "nothing is left aside");
        std::os::unix::fs::symlink("b", folder.path().join("a")).unwrap();
        std::os::unix::fs::symlink("a", folder.path().join("b")).unwrap();
        assert!(replace(&folder.path().join("a"), b"").is_err());
    }

    #[test]
    fn what_is_no_file_is_written_to() {
        replace(Path::new("/dev/null"), b"gone").unwrap();
        let error = replace(Path::new("/dev/full"), b"x").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        let error = replace(Path::new("/nowhere/at/all"), b"x").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        assert!(!error.to_string().contains("scx-lint"), "{error}");
    }
}
