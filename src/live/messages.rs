//! What libbpf says: its messages, the logs in them, and its error numbers.

use std::sync::Mutex;

use libbpf_rs::PrintLevel;

use crate::errno::Errno;

/// Messages of libbpf since the last look. libbpf has one print function per process.
static MESSAGES: Mutex<Vec<(PrintLevel, String)>> = Mutex::new(Vec::new());

pub(super) fn collect(level: PrintLevel, text: String) {
    // Debug messages are many and of no use, but for the logs of programs that loaded.
    if (level != PrintLevel::Debug || text.contains("BEGIN PROG LOAD LOG"))
        && let Ok(mut messages) = MESSAGES.lock()
    {
        messages.push((level, text));
    }
}

pub(super) fn take_messages() -> Vec<(PrintLevel, String)> {
    MESSAGES.lock().map(|mut messages| std::mem::take(&mut *messages)).unwrap_or_default()
}

/// The error number. libbpf-rs hides the `io::Error`, but prints its number.
pub(super) fn errno_of(error: &libbpf_rs::Error) -> Option<Errno> {
    let text = format!("{error:#}");
    let (number, _) = text.rsplit_once("(os error ")?.1.split_once(')')?;
    number.parse().ok().map(Errno)
}

/// The program and log in libbpf's message about the last program that was refused.
pub(super) fn program_log(messages: &[(PrintLevel, String)]) -> Option<(String, String)> {
    let (_, text) = messages
        .iter()
        .rfind(|(level, text)| *level == PrintLevel::Warn && text.contains("-- BEGIN PROG LOAD LOG --"))?;
    let (head, rest) = text.split_once("-- BEGIN PROG LOAD LOG --\n")?;
    let log = rest.split_once("-- END PROG LOAD LOG --").map_or(rest, |(log, _)| log);
    Some((quoted(head)?.to_owned(), log.to_owned()))
}

/// What stands between the first two single quotes.
fn quoted(text: &str) -> Option<&str> {
    text.split_once('\'')?.1.split_once('\'').map(|(quoted, _)| quoted)
}

/// The last bytes of a log, as whole lines.
pub(super) fn tail(log: &str, max: usize) -> Vec<String> {
    let mut size = 0;
    let mut lines: Vec<String> = log
        .lines()
        .rev()
        .take_while(|line| {
            size += line.len() + 1;
            size <= max
        })
        .map(str::to_owned)
        .collect();
    if lines.len() < log.lines().count() {
        lines.push(format!("[the first {} lines are left out]", log.lines().count() - lines.len()));
    }
    lines.reverse();
    lines
}

/// `verification time 123 usec`.
pub(super) fn verification_time(log: &str) -> Option<u64> {
    log.lines()
        .find_map(|line| line.trim().strip_prefix("verification time ")?.strip_suffix(" usec")?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_log_is_kept() {
        assert_eq!(tail("a\nb\nc\n", 4), ["[the first 1 lines are left out]", "b", "c"]);
        assert_eq!(tail("a\nb\n", 100), ["a", "b"]);
        assert_eq!(verification_time("\nverification time 42 usec\nstack depth 0\n"), Some(42));
    }

    #[test]
    fn the_log_of_the_refused_program_is_found() {
        let messages = [
            (
                PrintLevel::Debug,
                "libbpf: prog 'a': -- BEGIN PROG LOAD LOG --\nok\n-- END PROG LOAD LOG --\n".to_owned(),
            ),
            (
                PrintLevel::Warn,
                "libbpf: prog 'b': -- BEGIN PROG LOAD LOG --\nbad\n-- END PROG LOAD LOG --\n".to_owned(),
            ),
        ];
        assert_eq!(program_log(&messages), Some(("b".to_owned(), "bad\n".to_owned())));
        assert_eq!(program_log(&messages[..1]), None);
    }
}
