//! What an input is, from its first bytes, so that a wrong one gets an answer that helps.

use super::Error;

/// Accepts 64-bit ELF and names everything else.
pub(super) fn expect_elf(data: &[u8]) -> Result<(), Error> {
    if data.is_empty() {
        return Err(Error::Empty);
    }
    let Some(ident) = data.strip_prefix(b"\x7fELF") else {
        return Err(foreign(data));
    };
    match ident.first() {
        Some(2) => {}
        Some(&class) => return Err(Error::WrongClass { class }),
        None => {
            return Err(Error::Truncated { what: "the ELF identification", at: 0 });
        }
    }
    match ident.get(1) {
        Some(1 | 2) => Ok(()),
        Some(&value) => Err(Error::UnknownByteOrder { value }),
        None => Err(Error::Truncated { what: "the ELF identification", at: 0 }),
    }
}

fn foreign(data: &[u8]) -> Error {
    type Magic = (&'static [u8], fn() -> Error);
    const MAGICS: [Magic; 14] = [
        (b"BC\xc0\xde", || Error::Bitcode),
        (b"\xde\xc0\x17\x0b", || Error::Bitcode),
        (b"\xfe\xed\xfa\xce", || Error::MachO),
        (b"\xfe\xed\xfa\xcf", || Error::MachO),
        (b"\xce\xfa\xed\xfe", || Error::MachO),
        (b"\xcf\xfa\xed\xfe", || Error::MachO),
        (b"!<arch>\n", || Error::Archive),
        (b"!<thin>\n", || Error::Archive),
        (b"MZ", || Error::Pe),
        (b"\x1f\x8b", || Error::Compressed { format: "gzip" }),
        (b"\xfd7zXZ\0", || Error::Compressed { format: "xz" }),
        (b"\x28\xb5\x2f\xfd", || Error::Compressed { format: "zstd" }),
        (b"BZh", || Error::Compressed { format: "bzip2" }),
        (b"PK\x03\x04", || Error::Compressed { format: "zip" }),
    ];
    if let Some((_, error)) = MAGICS.iter().find(|(magic, _)| data.starts_with(magic)) {
        return error();
    }
    let head = &data[..data.len().min(512)];
    let text =
        head.iter().all(|&b| b.is_ascii_graphic() || matches!(b, b' ' | b'\t' | b'\r' | b'\n') || b >= 0x80);
    if text && std::str::from_utf8(head).map_or_else(|e| e.error_len().is_none(), |_| true) {
        Error::Text
    } else {
        Error::NotElf
    }
}
