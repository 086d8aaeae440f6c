//! Reads what people paste when a scheduler does not start: libbpf's messages with verifier logs in them, a log alone, the kernel
//! log, and what schedulers print when they end; with whatever a journal or a logger put in front of the lines.

use std::collections::{BTreeMap, HashSet};

use crate::checks;
use crate::errno::Errno;
use crate::rule::Rule;
use crate::verifier::bpf_check::Why;
use crate::verifier::log::{self, Diagnostic};

/// Longest line that is kept as it is, in bytes.
const MAX_LINE: usize = 2000;

/// Something that a text says.
#[derive(Debug, Clone, PartialEq)]
pub enum Said {
    /// The verifier refuses a program.
    Refusal {
        /// What the log says.
        diagnostic: Box<Diagnostic>,
        /// What libbpf says that the load returned.
        errno: Option<Errno>,
    },
    /// A line of libbpf or the kernel that rules are about.
    Line {
        /// The line.
        text: String,
        /// The rules.
        rules: &'static [&'static Rule],
    },
    /// A scheduler has ended.
    Exit {
        /// Its name, where it is told.
        scheduler: Option<String>,
        /// Why, in the kernel's few words.
        reason: String,
        /// What exactly, where that is told.
        message: String,
    },
    /// An error number and nothing that says more.
    Error {
        /// The line.
        text: String,
        /// The number.
        errno: Errno,
    },
}

/// Why the kernel ends schedulers (`scx_exit_reason`), and what is behind it.
const REASONS: &[(&str, &str)] = &[
    (
        "unregistered from user space",
        "the scheduler's own program ended it, or was ended itself: nothing is wrong",
    ),
    ("unregistered from BPF", "the scheduler ended itself with scx_bpf_exit()"),
    (
        "unregistered from the main kernel",
        "the kernel ended it, as it does when a CPU comes or goes that the scheduler does not handle",
    ),
    ("disabled by sysrq-S", "someone pressed SysRq-S"),
    ("parent exiting", "the scheduler that it is a child of ended"),
    ("runtime error", "the scheduler did something that the kernel does not allow"),
    ("scx_bpf_error", "the scheduler found an error itself and called scx_bpf_error() with these words"),
    (
        "runnable task stall",
        "a task was ready to run for longer than timeout_ms (30 s where the ops say nothing): look for a path on which enqueue \
         or dispatch takes a task and inserts it nowhere, or into a DSQ that no CPU takes from",
    ),
];

/// What is behind the reason for which a scheduler was ended.
pub fn reason_meaning(reason: &str) -> Option<&'static str> {
    REASONS.iter().find(|(known, _)| *known == reason).map(|(_, meaning)| *meaning)
}

/// `BPF scheduler "NAME" disabled (REASON)`, behind `sched_ext: `: the name and the reason.
pub fn disabled(line: &str) -> Option<(&str, &str)> {
    let (name, rest) = line.strip_prefix("BPF scheduler \"")?.split_once('"')?;
    Some((name, rest.strip_prefix(" disabled (")?.strip_suffix(')')?))
}

/// What a text says, in its order and each thing once.
pub fn read(text: &str) -> Vec<Said> {
    let plain = plain(text);
    let mut reader = Reader::default();
    for line in plain.lines() {
        reader.line(bare(line));
    }
    reader.finish()
}

/// Where in a text a line stands.
#[derive(Debug, Default)]
enum Place {
    /// Between logs.
    #[default]
    Outside,
    /// In the verifier's log of a program.
    Log(String),
    /// In the kernel's words about the types of an object.
    BtfLog,
}

#[derive(Debug, Default)]
struct Reader<'a> {
    place: Place,
    /// Lines of the log, or lines that may be one.
    lines: Vec<&'a str>,
    said: Vec<Said>,
    seen: HashSet<String>,
    /// Programs of which libbpf says that they did not load, without a log so far.
    failed: BTreeMap<String, Option<Errno>>,
    errors: Vec<(String, Errno)>,
    /// A scheduler that has ended, of which the message may follow.
    ended: Option<(String, String)>,
    /// The next line is the reason, as in a dump.
    reason_follows: bool,
}

impl<'a> Reader<'a> {
    fn line(&mut self, line: &'a str) {
        if let Some((head, _)) = line.split_once("-- BEGIN PROG LOAD LOG --") {
            self.flush();
            self.place = Place::Log(quoted(head).unwrap_or_default().to_owned());
        } else if line.contains("-- BEGIN BTF LOAD LOG --") {
            self.flush();
            self.place = Place::BtfLog;
        } else if line.contains("-- END PROG LOAD LOG --") || line.contains("-- END BTF LOAD LOG --") {
            self.flush();
        } else if let Some(words) = behind(line, "libbpf: ").filter(|_| !log::is_of_log(line)) {
            self.flush();
            self.libbpf(words);
        } else if let Some(words) = behind(line, "sched_ext: ").filter(|_| !log::is_of_log(line)) {
            self.flush();
            self.kernel(words);
        } else if !matches!(self.place, Place::BtfLog) {
            self.lines.push(line.strip_prefix("Verifier output: ").unwrap_or(line));
        }
    }

    fn finish(mut self) -> Vec<Said> {
        self.flush();
        self.end(String::new());
        // A log may have been printed once for several attempts.
        let logged: HashSet<&str> = self.said.iter().filter_map(refused).collect();
        let mut failed = std::mem::take(&mut self.failed);
        failed.retain(|program, _| !logged.contains(program.as_str()));
        for (program, errno) in failed {
            let diagnostic = Box::new(Diagnostic { program, ..Diagnostic::default() });
            self.add(Said::Refusal { diagnostic, errno });
        }
        // Numbers say less than anything else.
        if self.said.is_empty() {
            for (text, errno) in std::mem::take(&mut self.errors) {
                self.add(Said::Error { text, errno });
            }
        }
        self.said
    }

    fn add(&mut self, said: Said) {
        let key = match &said {
            Said::Refusal { diagnostic, .. } => {
                format!("{} {} {:?}", diagnostic.program, diagnostic.message, diagnostic.insn)
            }
            Said::Line { text, .. } => text.clone(),
            Said::Exit { reason, message, .. } => format!("{reason} {message}"),
            Said::Error { errno, .. } => errno.to_string(),
        };
        if self.seen.insert(key) {
            self.said.push(said);
        }
    }

    /// A log has ended, or lines between logs.
    fn flush(&mut self) {
        let lines = dedent(std::mem::take(&mut self.lines));
        match std::mem::take(&mut self.place) {
            Place::Log(program) => self.log(&program, &lines),
            Place::Outside => self.loose(&lines),
            Place::BtfLog => {}
        }
    }

    fn log(&mut self, program: &str, lines: &[&str]) {
        let diagnostic = Box::new(log::parse(program, &lines.join("\n")));
        // libbpf prints the logs of programs that load too, where it is told to.
        let failed = self.failed.remove(program);
        if failed.is_none() && diagnostic.words().is_empty() {
            return;
        }
        let errno = failed.flatten();
        self.add(Said::Refusal { diagnostic, errno });
    }

    /// Lines that nobody signed: logs without a frame among them, or single messages.
    fn loose(&mut self, lines: &[&str]) {
        for part in lines.split_inclusive(|line| line.starts_with("processed ") && line.contains(" insns ")) {
            let is_log = |line: &&str| log::is_of_log(line);
            let Some(first) = part.iter().position(is_log) else {
                part.iter().for_each(|line| self.single(line));
                continue;
            };
            let (before, rest) = part.split_at(first);
            before.iter().for_each(|line| self.single(line));
            // What follows the last line of the log is its message, and then anything.
            let last = rest.iter().rposition(|line| log::is_of_log(line) || Why::of_line(line).is_some());
            let is_unknown = |last: usize| log::is_of_log(rest[last]) && last + 1 < rest.len();
            let end = match last {
                // From 7.3 prose follows the message, up to what would end the log.
                _ if rest.iter().any(|line| line.starts_with("Verification failed: ")) => rest.len(),
                Some(last) if is_unknown(last) => last + 2,
                Some(last) => last + 1,
                None => 0,
            };
            let (log, after) = rest.split_at(end);
            self.log("", log);
            after.iter().for_each(|line| self.single(line));
        }
    }

    fn single(&mut self, line: &str) {
        let line = line.trim();
        if self.reason_follows && !line.is_empty() {
            self.reason_follows = false;
            self.exit(line);
        } else if let Some(words) = behind(line, "EXIT: ") {
            self.exit(words);
        } else if line.contains(" triggered exit kind ") && line.ends_with(':') {
            self.reason_follows = true;
        } else if Why::of_line(line).is_some() {
            let diagnostic = Box::new(Diagnostic { message: cut(line), ..Diagnostic::default() });
            self.add(Said::Refusal { diagnostic, errno: None });
        } else if starts_as_of_libbpf(line) {
            self.libbpf(line);
        } else if let Some(errno) = errno_in(line) {
            self.errors.push((cut(line), errno));
        }
    }

    fn libbpf(&mut self, words: &str) {
        if let Some((head, result)) = words.split_once("BPF program load failed: ") {
            let program = quoted(head).unwrap_or_default();
            self.failed.entry(program.to_owned()).or_insert_with(|| errno_of(result));
            return;
        }
        let rules = checks::about(words);
        if !rules.is_empty() {
            self.add(Said::Line { text: cut(words), rules });
        } else if let Some(errno) = words.rsplit_once(": ").and_then(|(_, result)| errno_of(result)) {
            self.errors.push((cut(words), errno));
        }
    }

    fn kernel(&mut self, words: &str) {
        if let Some((name, reason)) = disabled(words) {
            self.end(String::new());
            self.ended = Some((name.to_owned(), reason.to_owned()));
            return;
        }
        let of_ended = self.ended.as_ref().and_then(|(name, _)| words.strip_prefix(name.as_str()));
        if let Some(message) = of_ended.and_then(|rest| rest.strip_prefix(": ")) {
            self.end(cut(message));
            return;
        }
        // Before 6.12 the reason stood first on the second line.
        if words.split_once(" (").is_some_and(|(reason, _)| reason_meaning(reason).is_some()) {
            self.exit(words);
            return;
        }
        let rules = checks::about(words);
        if !rules.is_empty() {
            self.add(Said::Line { text: cut(words), rules });
        }
    }

    /// A scheduler has ended, and this is all that is told of it.
    fn end(&mut self, message: String) {
        if let Some((name, reason)) = self.ended.take() {
            self.add(Said::Exit { scheduler: Some(name), reason, message });
        }
    }

    /// `REASON (MESSAGE)`, as programs print it.
    fn exit(&mut self, words: &str) {
        let (reason, message) = match words.split_once(" (") {
            Some((reason, message)) => (reason, message.strip_suffix(')').unwrap_or(message)),
            None => (words, ""),
        };
        if reason_meaning(reason).is_some() {
            self.add(Said::Exit { scheduler: None, reason: reason.to_owned(), message: cut(message) });
        }
    }
}

/// The program of a refusal.
fn refused(said: &Said) -> Option<&str> {
    match said {
        Said::Refusal { diagnostic, .. } => Some(&diagnostic.program),
        _ => None,
    }
}

/// What follows the first mark in a line.
fn behind<'a>(line: &'a str, mark: &str) -> Option<&'a str> {
    line.split_once(mark).map(|(_, rest)| rest)
}

/// What stands between the first two single quotes.
fn quoted(text: &str) -> Option<&str> {
    text.split_once('\'')?.1.split_once('\'').map(|(quoted, _)| quoted)
}

/// A line as libbpf begins many, without its name before it.
fn starts_as_of_libbpf(line: &str) -> bool {
    ["prog '", "map '", "extern (", "struct_ops init", "struct_ops reloc", "failed to load "]
        .iter()
        .any(|start| line.starts_with(start))
}

/// A line of bearable length.
fn cut(line: &str) -> String {
    let mut end = line.len().min(MAX_LINE);
    while !line.is_char_boundary(end) {
        end -= 1;
    }
    line[..end].trim().to_owned()
}

/// `-13`, `-EACCES` or `Permission denied`.
fn errno_of(words: &str) -> Option<Errno> {
    /// As glibc spells them (`strerror`).
    const SPELLED: &[(&str, Errno)] = &[
        ("Operation not permitted", Errno::EPERM),
        ("No such file or directory", Errno::ENOENT),
        ("No such process", Errno::ESRCH),
        ("Argument list too long", Errno::E2BIG),
        ("Bad file descriptor", Errno::EBADF),
        ("Resource temporarily unavailable", Errno::EAGAIN),
        ("Cannot allocate memory", Errno::ENOMEM),
        ("Permission denied", Errno::EACCES),
        ("Bad address", Errno::EFAULT),
        ("Device or resource busy", Errno::EBUSY),
        ("File exists", Errno::EEXIST),
        ("No such device", Errno::ENODEV),
        ("Invalid argument", Errno::EINVAL),
        ("No space left on device", Errno::ENOSPC),
        ("Numerical result out of range", Errno::ERANGE),
        ("Function not implemented", Errno::ENOSYS),
        ("Protocol error", Errno::EPROTO),
        ("Operation not supported", Errno::EOPNOTSUPP),
        ("Unknown error 524", Errno::ENOTSUPP),
    ];
    let words = words.trim();
    if let Some((_, errno)) = SPELLED.iter().find(|(spelled, _)| words.starts_with(spelled)) {
        return Some(*errno);
    }
    let word = words.strip_prefix('-')?;
    let word = word.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next()?;
    word.parse().ok().filter(|&number| number > 0).map(Errno).or_else(|| Errno::from_words(word))
}

/// `Permission denied (os error 13)`, as Rust prints it.
fn errno_in(line: &str) -> Option<Errno> {
    let (number, _) = line.split_once("(os error ")?.1.split_once(')')?;
    number.parse().ok().filter(|&number| number > 0).map(Errno)
}

/// A text without what colours it, and without NUL.
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['\u{1b}', '\0']) {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(sequence) = rest.strip_prefix("\u{1b}[") {
            rest = sequence.trim_start_matches(|c: char| c.is_ascii_digit() || c == ';' || c == ':');
        }
        let mut chars = rest.chars();
        chars.next();
        rest = chars.as_str();
    }
    out.push_str(rest);
    out
}

/// A log that stands further to the right as it is printed, moved back.
fn dedent(mut lines: Vec<&str>) -> Vec<&str> {
    let margin = |line: &str| line.len() - line.trim_start_matches([' ', '\t']).len();
    let first = lines.iter().find(|line| log::is_of_log(line.trim_start()));
    let most = first.map_or(0, |line| margin(line));
    if most > 0 {
        for line in &mut lines {
            *line = &line[margin(line).min(most)..];
        }
    }
    lines
}

/// A line without what mail, dmesg, journals and loggers put before it: times, hosts, programs, levels and modules.
fn bare(line: &str) -> &str {
    let mut line = line.trim_end();
    while let Some(rest) = prefix(line) {
        line = rest;
    }
    line
}

fn prefix(line: &str) -> Option<&str> {
    if let Some(rest) = line.strip_prefix("> ") {
        return Some(rest);
    }
    if let Some(inner) = line.strip_prefix('[') {
        let (inner, rest) = inner.split_once(']')?;
        let rest = rest.strip_prefix(':').unwrap_or(rest);
        let is_prefix = is_time(inner.trim()) || is_level(inner) || is_thread(inner);
        return is_prefix.then(|| rest.strip_prefix(' ').unwrap_or(rest));
    }
    if let Some(inner) = line.strip_prefix('<') {
        let (number, rest) = inner.split_once('>')?;
        return number.parse::<u8>().is_ok().then_some(rest);
    }
    let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
    if word.is_empty() {
        return None;
    }
    if is_clock(word) || is_date(word) {
        // A journal names the host and the program behind the time; a logger goes on with blanks.
        return Some(rest.trim_start());
    }
    if is_level(word.trim_end_matches(':')) || word.starts_with("ThreadId(") {
        return Some(rest.trim_start());
    }
    if let Some(word) = word.strip_suffix(':') {
        let is_module = word.contains("::") || word.contains(".rs:");
        return (is_module || is_process(word)).then_some(rest);
    }
    // `host program[1]: ` behind a time that has gone.
    let rest = rest.trim_start();
    let (second, rest) = rest.split_once(' ').unwrap_or((rest, ""));
    if second.strip_suffix(':').is_some_and(is_process) && !word.starts_with(['(', ';']) {
        return Some(rest);
    }
    // `Dec 01 12:00:00 `, in any language.
    let is_month =
        (2..=5).contains(&word.chars().count()) && word.chars().all(|c| c.is_alphabetic() || c == '.');
    let is_day = (1..=2).contains(&second.len()) && second.bytes().all(|byte| byte.is_ascii_digit());
    let (third, rest) = rest.trim_start().split_once(' ')?;
    (is_month && is_day && is_clock(third)).then(|| rest.trim_start())
}

/// `scx_rusty[1234]`, or the kernel.
fn is_process(word: &str) -> bool {
    let number = word.strip_suffix(']').and_then(|word| word.split_once('['));
    word == "kernel"
        || number.is_some_and(|(name, number)| {
            name.starts_with(|c: char| c.is_ascii_alphabetic()) && number.parse::<u32>().is_ok()
        })
}

fn is_level(word: &str) -> bool {
    matches!(word.trim(), "WARN" | "WARNING" | "INFO" | "ERROR" | "DEBUG" | "TRACE")
}

/// `T1234` or `C5`, the caller in a kernel log.
fn is_thread(word: &str) -> bool {
    let word = word.trim();
    word.len() > 1 && word.starts_with(['T', 'C']) && word.bytes().skip(1).all(|byte| byte.is_ascii_digit())
}

/// `12:00:00`, with a fraction or not.
fn is_clock(word: &str) -> bool {
    let mut parts = word.splitn(3, ':');
    let two = |part: Option<&str>| {
        part.is_some_and(|part| part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit()))
    };
    two(parts.next()) && two(parts.next()) && parts.next().is_some_and(|part| two(part.get(..2)))
}

/// `2026-12-01`, with a time behind it or not.
fn is_date(word: &str) -> bool {
    let bytes = word.as_bytes();
    let digits = |range: std::ops::Range<usize>| {
        bytes.get(range).is_some_and(|part| part.iter().all(u8::is_ascii_digit))
    };
    bytes.len() >= 10 && digits(0..4) && bytes[4] == b'-' && digits(5..7) && bytes[7] == b'-' && digits(8..10)
}

/// What stands between brackets before a line: seconds, or any date, with a level and a module perhaps.
fn is_time(inner: &str) -> bool {
    let seconds = inner.split_once('.').is_some_and(|(whole, part)| {
        !part.is_empty() && (whole.bytes().chain(part.bytes())).all(|byte| byte.is_ascii_digit())
    });
    seconds || inner.split(' ').any(|word| is_clock(word) || is_date(word))
}
