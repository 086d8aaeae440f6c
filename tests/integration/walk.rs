//! The verifier's walk on fixtures: what each kernel says of a program, where, and after how many instructions.

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::Value;

use super::root;

/// The report on a fixture for some kernels.
fn document(fixture: &str, kernels: &str) -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_scx-lint"))
        .args(["--no-config", "--format", "json", "--loader", "plain", "--kernel", kernels])
        .arg(root().join(format!("fixtures/obj/clang-19/{fixture}.bpf.o")))
        .output()
        .unwrap();
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The rows of an object's programs on some kernels, by the kernel's name and the program's.
fn rows(fixture: &str, kernels: &str) -> BTreeMap<(String, String), Value> {
    let document = document(fixture, kernels);
    let kernel = |row: &Value| document["kernels"][row["kernel"].as_u64().unwrap() as usize]["name"].clone();
    let rows = document["programs_on"].as_array().unwrap().iter();
    rows.map(|row| {
        let text = |value: Value| value.as_str().unwrap().to_owned();
        ((text(kernel(row)), text(row["program"].clone())), row.clone())
    })
    .collect()
}

/// A refusal: the kernels that say so, and the instruction, its function where that is another, and how many were processed.
struct Refused {
    fixture: &'static str,
    program: &'static str,
    kernels: &'static str,
    errno: &'static str,
    message: &'static str,
    function: Option<&'static str>,
    insn: u64,
    insns: u64,
}

impl Refused {
    const fn in_function(self, function: &'static str) -> Self {
        Self { function: Some(function), ..self }
    }
}

/// A row of the table below.
const fn refused(
    fixture: &'static str,
    program: &'static str,
    kernels: &'static str,
    errno: &'static str,
    message: &'static str,
    (insn, insns): (u64, u64),
) -> Refused {
    Refused { fixture, program, kernels, errno, message, function: None, insn, insns }
}

/// The newest kernel, one of before registers were named in messages, and the oldest.
const ALL: &str = "7.3,7.1,6.12";

#[rustfmt::skip]
const REFUSED: &[Refused] = &[
    refused("nullable-result-dereference__unknown_key", "demo_running", ALL, "EACCES", "R0 invalid mem access 'map_value_or_null'", (9, 9)),
    refused("refused-by-verifier__null_argument", "demo_dispatch", "7.3", "EACCES", "Possibly NULL pointer passed to trusted R1", (5, 5)),
    refused("refused-by-verifier__null_argument", "demo_running", "7.3", "EACCES", "Possibly NULL pointer passed to trusted R1", (3, 4)),
    refused("refused-by-verifier__null_argument", "demo_dispatch", "7.1", "EACCES", "Possibly NULL pointer passed to trusted arg0", (5, 5)),
    refused("refused-by-verifier__null_argument", "demo_running", "7.1", "EACCES", "Possibly NULL pointer passed to trusted arg0", (3, 4)),
    refused("refused-by-verifier__uninitialized", "demo_running", ALL, "EACCES", "R9 !read_ok", (0, 1)),
    refused("refused-by-verifier__index", "demo_dispatch", ALL, "EINVAL", "math between map_value pointer and register with unbounded min value is not allowed", (6, 6)),
    refused("refused-by-verifier__index", "demo_update_idle", ALL, "EINVAL", "math between map_value pointer and register with unbounded min value is not allowed", (7, 7)),
    refused("refused-by-verifier__index", "demo_running", ALL, "EACCES", "invalid access to map value, value_size=64 off=120 size=8", (8, 8)),
    refused("refused-by-verifier__number", "demo_running", ALL, "EACCES", "R1 invalid mem access 'scalar'", (3, 3)),
    refused("refused-by-verifier__number", "demo_stopping", ALL, "EACCES", "R1 pointer arithmetic with *= operator prohibited", (1, 2)),
    refused("refused-by-verifier__not_owned", "demo_running", "7.3", "EINVAL", "release kfunc bpf_task_release expects referenced PTR_TO_BTF_ID passed to R1", (1, 2)),
    refused("refused-by-verifier__not_owned", "demo_running", "7.1,6.12", "EINVAL", "release kernel function bpf_task_release expects refcounted PTR_TO_BTF_ID", (1, 2)),
    refused("refused-by-verifier__unpaired", "demo_running", ALL, "EINVAL", "bpf_spin_unlock without taking a lock", (2, 2)),
    refused("refused-by-verifier__unpaired", "demo_stopping", ALL, "EINVAL", "unmatched rcu read unlock (kernel function bpf_rcu_read_unlock)", (0, 1)),
    refused("refused-by-verifier__unpaired", "demo_quiescent", ALL, "EINVAL", "unmatched attempt to enable preemption (kernel function bpf_preempt_enable)", (0, 1)),
    refused("refused-by-verifier__iterator", "demo_running", "7.3", "EINVAL", "expected an initialized iter_num as R1", (4, 5)),
    refused("refused-by-verifier__iterator", "demo_running", "7.1,6.12", "EINVAL", "expected an initialized iter_num as arg #0", (4, 5)),
    refused("nullable-argument-dereference__global_function", "demo_running", ALL, "EACCES", "R1 invalid mem access 'mem_or_null'", (0, 4)).in_function("count"),
    refused("refused-by-verifier__sleepable_field", "demo_init_task", ALL, "EINVAL", "R1 must be a rcu pointer", (2, 3)),
    refused("refused-by-verifier__read_only", "demo_running", ALL, "EACCES", "write into map forbidden, value_size=8 off=0 size=8", (3, 3)),
    refused("refused-by-verifier__callback", "demo_running", ALL, "EINVAL", "At callback return the register R0 has smin=2 smax=2 should have been in [0, 1]", (5, 11)).in_function("visit"),
    refused("refused-by-verifier__argument", "demo_running", "7.3,7.1", "EACCES", "R2 type=scalar expected=fp, pkt, pkt_meta, map_key, map_value, mem, ringbuf_mem, buf, trusted_ptr_, ctx", (6, 6)),
    refused("refused-by-verifier__argument", "demo_stopping", "7.3,7.1", "EINVAL", "invalid read from stack R3 off=-4 size=8", (9, 9)),
    refused("refused-by-verifier__argument", "demo_running", "6.12", "EACCES", "R2 type=scalar expected=fp, pkt, pkt_meta, map_key, map_value, mem, ringbuf_mem, buf, trusted_ptr_", (6, 6)),
    refused("refused-by-verifier__argument", "demo_stopping", "6.12", "EINVAL", "invalid indirect access to stack R3 off=-4 size=8", (9, 9)),
    refused("refused-by-verifier__stack_and_numbers", "demo_running", ALL, "EACCES", "invalid size of register fill", (1, 2)),
    refused("refused-by-verifier__stack_and_numbers", "demo_stopping", "7.3,7.1", "EACCES", "misaligned stack access off 0+-12 size 8", (1, 2)),
    refused("refused-by-verifier__stack_and_numbers", "demo_stopping", "6.12", "EACCES", "misaligned stack access off 0+0+-12 size 8", (1, 2)),
    refused("refused-by-verifier__stack_and_numbers", "demo_quiescent", ALL, "EINVAL", "div by zero", (1, 2)),
    refused("refused-by-verifier__stack_and_numbers", "demo_enable", ALL, "EINVAL", "BPF_ATOMIC uses invalid atomic opcode 10", (2, 3)),
    refused("refused-by-verifier__objects", "demo_running", ALL, "EACCES", "invalid read from stack off -16+0 size 8", (9, 8)),
    refused("refused-by-verifier__objects", "demo_stopping", "7.3", "EINVAL", "Expected an initialized dynptr as R3", (10, 10)),
    refused("refused-by-verifier__objects", "demo_stopping", "7.1,6.12", "EINVAL", "Expected an initialized dynptr as arg #2", (10, 10)),
    refused("refused-by-verifier__objects", "demo_quiescent", ALL, "EINVAL", "timer pointer in R1 map_uid=0 doesn't match map pointer in R2 map_uid=0", (12, 11)),
    refused("refused-by-verifier__objects", "demo_enable", ALL, "EACCES", "store to referenced kptr disallowed", (9, 9)),
    refused("refused-by-verifier__objects", "demo_disable", ALL, "EINVAL", "bpf_spin_lock at off=0 must be held for bpf_list_head", (11, 10)),
    refused("refused-by-verifier__interrupts", "demo_running", "7.3", "EINVAL", "expected an initialized irq flag as R1", (4, 5)),
    refused("refused-by-verifier__interrupts", "demo_running", "7.1", "EINVAL", "expected an initialized irq flag as arg#0", (4, 5)),
    refused("refused-by-verifier__too_long", "demo_running", "7.3,7.2", "E2BIG", "BPF program is too large. Processed 1000001 insn", (5, 1_000_001)),
    refused("unreleased-reference__exchanged", "demo_running", "7.3,7.1", "EINVAL", "Unreleased reference id=2 alloc_insn=10", (16, 15)),
    refused("unreleased-reference__exchanged", "demo_stopping", ALL, "EINVAL", "Unreleased reference id=2 alloc_insn=4", (9, 9)),
    refused("unreleased-reference__exchanged", "demo_running", "6.12", "EINVAL", "Unreleased reference id=3 alloc_insn=10", (16, 15)),
    refused("unreleased-reference__interleaved", "demo_running", "7.3,7.1", "EINVAL", "BPF_EXIT instruction in main prog cannot be used inside bpf_preempt_disable-ed region", (10, 10)),
    refused("unreleased-reference__interleaved", "demo_running", "6.12", "EINVAL", "BPF_EXIT instruction cannot be used inside bpf_preempt_disable-ed region", (10, 10)),
    refused("unreleased-reference__near_in_r0", "demo_stopping", "6.12", "EINVAL", "Unreleased reference id=2 alloc_insn=5", (11, 11)),
    refused("call-under-spin-lock__helper", "demo_running", ALL, "EINVAL", "function calls are not allowed while holding a lock", (3, 3)),
    refused("call-under-spin-lock__global", "demo_running", ALL, "EINVAL", "global function calls are not allowed while holding a lock,", (5, 5)),
    refused("sleep-under-lock__fires", "demo_init", ALL, "EACCES", "kernel func scx_bpf_create_dsq is sleepable within rcu_read_lock region", (3, 4)),
    refused("endless-loop__always", "demo_running", ALL, "EINVAL", "infinite loop detected at insn 0", (0, 9)),
    refused("stack-overflow__chain", "demo_running", ALL, "EACCES", "combined stack size of 2 calls is 544. Too large", (11, 19)),
    refused("stack-overflow__frame", "demo_running", ALL, "EACCES", "invalid write to stack R10 off=-520 size=8", (1, 2)),
    refused("deep-call-chain__9", "demo_running", "7.1,6.12", "E2BIG", "the call stack of 9 frames is too deep", (1, 17)).in_function("f1"),
    refused("deep-call-chain__recursive", "demo_running", "7.3,7.1", "EINVAL", "recursive call from count() to count()", (0, 0)),
    refused("deep-call-chain__recursive", "demo_running", "6.12", "E2BIG", "the call stack of 9 frames is too deep", (12, 117)).in_function("count"),
    refused("nullable-argument-dereference__dispatch", "demo_dispatch", ALL, "EACCES", "R1 invalid mem access 'trusted_ptr_or_null_'", (1, 2)),
    refused("nullable-result-dereference__map", "demo_running", ALL, "EACCES", "R0 invalid mem access 'map_value_or_null'", (8, 8)),
    refused("invalid-context-access__upper_half", "demo_enqueue", ALL, "EACCES", "func 'enqueue' offset 12 is not multiple of 8", (0, 1)),
    refused("invalid-context-access__write", "demo_enqueue", ALL, "EACCES", "invalid bpf_context access off=8 size=8", (1, 2)),
    refused("unknown-helper__near_last", "demo_running", ALL, "EACCES", "R2 is of type task_struct but cgroup is expected", (3, 3)),
    refused("malformed-instruction__opcode", "demo_running", ALL, "EINVAL", "unknown opcode ff", (0, 0)),
    refused("unprotected-rcu-kfunc__tasks", "demo_count", "7.3,7.1", "EACCES", "kernel func bpf_iter_task_new requires RCU critical section protection", (4, 5)),
    refused("unprotected-rcu-kfunc__tasks", "demo_count", "6.12", "EPROTO", "expected an RCU CS when using bpf_iter_task_next", (8, 9)),
    refused("iterator-size-drift__small", "demo_dispatch", ALL, "EINVAL", "cannot pass in iter at an offset=-40", (5, 6)),
    refused("live__scalar_in_subprogram", "demo_running", ALL, "EACCES", "R1 invalid mem access 'scalar'", (0, 11)).in_function("follow"),
    refused("kernel-object-write__cgroup", "demo_cgroup_init", "7.3", "EACCES", "R1 cannot write into ptr_cgroup at off=16 size=4", (2, 3)),
    refused("kernel-object-write__cgroup", "demo_cgroup_init", "7.1,6.12", "EACCES", "", (2, 3)),
];

#[test]
fn programs_are_refused_with_the_kernels_words() {
    for row in REFUSED {
        let found = rows(row.fixture, row.kernels);
        for kernel in row.kernels.split(',') {
            let found = &found[&(kernel.to_owned(), row.program.to_owned())];
            let at = format!("{} {} on {kernel}: {found}", row.fixture, row.program);
            assert_eq!(found["load"], "fail", "{at}");
            assert_eq!(found["errno"], row.errno, "{at}");
            assert_eq!(found["message"], row.message, "{at}");
            assert_eq!(found["function"], row.function.unwrap_or(row.program), "{at}");
            assert_eq!((&found["insn"], &found["insns"]), (&row.insn.into(), &row.insns.into()), "{at}");
            assert!(found["location"]["line"].is_u64(), "{at}");
        }
    }
}

/// Programs that are accepted, with the instructions that are processed on kernels that agree in that.
#[rustfmt::skip]
const ACCEPTED: &[(&str, &str, &str, u64)] = &[
    ("refused-by-verifier__near_tested", "demo_dispatch", ALL, 32),
    ("refused-by-verifier__near_tested", "demo_running", ALL, 27),
    ("refused-by-verifier__near_tested", "demo_stopping", ALL, 15),
    ("refused-by-verifier__near_tested", "demo_quiescent", ALL, 16),
    ("refused-by-verifier__near_paired", "demo_running", ALL, 11),
    ("refused-by-verifier__near_paired", "demo_stopping", ALL, 35),
    ("refused-by-verifier__near_paired", "demo_quiescent", ALL, 6),
    ("refused-by-verifier__near_paired", "demo_init_task", ALL, 10),
    ("refused-by-verifier__near_functions", "demo_running", ALL, 10),
    ("refused-by-verifier__near_functions", "demo_dump", ALL, 12),
    ("refused-by-verifier__near_functions", "demo_stopping", ALL, 303),
    ("refused-by-verifier__near_objects", "demo_running", ALL, 14),
    ("refused-by-verifier__near_objects", "demo_quiescent", "7.3,7.1", 12),
    ("refused-by-verifier__near_objects", "demo_quiescent", "6.12", 13),
    ("refused-by-verifier__near_objects", "demo_enable", "7.3,7.1", 16),
    ("refused-by-verifier__near_objects", "demo_enable", "6.12", 17),
    ("refused-by-verifier__near_objects", "demo_disable", ALL, 17),
    ("refused-by-verifier__near_stack_and_numbers", "demo_running", ALL, 3),
    ("refused-by-verifier__near_stack_and_numbers", "demo_stopping", ALL, 3),
    ("refused-by-verifier__near_stack_and_numbers", "demo_quiescent", ALL, 4),
    ("refused-by-verifier__near_stack_and_numbers", "demo_enable", ALL, 4),
    ("unreleased-reference__near", "demo_running", "7.3,7.1", 95),
    ("unreleased-reference__near", "demo_stopping", ALL, 20),
    ("call-under-spin-lock__near_static", "demo_running", ALL, 22),
    ("stack-overflow__near_chain", "demo_running", ALL, 19),
    ("endless-loop__near_condition", "demo_running", ALL, 5),
    ("nullable-result-dereference__near_map", "demo_running", ALL, 23),
    ("good__realistic_cpu", "demo_select_cpu", "7.3,7.1", 29),
    ("good__realistic_cpu", "demo_enqueue", "7.3,7.1", 22),
    ("good__realistic_cpu", "demo_dispatch", "7.3,7.1", 3),
    ("good__realistic_cpu", "demo_running", "7.3,7.1", 12),
    ("good__realistic_cpu", "demo_init", "7.3,7.1", 4),
    ("deep-call-chain__near_8", "demo_running", ALL, 33),
    ("unreleased-reference__near_in_r0", "demo_stopping", "7.3,7.1", 12),
    ("malformed-instruction__near_all", "demo_running", ALL, 60),
];

#[test]
fn near_misses_are_accepted() {
    for (fixture, program, kernels, insns) in ACCEPTED {
        let found = rows(fixture, kernels);
        for kernel in kernels.split(',') {
            let found = &found[&(kernel.to_string(), program.to_string())];
            assert_eq!(found["load"], "pass", "{fixture} {program} on {kernel}: {found}");
            assert_eq!(found["insns"], *insns, "{fixture} {program} on {kernel}: {found}");
            assert!(found["message"].is_null() && found["reason"].is_null(), "{found}");
        }
    }
}

/// Programs of which it is not known, and why.
const UNKNOWN: &[(&str, &str, &str, &str)] = &[
    ("unusable-jump-table__old_kernel", "demo_running", "7.3", "jump tables"),
    ("unreleased-reference__near", "demo_running", "6.12", "references in callbacks before 6.16"),
];

#[test]
fn what_is_not_walked_to_its_end_says_why() {
    for (fixture, program, kernel, reason) in UNKNOWN {
        let row = rows(fixture, kernel)[&(kernel.to_string(), program.to_string())].clone();
        assert_eq!(
            (&row["load"], &row["reason"]),
            (&"unknown".into(), &(*reason).into()),
            "{fixture}: {row}"
        );
        assert!(row["insns"].is_null() && row["errno"].is_null() && row["message"].is_null(), "{row}");
    }
}

/// Where the value came from that a program is refused for: the line, and what is said there.
const STORIES: &[(&str, &str, u64, &str)] = &[
    (
        "nullable-result-dereference__unknown_key",
        "demo_running",
        15,
        "returned by bpf_map_lookup_elem() here: may be NULL from here on",
    ),
    ("refused-by-verifier__null_argument", "demo_dispatch", 8, "loaded here: may be NULL from here on"),
    ("refused-by-verifier__index", "demo_dispatch", 7, "loaded here: may be any number until it is tested"),
    ("refused-by-verifier__number", "demo_running", 9, "loaded here: a number for the verifier from here on"),
];

#[test]
fn a_refusal_tells_where_its_value_came_from() {
    for (fixture, program, line, words) in STORIES {
        let document = document(fixture, "7.3");
        let findings = document["findings"].as_array().unwrap();
        let found = findings
            .iter()
            .find(|finding| finding["level"] == "error" && finding["subject"]["name"] == *program);
        let places = found.unwrap()["locations"].as_array().unwrap();
        let told: Vec<_> =
            places.iter().map(|place| (place["line"].as_u64(), place["label"].as_str())).collect();
        assert_eq!(told[1], (Some(*line), Some(*words)), "{fixture}");
    }
}
