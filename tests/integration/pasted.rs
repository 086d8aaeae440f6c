//! `scx-lint explain` of what people paste: real-looking logs in their several wrappings.

use std::fs;
use std::io::Write as _;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use scx_lint::live::pasted::{self, Said};
use scx_lint::verifier::bpf_check::Why;

use super::root;
use super::tools::scratch;

/// A recorded log of a refused program, without the line that names the program.
fn recorded(name: &str) -> String {
    let text = fs::read_to_string(root().join(format!("tests/data/verifier/{name}.log"))).unwrap();
    text.split_once('\n').unwrap().1.to_owned()
}

const NULL: &str = "nullable-argument-dereference__dispatch@6.18.15";
const NUMBER: &str = "live__scalar_in_subprogram@7.3.4";
const MESSAGE: &str = "R1 invalid mem access 'trusted_ptr_or_null_'";

/// What libbpf prints when the verifier refuses a program.
fn libbpf(program: &str, log: &str) -> String {
    format!(
        "libbpf: prog '{program}': BPF program load failed: Permission denied\n\
         libbpf: prog '{program}': -- BEGIN PROG LOAD LOG --\n{log}-- END PROG LOAD LOG --\n\
         libbpf: prog '{program}': failed to load: -13\n\
         libbpf: failed to load object 'sched'\n\
         libbpf: failed to load BPF skeleton 'sched': -13\n"
    )
}

fn each_line(prefix: &str, text: &str) -> String {
    text.lines().map(|line| format!("{prefix}{line}\n")).collect()
}

fn explain(text: &[u8]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_scx-lint"));
    let pipes =
        command.args(["explain", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = pipes.spawn().unwrap();
    // Who has read enough need not read on.
    let _ = child.stdin.take().unwrap().write_all(text);
    child.wait_with_output().unwrap()
}

/// The only thing that a text says: a refusal of this program with this message, at a C line.
fn assert_is_refusal(text: &str, program: &str, what: &str) {
    let said = pasted::read(text);
    let [Said::Refusal { diagnostic, errno }] = said.as_slice() else { panic!("{what}: {said:?}") };
    assert_eq!((diagnostic.program.as_str(), diagnostic.message.as_str()), (program, MESSAGE), "{what}");
    assert_eq!(diagnostic.line, Some(9), "{what}");
    assert_eq!(diagnostic.why(), Some(Why::NullDereference), "{what}");
    assert!(diagnostic.culprit().unwrap().value.contains("task_struct"), "{what}");
    assert_eq!(errno.is_some(), !program.is_empty(), "{what}");
}

#[test]
fn a_log_is_found_in_every_wrapping() {
    let plain = libbpf("demo_dispatch", &recorded(NULL));
    let rust = "2026-02-20T06:31:35.794668Z  WARN ThreadId(01) scx_utils::libbpf_logger: rust/scx_utils/src/libbpf_logger.rs:12: libbpf: ";
    for (what, text) in [
        ("libbpf's own words", plain.clone()),
        ("with other text around", format!("$ sudo ./sched\nstarting\n{plain}\nWhat can I do?\n")),
        ("dmesg", each_line("[ 2768.754205] ", &plain)),
        ("dmesg with callers", each_line("[ 2768.754205] [  T1234] ", &plain)),
        ("dmesg with dates", each_line("[Tue Dec  1 11:11:11 2026] ", &plain)),
        ("a journal", each_line("Dec 01 12:00:00 host scx_demo[1234]: ", &plain)),
        ("a journal in another language", each_line("oct 8 09:31:43 host scx_demo[1234]: ", &plain)),
        ("a journal in ISO dates", each_line("2026-12-01T12:00:00+0100 host scx_demo[1234]: ", &plain)),
        ("a simple logger", plain.replace("libbpf: ", "00:38:53 [WARN] libbpf: ")),
        ("a logger with colours", plain.replace("libbpf: ", "\u{1b}[33m[WARN]\u{1b}[0m libbpf: ")),
        ("env_logger", plain.replace("libbpf: ", "[2026-12-01T12:00:00Z WARN  scx_demo] libbpf: ")),
        (
            "a logger in a journal",
            each_line("Dec 01 12:00:00 host scx_loader[1904]: ", &plain.replace("libbpf: ", rust)),
        ),
        ("a quotation", each_line("> ", &plain)),
        ("an indented block", each_line("    ", &plain)),
        ("carriage returns", plain.replace('\n', "\r\n")),
        ("an error number of libbpf 1.6", plain.replace("Permission denied", "-EACCES")),
        ("twice, as a service is started again", format!("{plain}{plain}")),
        ("no end", plain.split("-- END").next().unwrap().to_owned()),
    ] {
        assert_is_refusal(&text, "demo_dispatch", what);
    }
}

#[test]
fn a_bare_log_is_found() {
    let plain = recorded(NULL);
    let cut = plain.split("processed ").next().unwrap();
    for (what, text) in [
        ("as it is", plain.clone()),
        ("with prose", format!("Hello,\n\nmy scheduler does not load:\n\n{plain}\n\nThanks\n")),
        ("without its end", format!("Hello\n{cut}\nHow do I fix this?\n")),
        ("indented among prose", format!("Hello,\n\n{}\n\nThanks\n", each_line("\t", &plain))),
        ("as aya prints it", format!("Error: the BPF_PROG_LOAD syscall failed.\nVerifier output: {plain}")),
    ] {
        assert_is_refusal(&text, "", what);
    }
}

#[test]
fn several_programs_are_told_apart_and_accepted_ones_left_out() {
    let accepted = "libbpf: prog 'fine': -- BEGIN PROG LOAD LOG --\n0: R1=ctx() R10=fp0\n0: (b7) r0 = 0\n1: (95) exit\n\
                    processed 2 insns (limit 1000000) max_states_per_insn 0\n-- END PROG LOAD LOG --\n";
    let text = format!("{accepted}{}{}", libbpf("a", &recorded(NULL)), libbpf("b", &recorded(NUMBER)));
    let said = pasted::read(&text);
    let programs: Vec<_> = said
        .iter()
        .map(|said| match said {
            Said::Refusal { diagnostic, .. } => (diagnostic.program.as_str(), diagnostic.why()),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(programs, [("a", Some(Why::NullDereference)), ("b", Some(Why::NumberAsPointer))]);
    let bare = pasted::read(&format!("{}{}", recorded(NULL), recorded(NUMBER)));
    assert_eq!(bare.len(), 2, "{bare:?}");
}

#[test]
fn pages_say_what_it_means_and_what_to_write() {
    let output = explain(libbpf("demo_dispatch", &recorded(NULL)).as_bytes());
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0));
    for words in [
        "the verifier refuses program 'demo_dispatch' (EACCES)",
        MESSAGE,
        "nullable-argument-dereference__dispatch.bpf.c:9: ",
        "R1 is trusted_ptr_or_null_task_struct(",
        "may be NULL",
        "if (!ptr) return",
        "scx-lint explain nullable-argument-dereference",
        "scx-lint explain EACCES",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    // From 7.3 the kernel explains itself.
    let output = explain(libbpf("demo_running", &recorded(NUMBER)).as_bytes());
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("the kernel explains: R1 is an integer scalar here"), "{text}");
    // Before 7.2 this one is refused without a word.
    let output = explain(recorded("direct-task-write__pid@6.18.15").as_bytes());
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("without a word") && text.contains("explain direct-task-write"), "{text}");
}

#[test]
fn lines_of_libbpf_and_sched_ext_lead_to_rules() {
    for (line, rules) in [
        (
            "libbpf: extern (func ksym) 'scx_bpf_nothing': not found in kernel or module BTFs",
            vec!["missing-kfunc"],
        ),
        ("extern (func ksym) 'scx_bpf_nothing': not found in kernel or module BTFs", vec!["missing-kfunc"]),
        ("libbpf: extern (kcfg) 'LINUX_NO_SUCH_VALUE': unrecognized virtual extern", vec!["unknown-kconfig"]),
        (
            "Dec 01 12:00:00 host scx_demo[1]: libbpf: struct_ops init_kern demo_ops: Cannot find member tick in kernel BTF",
            vec!["unknown-ops-member"],
        ),
        ("[    5.1409] sched_ext: cid-form scheduler must use a BPF arena map", vec!["missing-arena"]),
        (
            "libbpf: map 'arena': failed to create: -EINVAL",
            vec![
                "invalid-map-definition",
                "invalid-arena-definition",
                "unknown-map-flag",
                "unknown-map-type",
            ],
        ),
    ] {
        let said = pasted::read(&format!("before\n{line}\nlibbpf: failed to load object 'x'\nafter\n"));
        let [Said::Line { rules: found, .. }] = said.as_slice() else { panic!("{line}: {said:?}") };
        assert_eq!(found.iter().map(|rule| rule.name).collect::<Vec<_>>(), rules, "{line}");
    }
    let output = explain(b"libbpf: extern (func ksym) 'x': not found in kernel or module BTFs\n");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("bpf_ksym_exists()") && text.contains("scx-lint explain missing-kfunc"), "{text}");
}

#[test]
fn schedulers_that_ended_are_told() {
    let exit = |text: &str| match pasted::read(text).as_slice() {
        [Said::Exit { scheduler, reason, message }] => (scheduler.clone(), reason.clone(), message.clone()),
        said => panic!("{text}: {said:?}"),
    };
    let owned = |name: Option<&str>, reason: &str, message: &str| {
        (name.map(str::to_owned), reason.to_owned(), message.to_owned())
    };
    let kernel = "sched_ext: BPF scheduler \"demo\" disabled (runtime error)\nsched_ext: demo: ops.init() failed (-17)\n   \
                  scx_enable+0x1/0x2\n";
    let expected = owned(Some("demo"), "runtime error", "ops.init() failed (-17)");
    assert_eq!(exit(kernel), expected);
    assert_eq!(exit(&each_line("[ 2768.754205] ", kernel)), expected);
    assert_eq!(exit(&each_line("Dec 01 12:00:00 host kernel: ", kernel)), expected);
    // The program tells the same again.
    let both = format!("{kernel}EXIT: runtime error (ops.init() failed (-17))\n");
    assert_eq!(exit(&both).0, Some("demo".to_owned()));
    let stall = owned(None, "runnable task stall", "cc1[86] failed to run for 31.632s");
    assert_eq!(exit("Error: EXIT: runnable task stall (cc1[86] failed to run for 31.632s)\n"), stall);
    let dump = "DEBUG DUMP\n=====\n\ncc1[86] triggered exit kind 1026:\n  runnable task stall (cc1[86] failed to run for 31.632s)\n\nBacktrace:\n";
    assert_eq!(exit(dump), stall);
    let output = explain(kernel.as_bytes());
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.contains("scheduler 'demo' ended: runtime error") && text.contains("explain failing-init"),
        "{text}"
    );
}

#[test]
fn an_error_number_is_a_pointer_where_nothing_says_more() {
    for text in [
        "libbpf: failed to load BPF skeleton 'sched': -22\n",
        "Error: Failed to load BPF program\n\nCaused by:\n    Invalid argument (os error 22)\n",
    ] {
        let output = explain(text.as_bytes());
        assert_eq!(output.status.code(), Some(0), "{text}");
        assert!(String::from_utf8_lossy(&output.stdout).contains("scx-lint explain EINVAL"), "{text}");
    }
    let without_log = "libbpf: prog 'x': BPF program load failed: Invalid argument\nlibbpf: prog 'x': failed to load: -22\n";
    let text = String::from_utf8(explain(without_log.as_bytes()).stdout).unwrap();
    assert!(text.contains("program 'x' (EINVAL)") && text.contains("scx-lint explain EINVAL"), "{text}");
}

#[test]
fn nothing_is_told_as_nothing() {
    for text in [
        "",
        "\n\n",
        "it does not work\n",
        "7: all is well\nsee: R1 is good\n",
        "[INFO] CPUs: 8\nlibbpf: loading 'x'\n",
    ] {
        let output = explain(text.as_bytes());
        assert_eq!(output.status.code(), Some(2), "{text}: {}", String::from_utf8_lossy(&output.stdout));
        assert!(output.stdout.is_empty(), "{text}");
        assert!(
            String::from_utf8_lossy(&output.stderr).contains("standard input: nothing in it is known"),
            "{text}"
        );
    }
}

#[test]
fn files_are_read_and_rules_and_numbers_go_first() {
    let folder = scratch("pasted");
    let log = libbpf("demo_dispatch", &recorded(NULL));
    for name in ["load.log", "load", "missing-arena", "EINVAL"] {
        fs::write(folder.join(name), &log).unwrap();
    }
    let explain = |name: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_scx-lint"));
        let output = command.current_dir(&folder).args(["explain", name]).output().unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stdout).unwrap(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    for name in ["load.log", "load", "./missing-arena"] {
        let (code, text, _) = explain(name);
        assert!(code == Some(0) && text.contains(MESSAGE), "{name}: {text}");
    }
    assert!(explain("missing-arena").1.starts_with("missing-arena ("));
    assert!(explain("EINVAL").1.starts_with("EINVAL (22)"));
    for (name, words) in
        [("none.log", "none.log: No such file"), (".", "Is a directory"), ("loaf", "unknown rule 'loaf'")]
    {
        let (code, text, error) = explain(name);
        assert!(code == Some(2) && text.is_empty() && error.contains(words), "{name}: {error}");
    }
}

/// What is pasted may be anything: it is read to its end in bearable time, and nothing in it reaches the terminal as it is.
#[test]
fn hostile_texts_are_read_too() {
    let started = Instant::now();
    let good = format!(
        "{}sched_ext: BPF scheduler \"demo\" disabled (runtime error)\nsched_ext: demo: words\n",
        libbpf("demo_dispatch", &recorded(NULL))
    );
    let mut random = fastrand::Rng::with_seed(0x9a57);
    for _ in 0..10_000 {
        let mut text = good.clone().into_bytes();
        for _ in 0..random.usize(1..20) {
            let at = random.usize(..text.len());
            match random.u8(..5) {
                0 => text[at] = random.u8(..),
                1 => text[at] = *random.choice(b":;@ ()[]<>='\0\x1b\n").unwrap(),
                2 => drop(text.drain(at..text.len().min(at + random.usize(1..200)))),
                3 => text.insert(at, 0xff),
                _ => text.extend_from_within(at..text.len().min(at + 500)),
            }
            if text.is_empty() {
                break;
            }
        }
        pasted::read(&String::from_utf8_lossy(&text));
    }
    for text in [
        "x".repeat(1 << 20),
        "\0".repeat(1 << 20),
        "\u{1b}[".repeat(1 << 20),
        "> ".repeat(1 << 20),
        "[WARN] ".repeat(1 << 18),
        "R1 ".repeat(1 << 18),
        format!("R1 is {} expected ", "ptr_ ".repeat(1 << 18)),
        "libbpf: ".repeat(1 << 18),
        "'".repeat(1 << 20),
        "-- BEGIN PROG LOAD LOG --\n".repeat(1 << 14),
        "0: (95) exit\n".repeat(1 << 16),
        "sched_ext: BPF scheduler \"a\" disabled (runtime error)\n".repeat(1 << 14),
        "prog 'x': it fails\n".repeat(1 << 14),
        "ä: ö\n".repeat(1 << 14),
    ] {
        pasted::read(&text);
    }
    assert!(started.elapsed() < Duration::from_secs(120), "{:?}", started.elapsed());
    let odd = "libbpf: extern (func ksym) '\u{1b}]0;title\u{7}\u{202e}x': not found in kernel or module BTFs\n::error::x\n";
    let mut bytes = odd.as_bytes().to_vec();
    bytes.extend([0xff, 0, 0xfe]);
    let output = explain(&bytes);
    assert_eq!(output.status.code(), Some(0));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(!text.contains(['\u{1b}', '\u{7}', '\u{202e}', '\0']), "{text:?}");
}
