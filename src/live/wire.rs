//! How a guest talks to its host: JSON frames on a serial line, one per line, each with its length and a checksum,
//! so that anything else on the line is skipped and a damaged frame is noticed.

use std::fmt::Write as _;
use std::io::{self, BufRead, Write};

use serde::{Deserialize, Serialize};

use super::job::Job;
use super::observation::Observation;

/// Starts every frame.
const MARK: &str = "#scx-lint:1 ";

/// A line that is longer is no frame.
const MAX_FRAME: u64 = 64 << 20;

/// What the host puts into the guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Orders {
    /// What to do, one after another.
    pub jobs: Vec<Job>,
}

/// What a guest says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Frame {
    /// It is up.
    Hello {
        /// `uname -r`.
        release: String,
    },
    /// A step of a job begins.
    Doing {
        /// What was seen so far, without logs.
        observation: Box<Observation>,
        /// The step.
        step: String,
    },
    /// A job is done.
    Done {
        /// All that was seen.
        observation: Box<Observation>,
    },
    /// It powers off: all jobs are done, or this kernel had better not do another.
    Bye,
    /// For programs other than scx-lint itself that run as the guest's init.
    Note {
        /// Any text.
        text: String,
    },
}

/// FNV-1a, enough to notice lost or foreign bytes.
fn checksum(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

/// Writes one frame.
///
/// # Errors
/// The writer's.
pub fn send(out: &mut impl Write, frame: &Frame) -> io::Result<()> {
    let json = serde_json::to_string(frame)?;
    let mut line = String::with_capacity(json.len() + 64);
    // The line feed in front ends whatever noise is on the line.
    let _ = writeln!(line, "\n{MARK}{} {:016x} {json}", json.len(), checksum(json.as_bytes()));
    out.write_all(line.as_bytes())?;
    out.flush()
}

/// The next intact frame; `None` at the end of the stream.
///
/// # Errors
/// The reader's.
pub fn receive(input: &mut impl BufRead) -> io::Result<Option<Frame>> {
    let mut line = Vec::new();
    loop {
        line.clear();
        // A reader that never sends a line feed must not fill the memory.
        if io::Read::take(&mut *input, MAX_FRAME).read_until(b'\n', &mut line)? == 0 {
            return Ok(None);
        }
        if let Some(frame) = parse(&line) {
            return Ok(Some(frame));
        }
    }
}

fn parse(line: &[u8]) -> Option<Frame> {
    let text = String::from_utf8_lossy(line);
    let rest = &text[text.find(MARK)? + MARK.len()..];
    let (len, rest) = rest.split_once(' ')?;
    let (sum, rest) = rest.split_once(' ')?;
    let json = rest.get(..len.parse().ok()?)?;
    let intact = u64::from_str_radix(sum, 16) == Ok(checksum(json.as_bytes()));
    intact.then(|| serde_json::from_str(json).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_survive_noise_and_damage_is_noticed() {
        let frame = |text: &str| Frame::Note { text: text.to_owned() };
        let mut line = Vec::new();
        send(&mut line, &frame("one\ntwo é")).unwrap();
        line.extend(b"[   12.3] sched_ext: noise\r\n\xff\xfe");
        send(&mut line, &frame("three")).unwrap();
        let mut damaged = Vec::new();
        send(&mut damaged, &frame("lost")).unwrap();
        let at = damaged.len() - 6;
        damaged[at] ^= 1;
        line.extend(&damaged);
        line.extend(b"#scx-lint:1 999999 0 {}\n#scx-lint:1 \n");
        send(&mut line, &Frame::Bye).unwrap();
        let mut input = line.as_slice();
        assert_eq!(receive(&mut input).unwrap(), Some(frame("one\ntwo é")));
        assert_eq!(receive(&mut input).unwrap(), Some(frame("three")));
        assert_eq!(receive(&mut input).unwrap(), Some(Frame::Bye));
        assert_eq!(receive(&mut input).unwrap(), None);
    }
}
