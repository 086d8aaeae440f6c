//! Kernel images that a guest can boot.

use std::fs;
use std::path::Path;

use super::observation::{Failure, code};
use crate::kernel::builtin;

/// The image can be read and looks like a kernel that QEMU can boot.
///
/// # Errors
/// One sentence.
pub fn check_image(image: &Path) -> Result<(), Failure> {
    use std::io::Read;
    let bad = |words: String| Failure::new(code::IMAGE, format!("{}: {words}", image.display()));
    let mut head = Vec::new();
    // A FIFO would wait for a writer.
    if fs::metadata(image).is_ok_and(|metadata| !metadata.is_file()) {
        return Err(bad("is no regular file, expected a kernel image".to_owned()));
    }
    let file = fs::File::open(image).map_err(|error| {
        // What --kernel takes, and what --attach is for.
        let name = image.to_str().unwrap_or_default();
        let instead = match name {
            "host" => "; a guest boots a kernel image; --attach asks this machine's kernel",
            "all" => "; a guest boots a kernel image, name each",
            _ if builtin::find(name).is_some() => {
                "; a guest boots a kernel image (a vmlinuz), and of this release only the types are built in"
            }
            _ => "",
        };
        bad(format!("{error}{instead}"))
    })?;
    let len = file.metadata().map_or(u64::MAX, |metadata| metadata.len());
    file.take(0x210).read_to_end(&mut head).map_err(|error| bad(error.to_string()))?;
    // Documentation/arch/x86/boot.rst: the setup header's magic. An ELF vmlinux for x86-64 boots by its PVH note.
    let is_vmlinux = head.starts_with(b"\x7fELF\x02") && head.get(18..20) == Some(&[62, 0]);
    if head.get(0x202..0x206) == Some(b"HdrS") {
        // Sectors of the setup, less the first, and 16-byte paragraphs of the rest.
        let (sectors, paragraphs) = (head.get(0x1f1), head.get(0x1f4..0x1f8).and_then(<[u8]>::first_chunk));
        let setup = sectors.map_or(4, |&sectors| u64::from(if sectors == 0 { 4 } else { sectors }));
        let rest = paragraphs.map_or(0, |raw| u64::from(u32::from_le_bytes(*raw)));
        let needs = (setup + 1) * 512 + rest * 16;
        return match rest {
            1.. if len < needs => Err(bad(format!("is truncated: needs {needs} bytes, has {len}"))),
            _ => Ok(()),
        };
    }
    if is_vmlinux {
        return Ok(());
    }
    Err(bad(match machine_of(&head) {
        Some(machine) => format!("is a kernel image for {machine}; guests are x86-64 machines"),
        None => "is no x86 kernel image (neither bzImage nor vmlinux)".to_owned(),
    }))
}

/// The machine of an image that is not for x86, where its first bytes tell.
fn machine_of(head: &[u8]) -> Option<&'static str> {
    // e_machine of ELF, either byte order.
    if head.starts_with(b"\x7fELF") {
        let number: [u8; 2] = head.get(18..20)?.try_into().ok()?;
        let number = match head.get(5) {
            Some(2) => u16::from_be_bytes(number),
            _ => u16::from_le_bytes(number),
        };
        return match number {
            183 => Some("arm64"),
            243 => Some("RISC-V"),
            21 => Some("POWER"),
            22 => Some("S/390"),
            258 => Some("LoongArch"),
            _ => None,
        };
    }
    // Documentation/arch/arm64/booting.rst and arch/riscv/boot-image-header.rst; both also wrapped for EFI, which
    // Debian and Fedora do.
    match (head.get(0x38..0x3c), head.get(4..8)) {
        (Some(b"ARM\x64"), _) => Some("arm64"),
        (Some(b"RSC\x05"), _) => Some("RISC-V"),
        (_, Some(b"zimg")) => Some("another machine (an EFI image, as of arm64)"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_told_from_other_files() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("image");
        assert_eq!(check_image(&path).unwrap_err().code, code::IMAGE);
        for (name, words) in [
            ("7.3", "of this release only the types are built in"),
            ("host", "--attach"),
            ("all", "name each"),
        ] {
            let failure = check_image(Path::new(name)).unwrap_err();
            assert!(failure.message.contains(words), "{}", failure.message);
        }
        assert!(check_image(folder.path()).unwrap_err().message.contains("is no regular file"));
        fs::write(&path, b"text").unwrap();
        assert!(check_image(&path).unwrap_err().message.contains("is no x86 kernel image"));
        let mut head = vec![0; 0x210];
        head[0x202..0x206].copy_from_slice(b"HdrS");
        fs::write(&path, head).unwrap();
        check_image(&path).unwrap();
        let mut cut = vec![0; 0x1000];
        cut[0x202..0x206].copy_from_slice(b"HdrS");
        cut[0x1f4] = 0xff;
        fs::write(&path, &cut).unwrap();
        assert!(check_image(&path).unwrap_err().message.contains("is truncated: needs 6640 bytes, has 4096"));
        cut.resize(6640, 0);
        fs::write(&path, &cut).unwrap();
        check_image(&path).unwrap();
        let mut arm = vec![0; 0x210];
        arm[0x38..0x3c].copy_from_slice(b"ARM\x64");
        fs::write(&path, arm).unwrap();
        assert!(check_image(&path).unwrap_err().message.contains("is a kernel image for arm64"));
        let mut arm = vec![0; 0x210];
        arm[..6].copy_from_slice(b"\x7fELF\x02\x01");
        arm[18] = 183;
        fs::write(&path, arm).unwrap();
        assert!(check_image(&path).unwrap_err().message.contains("is a kernel image for arm64"));
        assert!(check_image(folder.path()).unwrap_err().message.contains("no regular file"));
    }
}
