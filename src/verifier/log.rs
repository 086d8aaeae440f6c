//! Reads the verifier's log of a refused program: what it objects to, at which instruction and C line, and
//! what it knew of the registers there.
//!
//! The format is no interface; this reads what the kernels since 6.12 print at log level 1 and makes do with less.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::bpf_check::{Why, register_named};
use crate::object::{FuncIdx, InsnIdx, Object};

/// The gist of a verifier log.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnostic {
    /// The verifier's message.
    pub message: String,
    /// Further explanation that newer kernels print.
    pub detail: Vec<String>,
    /// The entry program.
    pub program: String,
    /// The function of the object that holds the instruction.
    pub function: Option<String>,
    /// Instruction, counted from the start of the linked program as the verifier counts.
    pub insn: Option<usize>,
    /// Instruction, counted from the start of `function`.
    pub function_insn: Option<usize>,
    /// C file as the compiler recorded it.
    pub file: Option<String>,
    /// Line, 1-based.
    pub line: Option<u32>,
    /// Column, 1-based.
    pub column: Option<u32>,
    /// Text of the line.
    pub text: Option<String>,
    /// The last lines of the log up to the message: C lines and instructions.
    pub instructions: Vec<String>,
    /// Last known state of the registers and stack slots, in the verifier's notation.
    pub registers: Vec<Register>,
}

/// A register or stack slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Register {
    /// `R7` or `fp-8`.
    pub name: String,
    /// Its state.
    pub value: String,
}

/// Lines of the log that a diagnostic keeps before the message.
const CONTEXT: usize = 12;

/// What kind of line of a log it is.
#[derive(Debug, PartialEq, Eq)]
enum Line<'a> {
    /// `12: (79) r6 = *(u64 *)(r1 +0)  ; R6_w=...`: number, and the state after the instruction.
    Insn(usize, Option<&'a str>),
    /// `; C text @ file.c:83`.
    Source(&'a str),
    /// `from 3 to 12: R0=...` or `12: R0=...`: a whole state.
    State(&'a str),
    /// `12: <invalid kfunc call>`: libbpf's words over an instruction that it had poisoned.
    Poisoned(usize, &'a str),
    /// Statistics, or the verifier telling what it does.
    Chatter,
    /// Anything else: the message is one of these.
    Text(&'a str),
}

fn classify(line: &str) -> Line<'_> {
    let text = line.trim_end();
    if let Some(source) = text.strip_prefix("; ") {
        return Line::Source(source);
    }
    if text.trim().is_empty() {
        return Line::Text("");
    }
    let chatter = [
        "processed ",
        "verification time ",
        "stack depth ",
        "mark_precise: ",
        "func#",
        "Live regs ",
        "last_idx ",
        "regs=",
        "parent ",
        "caller:",
        "callee:",
        "returning from callee",
        "to caller at",
        "old state: ",
        "cur state: ",
        "insns processed ",
        "Validating ",
        "Note, ",
        "REG INVARIANTS VIOLATION",
    ];
    if chatter.iter().any(|start| text.starts_with(start))
        || (text.starts_with("insn ") && !text.contains("cannot call exception cb"))
        || (text.starts_with("Func")
            && (text.contains(" is safe for any args") || text.contains(" is global and assumed valid")))
    {
        return Line::Chatter;
    }
    if let Some(rest) = text.strip_prefix("from ") {
        if let Some((_, state)) = rest.split_once(": ") {
            return Line::State(state);
        }
        return Line::Chatter;
    }
    if let Some((number, rest)) = text.split_once(": ")
        && let Ok(number) = number.trim().parse()
    {
        if rest.starts_with('<') {
            return Line::Poisoned(number, rest);
        }
        if !rest.starts_with('(') {
            return Line::State(rest);
        }
        return Line::Insn(number, rest.split_once("; ").map(|(_, state)| state));
    }
    Line::Text(text)
}

/// Splits `R1=ctx() R2_w=scalar(smin=0, var_off=(0x0; 0xff)) fp-8=mmmmmmmm` at blanks outside parentheses.
fn states(text: &str) -> impl Iterator<Item = (String, String)> {
    let mut depth = 0_i32;
    let mut found = Vec::new();
    for token in text.split(move |c: char| {
        depth += i32::from(matches!(c, '(' | '[')) - i32::from(matches!(c, ')' | ']'));
        c == ' ' && depth <= 0
    }) {
        let Some((name, value)) = token.split_once('=') else { continue };
        // `_w`, `_rw` and the like are liveness marks, `_r` too.
        let name = name.split('_').next().unwrap_or(name);
        let number = name.strip_prefix('R').or_else(|| name.strip_prefix("fp-"));
        if number.is_some_and(|number| number.parse::<u32>().is_ok()) {
            found.push((name.to_owned(), value.to_owned()));
        }
    }
    found.into_iter()
}

/// Registers before stack slots, each by number.
fn order(name: &str) -> (bool, u32) {
    let stack = name.starts_with("fp");
    (stack, name.trim_start_matches(|c: char| !c.is_ascii_digit()).parse().unwrap_or(0))
}

/// Whether a line can only be one of a verifier's log, and no message: an instruction, a state, or what the verifier counts.
pub fn is_of_log(line: &str) -> bool {
    match classify(line) {
        Line::Insn(..) | Line::Poisoned(..) => true,
        Line::State(state) => states(state).next().is_some(),
        Line::Source(text) => text.contains(" @ "),
        Line::Chatter => line.starts_with("processed "),
        Line::Text(_) => false,
    }
}

/// Reads a log. The message is empty where the log has none.
pub fn parse(program: &str, log: &str) -> Diagnostic {
    let mut known: BTreeMap<(bool, u32), Register> = BTreeMap::new();
    let mut insn = None;
    let mut source: Option<&str> = None;
    let mut context: Vec<&str> = Vec::new();
    let mut message: Vec<&str> = Vec::new();
    let mut detail: Vec<String> = Vec::new();
    let mut explaining = false;
    for line in log.lines() {
        if explaining || line.starts_with("Verification failed: ") {
            // From 7.3: an explanation in prose after the classic message, up to the statistics.
            explaining = !line.starts_with("processed ");
            if explaining {
                detail.push(line.trim_end().to_owned());
            }
            continue;
        }
        let class = classify(line);
        // What was said before an instruction that the verifier went on to is no refusal.
        if matches!(class, Line::Insn(..) | Line::State(_)) {
            message.clear();
        }
        match class {
            Line::Insn(number, state) => {
                insn = Some(number);
                context.push(line);
                update(&mut known, state.unwrap_or_default());
            }
            Line::Source(text) => {
                source = Some(text);
                context.push(line);
            }
            Line::State(state) => {
                known.clear();
                update(&mut known, state);
            }
            Line::Poisoned(number, text) => {
                insn = Some(number);
                context.push(line);
                message.push(text);
            }
            Line::Text("") | Line::Chatter => {}
            Line::Text(text) => message.push(text),
        }
    }
    while detail.last().is_some_and(String::is_empty) {
        detail.pop();
    }
    let context = context.split_off(context.len().saturating_sub(CONTEXT));
    let mut diagnostic = Diagnostic {
        message: message.join("; "),
        detail,
        program: program.to_owned(),
        insn,
        instructions: context.into_iter().map(|line| line.trim_end().to_owned()).collect(),
        registers: known.into_values().collect(),
        ..Diagnostic::default()
    };
    if let Some((text, place)) = source.and_then(|source| source.rsplit_once(" @ "))
        && let Some((file, line)) = place.rsplit_once(':')
    {
        diagnostic.text = Some(text.to_owned());
        diagnostic.file = Some(file.to_owned());
        diagnostic.line = line.parse().ok().filter(|&line| line > 0);
    }
    diagnostic
}

fn update(known: &mut BTreeMap<(bool, u32), Register>, text: &str) {
    for (name, value) in states(text) {
        known.insert(order(&name), Register { name, value });
    }
}

/// Finds the instruction in the object and takes the C line from its own `.BTF.ext`, which has full paths
/// and columns where the log has file names only.
pub fn locate(diagnostic: &mut Diagnostic, object: &Object<'_>) {
    let Some(program) = object.programs().find(|(_, function, _)| function.name == diagnostic.program) else {
        return;
    };
    let Some(insn) = diagnostic.insn else { return };
    let Some((function, insn)) = function_of(object, program.0, insn) else { return };
    diagnostic.function = Some(object[function].name.to_string());
    diagnostic.function_insn = Some(insn.0);
    if let Some(line) = object.source_line(function, insn) {
        diagnostic.file = Some(line.file.to_owned());
        diagnostic.line = Some(line.line);
        diagnostic.column = (line.column > 0).then_some(line.column);
        diagnostic.text = Some(line.text.to_owned());
    }
}

/// libbpf appends the subprograms to the program, each once; the verifier counts through all of them.
fn function_of(object: &Object<'_>, program: FuncIdx, insn: usize) -> Option<(FuncIdx, InsnIdx)> {
    let mut start = 0;
    for (index, function) in object.code_of(program) {
        let end = start + function.code.len();
        if insn < end {
            return Some((index, InsnIdx(insn - start)));
        }
        start = end;
    }
    None
}

impl Diagnostic {
    /// What kind of mistake the message means.
    pub fn why(&self) -> Option<Why> {
        let why = Why::of_message(&self.words())?;
        // The message names what is asked for, not what it was given.
        let is_number = || self.culprit().is_some_and(|found| found.value.starts_with("scalar"));
        let asks = self.message.contains(" pointer type ");
        Some(if why == Why::WrongArgument && asks && is_number() { Why::NumberAsPointer } else { why })
    }

    /// The message. Where there is none, what kernels from 7.2 on say and older ones do not: a store into a kernel's struct is refused
    /// without a word.
    pub fn words(&self) -> Cow<'_, str> {
        match self.refused_store().filter(|_| self.message.is_empty()) {
            Some((register, name)) => Cow::Owned(format!("{register} cannot write into ptr_{name} at off=")),
            None => Cow::Borrowed(&self.message),
        }
    }

    /// The register and the type of the struct that the last instruction stores into.
    fn refused_store(&self) -> Option<(&str, &str)> {
        let (_, op) = self.instructions.last()?.split_once(") ")?;
        let (address, _) = op.strip_prefix("*(u")?.split_once(") = ")?;
        let (_, number) = address.split_once("*)(r")?;
        let number = number.split(' ').next()?;
        let state = self.registers.iter().find(|state| state.name.strip_prefix('R') == Some(number))?;
        let (_, name) = state.value.split_once("ptr_")?;
        Some((&state.name, name.split('(').next()?))
    }

    /// The paragraphs "Reason" and "Suggestion" of the kernel's explanation, which may go on for pages.
    pub fn gist(&self) -> Vec<String> {
        let mut keep = false;
        let mut lines = Vec::new();
        for line in &self.detail {
            // Headings are indented less than what they head.
            if line.ends_with(':') && !line.starts_with("   ") {
                keep = matches!(line.trim(), "Reason:" | "Suggestion:");
            } else if keep && !line.is_empty() {
                lines.push(line.trim().to_owned());
            }
        }
        lines
    }

    /// The register that the message names, with its last state.
    pub fn culprit(&self) -> Option<&Register> {
        let number = register_named(&self.message)?;
        let name = format!("R{number}");
        self.registers.iter().find(|register| register.name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "\
0: R1=ctx() R10=fp0
; void demo(u64 *ctx) @ demo.bpf.c:40
0: (79) r6 = *(u64 *)(r1 +0)          ; R1=ctx() R6_w=trusted_ptr_task_struct()
1: (85) call bpf_get_prandom_u32#7    ; R0_w=scalar(smin=0,umax=0xff,var_off=(0x0; 0xff)) fp-8=mmmmmmmm
; x = *p; @ demo.bpf.c:44
2: (61) r1 = *(u32 *)(r0 +0)
R0 invalid mem access 'scalar'

Verification failed: Register Type Safety: Invalid dereference

Reason:
  R0 is an integer scalar here, not a pointer to memory.
processed 3 insns (limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0 mark_read 0
";

    #[test]
    fn a_log_gives_the_message_the_line_and_the_registers() {
        let found = parse("demo", LOG);
        assert_eq!(found.message, "R0 invalid mem access 'scalar'");
        assert_eq!(found.insn, Some(2));
        assert_eq!((found.file.as_deref(), found.line), (Some("demo.bpf.c"), Some(44)));
        assert_eq!(found.text.as_deref(), Some("x = *p;"));
        assert_eq!(found.culprit().unwrap().value, "scalar(smin=0,umax=0xff,var_off=(0x0; 0xff))");
        let names: Vec<_> = found.registers.iter().map(|register| register.name.as_str()).collect();
        assert_eq!(names, ["R0", "R1", "R6", "R10", "fp-8"]);
        assert_eq!(found.detail[0], "Verification failed: Register Type Safety: Invalid dereference");
        assert_eq!(found.detail.last().unwrap(), "  R0 is an integer scalar here, not a pointer to memory.");
        assert_eq!(found.instructions.last().unwrap(), "2: (61) r1 = *(u32 *)(r0 +0)");
    }

    #[test]
    fn a_new_state_forgets_the_old_one() {
        let found = parse("p", "0: R1=ctx() R7=scalar()\nfrom 1 to 5: R0=1 R10=fp0\n5: (95) exit\nbad\n");
        let names: Vec<_> = found.registers.iter().map(|register| register.name.as_str()).collect();
        assert_eq!(names, ["R0", "R10"]);
        assert_eq!(found.message, "bad");
        assert_eq!(found.culprit(), None);
    }

    #[test]
    fn libbpf_rewrites_the_call_of_a_missing_kfunc() {
        let log = "0: R1=ctx() R10=fp0\n7: <invalid kfunc call>\nkfunc 'x' is referenced but wasn't resolved\nprocessed 1 insns\n";
        let found = parse("p", log);
        assert_eq!(found.message, "<invalid kfunc call>; kfunc 'x' is referenced but wasn't resolved");
        assert_eq!(found.insn, Some(7));
    }

    #[test]
    fn a_log_of_one_line_is_the_message() {
        let found = parse(
            "p",
            "struct ops programs must have a GPL compatible license\nprocessed 0 insns (limit 1000000)\n",
        );
        assert_eq!(found.message, "struct ops programs must have a GPL compatible license");
        assert_eq!(found.insn, None);
        assert_eq!(parse("p", "").message, "");
    }

    #[test]
    fn any_bytes_are_a_log() {
        for text in ["(((", "12:", "from ", "; @ :", "R=1 R1= =", "9999999999999999999999: (x", ": ;;; @ @:"]
        {
            let _ = parse("p", text);
        }
    }
}
