//! The side that may crash: reads objects as frames on stdin, answers each with one JSON line on stdout.
//!
//! A frame is `u32 name length, u32 byte count, name, bytes`, little endian. The byte count [`BY_PATH`] carries no
//! bytes and means the file called name.

use std::io::{self, Read, Write};

use crate::view;

/// In place of a byte count: open the file of that name.
pub const BY_PATH: u32 = u32::MAX;

/// What one frame asks for.
#[derive(Debug, PartialEq, Eq)]
pub enum Request {
    /// Open these bytes under this file name.
    Memory(Vec<u8>, Vec<u8>),
    /// Open this file.
    File(Vec<u8>),
}

impl Request {
    /// The file name asked about.
    pub fn name(&self) -> &[u8] {
        match self {
            Self::Memory(name, _) | Self::File(name) => name,
        }
    }
}

/// Read one frame; `None` at the end of the stream.
///
/// # Errors
/// The stream's own, and an end in the middle of a frame.
pub fn read_frame(from: &mut impl Read) -> io::Result<Option<Request>> {
    let mut head = [0_u8; 8];
    let mut have = 0;
    while have < head.len() {
        match from.read(&mut head[have..])? {
            0 if have == 0 => return Ok(None),
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            n => have += n,
        }
    }
    let [a, b, c, d, e, f, g, h] = head;
    let (name_len, len) = (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]));
    let mut take = |len: u32| -> io::Result<Vec<u8>> {
        let mut buf = Vec::new();
        from.take(u64::from(len)).read_to_end(&mut buf)?;
        if buf.len() < len as usize { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(buf) }
    };
    let name = take(name_len)?;
    if len == BY_PATH {
        return Ok(Some(Request::File(name)));
    }
    Ok(Some(Request::Memory(name, take(len)?)))
}

/// Write one frame.
///
/// # Errors
/// The stream's own, and `InvalidInput` for lengths beyond 32 bits.
pub fn write_frame(to: &mut impl Write, request: &Request) -> io::Result<()> {
    let length = |bytes: &[u8]| {
        u32::try_from(bytes.len()).ok().filter(|&n| n != BY_PATH).ok_or(io::ErrorKind::InvalidInput)
    };
    let (name, len, bytes): (_, _, &[u8]) = match request {
        Request::Memory(name, bytes) => (name, length(bytes)?, bytes),
        Request::File(name) => (name, BY_PATH, &[]),
    };
    to.write_all(&length(name)?.to_le_bytes())?;
    to.write_all(&len.to_le_bytes())?;
    to.write_all(name)?;
    to.write_all(bytes)?;
    to.flush()
}

/// Answer frames until there are no more.
///
/// # Errors
/// Those of stdin and stdout: the client is gone or does not speak the protocol.
pub fn run() -> io::Result<()> {
    view::capture_messages();
    let (mut stdin, mut stdout) = (io::stdin().lock(), io::stdout().lock());
    while let Some(request) = read_frame(&mut stdin)? {
        let answer = match &request {
            Request::Memory(name, bytes) => view::open_memory(name, bytes),
            Request::File(path) => view::open_file(path),
        };
        writeln!(stdout, "{answer}")?;
        stdout.flush()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_survive_the_round_trip() {
        let requests = [
            Request::Memory(b"a.o".to_vec(), vec![0, 255, 10]),
            Request::File(b"x/y.o".to_vec()),
            Request::Memory(vec![], vec![]),
        ];
        let mut wire = Vec::new();
        for request in &requests {
            write_frame(&mut wire, request).unwrap();
        }
        let mut from = wire.as_slice();
        for request in &requests {
            assert_eq!(read_frame(&mut from).unwrap().as_ref(), Some(request));
        }
        assert_eq!(read_frame(&mut from).unwrap(), None);
        assert!(read_frame(&mut &wire[..wire.len() - 4]).is_ok());
        assert!(read_frame(&mut &wire[..10]).is_err(), "a cut frame is an error, not the end");
    }
}
