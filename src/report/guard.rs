//! What a runner of GitHub Actions reads as a command, spelled so that it reads none.
//!
//! The runner takes every line of a step's output that starts with `::`, blanks aside, for a command (`::error::`), and `##[` anywhere in
//! a line (`actions/runner`, `ActionCommand.cs`). Names of files and names in objects may hold either, and a report that wraps its lines
//! may start one with any of its words, so the finished lines are what is looked at.

use std::borrow::Cow;
use std::io::{self, Write};

/// How a format spells a character that must not stand as itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spelling {
    /// `\u{3a}`, as reports for people show control characters.
    Text,
    /// `\u003a`: a reader of JSON gets the character.
    Json,
    /// `&#58;`: a reader of XML or HTML gets the character.
    Markup,
}

impl Spelling {
    fn of(self, c: char) -> String {
        match self {
            Self::Text => c.escape_unicode().to_string(),
            Self::Json => format!("\\u{:04x}", u32::from(c)),
            Self::Markup => format!("&#{};", u32::from(c)),
        }
    }
}

/// A text with no line that reads as a command.
pub fn without_commands(text: &str, spelling: Spelling) -> Cow<'_, str> {
    if !text.contains("::") && !text.contains("##[") {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for line in text.split_inclusive(['\n', '\r']) {
        let words = line.trim_start();
        out.push_str(&line[..line.len() - words.len()]);
        // In JSON a line starts with a bracket, a quote, a digit or a letter.
        let words = match words.strip_prefix("::") {
            Some(rest) if spelling != Spelling::Json => {
                out.push_str(&spelling.of(':'));
                out.push(':');
                rest
            }
            _ => words,
        };
        out.push_str(&words.replace("##[", &format!("#{}[", spelling.of('#'))));
    }
    Cow::Owned(out)
}

/// A writer of text that passes whole lines on, each without a command. What is behind the last line feed is passed on by
/// [`Guard::finish`].
#[derive(Debug)]
pub struct Guard<W> {
    out: W,
    spelling: Spelling,
    line: Vec<u8>,
}

impl<W: Write> Guard<W> {
    /// In front of a writer.
    pub fn new(out: W, spelling: Spelling) -> Self {
        Self { out, spelling, line: Vec::new() }
    }

    /// Passes on what is left, and flushes.
    ///
    /// # Errors
    /// The writer's.
    pub fn finish(mut self) -> io::Result<()> {
        self.pass()?;
        self.out.flush()
    }

    fn pass(&mut self) -> io::Result<()> {
        match std::str::from_utf8(&self.line) {
            Ok(text) => self.out.write_all(without_commands(text, self.spelling).as_bytes())?,
            Err(_) => {
                let text = String::from_utf8_lossy(&self.line);
                self.out.write_all(without_commands(&text, self.spelling).as_bytes())?;
            }
        }
        self.line.clear();
        Ok(())
    }
}

impl<W: Write> Write for Guard<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match bytes.iter().rposition(|&byte| byte == b'\n') {
            None => self.line.extend_from_slice(bytes),
            Some(last) => {
                self.line.extend_from_slice(&bytes[..=last]);
                self.pass()?;
                self.line.extend_from_slice(&bytes[last + 1..]);
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the runner would do: the line is trimmed for one form, and searched for the other.
    fn has_command(text: &str) -> bool {
        text.split(['\n', '\r']).any(|line| line.trim().starts_with("::") || line.contains("##["))
    }

    #[test]
    fn no_line_reads_as_a_command() {
        let hostile = "::error::x\n \t\u{a0}::add-mask::y\r::z\na ##[error]b\n##[group]\n:: \n";
        assert!(has_command(hostile));
        for spelling in [Spelling::Text, Spelling::Markup] {
            let text = without_commands(hostile, spelling);
            assert!(!has_command(&text), "{text}");
        }
        assert_eq!(without_commands("::a\nb ##[c]", Spelling::Text), "\\u{3a}:a\nb #\\u{23}[c]");
        assert_eq!(without_commands("  ::a", Spelling::Markup), "  &#58;:a");
        assert_eq!(without_commands("\"##[a]\"", Spelling::Json), "\"#\\u0023[a]\"");
        let json: String = serde_json::from_str(&without_commands("\"##[a]\"", Spelling::Json)).unwrap();
        assert_eq!(json, "##[a]", "the reader gets what was written");
    }

    #[test]
    fn what_is_no_command_stays() {
        for text in ["a.c:1:2: x::y", "[[clang::z]]", "# #[x] #[", "plain\n\n:x\n"] {
            assert!(
                matches!(without_commands(text, Spelling::Text), Cow::Borrowed(_)) || !text.contains("##[")
            );
            assert_eq!(without_commands(text, Spelling::Text), text);
        }
    }

    #[test]
    fn a_line_may_come_in_pieces() {
        let mut out = Vec::new();
        let mut guard = Guard::new(&mut out, Spelling::Text);
        for piece in ["a\n:", ":b\n#", "#[c", "]\n::d"] {
            guard.write_all(piece.as_bytes()).unwrap();
        }
        guard.finish().unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "a\n\\u{3a}:b\n#\\u{23}[c]\n\\u{3a}:d");
    }
}
