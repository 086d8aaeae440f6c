//! The kernel log, from a point in time on.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;

/// A record of the kernel log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Syslog level: 0 emergency .. 3 error, 4 warning .. 7 debug.
    pub level: u8,
    /// First line of the message.
    pub text: String,
}

/// A reader of `/dev/kmsg` that starts at the present.
#[derive(Debug)]
pub struct Log(File);

impl Log {
    /// Opens the log; what is in it already is skipped.
    ///
    /// # Errors
    /// Opening or seeking fails: no permission, or no such device.
    pub fn open() -> io::Result<Self> {
        let mut file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open("/dev/kmsg")?;
        file.seek(SeekFrom::End(0))?;
        Ok(Self(file))
    }

    /// The records since the last call. One read gives one record; lost ones are skipped.
    pub fn read(&mut self) -> Vec<Record> {
        let mut records = Vec::new();
        let mut buffer = [0_u8; 8192];
        loop {
            match self.0.read(&mut buffer) {
                Ok(0) => break,
                Ok(len) => records.extend(parse(&String::from_utf8_lossy(&buffer[..len]))),
                // EPIPE: records were overwritten before they were read; the next read goes on after them.
                Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        records
    }
}

/// A record is `PRIORITY,SEQUENCE,TIME,FLAGS[,...];TEXT` and lines of its own fields that start with a blank.
fn parse(record: &str) -> Option<Record> {
    let (head, text) = record.split_once(';')?;
    let priority: u32 = head.split(',').next()?.parse().ok()?;
    Some(Record { level: (priority & 7) as u8, text: text.lines().next().unwrap_or_default().to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_has_a_level_and_a_text() {
        let record = parse("3,1200,5140900,-;sched_ext: simple: a; b\n SUBSYSTEM=x\n").unwrap();
        assert_eq!(record, Record { level: 3, text: "sched_ext: simple: a; b".to_owned() });
        assert_eq!(parse("30,1,1,-;systemd: x\n").unwrap().level, 6);
        assert_eq!(parse("no record"), None);
    }
}
