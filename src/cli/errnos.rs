//! What an error number means at each phase of a scheduler's start.

/// A number and its meanings.
pub(super) struct Meaning {
    /// As errno.h, the kernel or libbpf spells it.
    pub(super) name: &'static str,
    /// Positive.
    pub(super) number: u32,
    /// Phase, and what is behind it there, most frequent first. A rule's name is in brackets.
    causes: &'static [(&'static str, &'static [&'static str])],
}

/// What every explanation ends with.
const RULE_ZERO: &str = "An attach call that succeeds proves nothing: once the kernel has built the scheduler, a failure of \
enabling it (ops.init, ops.init_task, the checks of flags) is only in the exit info that ops.exit gets, and in \
/sys/kernel/sched_ext/state.";

static MEANINGS: &[Meaning] = &[
    Meaning {
        name: "EPERM",
        number: 1,
        causes: &[
            (
                "load",
                &[
                    "no CAP_BPF (maps), or no CAP_BPF and CAP_PERFMON (struct_ops programs, arenas): run as root",
                    "as root: RLIMIT_MEMLOCK is too low ('ulimit -l'); libbpf says so",
                ],
            ),
            ("attach", &["no CAP_BPF"]),
        ],
    },
    Meaning {
        name: "ENOENT",
        number: 2,
        causes: &[
            (
                "open",
                &[
                    "no such file",
                    "no symbol table: the object was stripped with more than -g",
                    "no .BTF: compiled without -g [missing-btf]",
                    "an undefined symbol that is neither __ksym nor __kconfig [unresolved-extern]",
                    "__arena variables and no ARENA map in .maps [arena-globals-without-arena]",
                ],
            ),
            (
                "load",
                &["the kernel's BTF lacks the struct_ops wrapper's member type", "missing function info"],
            ),
        ],
    },
    Meaning {
        name: "ESRCH",
        number: 3,
        causes: &[
            ("open", &["a BTF variable without its symbol", "a map initialiser that names no map"]),
            (
                "load",
                &[
                    "a kernel without the struct_ops type: no sched_ext, or no cid form (before 7.2) [unknown-struct-ops-type]",
                    "a kernel without BTF: CONFIG_DEBUG_INFO_BTF, /sys/kernel/btf/vmlinux",
                    "a strong ksym without type that the kernel lacks [missing-ksym]",
                ],
            ),
        ],
    },
    Meaning {
        name: "E2BIG",
        number: 7,
        causes: &[
            ("open", &["__arena variables larger than the arena [arena-globals-too-large]"]),
            (
                "load",
                &[
                    "the verifier gave up: more than a million instructions walked, too many subprograms or maps [too-many-subprograms]",
                    "an arena above 4 GiB [invalid-arena-definition]",
                    "more than 256 different kfuncs in a program",
                ],
            ),
            (
                "attach",
                &[
                    "timeout_ms above 30000, dispatch_max_batch, rescue_bandwidth_ppt or rescue_quantum_us too large [ops-value-out-of-range]",
                ],
            ),
        ],
    },
    Meaning { name: "EBADF", number: 9, causes: &[("attach", &["a member's program was not loaded"])] },
    Meaning {
        name: "EAGAIN",
        number: 11,
        causes: &[("load", &["the verifier was interrupted; libbpf tries five times before it says so"])],
    },
    Meaning {
        name: "ENOMEM",
        number: 12,
        causes: &[
            ("load", &["no memory for a map: look at max_entries"]),
            (
                "attach",
                &[
                    "no memory, or from 7.1 a dispatch_max_batch whose buffers exceed a per-CPU allocation [ops-value-out-of-range]",
                    "an arena with too few free pages for the kernel's own use (through ops.exit) [invalid-arena-definition]",
                ],
            ),
        ],
    },
    Meaning {
        name: "EACCES",
        number: 13,
        causes: &[(
            "load",
            &[
                "the verifier refuses an access: a pointer that may be NULL [nullable-argument-dereference], an argument that the op does not have, memory out of bounds",
                "a kfunc that this kind of program may not call [kfunc-outside-its-ops], or that needs a sleepable one",
                "stack or call depth exceeded [stack-overflow] [deep-call-chain]",
                "kernel BTF passed as program BTF",
            ],
        )],
    },
    Meaning {
        name: "EFAULT",
        number: 14,
        causes: &[(
            "load",
            &["the verifier or the JIT hit a state it does not expect; a call or jump out of the program"],
        )],
    },
    Meaning {
        name: "EBUSY",
        number: 16,
        causes: &[
            (
                "load",
                &["a program with two arenas: 'Only one arena per program' [several-arenas-in-program]"],
            ),
            (
                "attach",
                &[
                    "another scheduler is enabled, or on its way in or out: cat /sys/kernel/sched_ext/root/ops",
                    "the same map was attached before and is not gone yet",
                ],
            ),
        ],
    },
    Meaning {
        name: "EEXIST",
        number: 17,
        causes: &[("load", &["a map is pinned where something is already"])],
    },
    Meaning {
        name: "ENODEV",
        number: 19,
        causes: &[("attach", &["a sub-scheduler (sub_cgroup_id above 1), and no root scheduler is enabled"])],
    },
    Meaning {
        name: "EINVAL",
        number: 22,
        causes: &[
            (
                "open",
                &[
                    "a map definition or an ops variable that libbpf cannot read [invalid-map-definition] [invalid-struct-ops-member]",
                    "two ARENA maps in one object [several-arenas-in-object]",
                ],
            ),
            (
                "load",
                &[
                    "a kfunc or typed ksym that the kernel lacks, or has with another prototype [missing-kfunc] [mismatched-kfunc]",
                    "a CO-RE relocation that found nothing and is reached [unresolved-core-relocation]",
                    "a struct_ops program that no ops variable names [unreferenced-struct-ops-program]",
                    "a license that is not compatible with the GPL [non-gpl-license]",
                    "an instruction that the verifier does not take [malformed-instruction] [unreachable-instruction]",
                    "an arena or another map with sizes or flags that the kernel does not know [unknown-map-flag]",
                    "a sleepable program for an op that may not sleep [sleepable-op]",
                ],
            ),
            (
                "attach",
                &[
                    "cid-form: no arena, several, or one that is not always mapped (see dmesg) [missing-arena] [multiple-arenas] [arena-not-always-mapped]",
                    "ops.name is empty, unterminated, or has characters other than [A-Za-z0-9_.] [invalid-ops-name]",
                    "a flag that the kernel does not know [unknown-ops-flag], or a member that must be zero",
                    "the boot option isolcpus= with domain isolation (see dmesg)",
                ],
            ),
        ],
    },
    Meaning {
        name: "ENOSPC",
        number: 28,
        causes: &[(
            "load",
            &["the verifier's log did not fit its buffer; libbpf tries again with a larger one"],
        )],
    },
    Meaning {
        name: "ERANGE",
        number: 34,
        causes: &[(
            "load",
            &[
                "an arena that crosses a 4 GiB boundary [invalid-arena-definition]",
                "an offset outside a map's value, or a CO-RE offset that does not fit the instruction",
            ],
        )],
    },
    Meaning {
        name: "ENOSYS",
        number: 38,
        causes: &[("load", &["a kernel without the bpf() system call: CONFIG_BPF_SYSCALL"])],
    },
    Meaning {
        name: "EPROTO",
        number: 71,
        causes: &[(
            "load",
            &[
                "an iterator that is asked for its next element after the RCU lock that protects it was given back [refused-by-verifier]",
            ],
        )],
    },
    Meaning {
        name: "EOPNOTSUPP",
        number: 95,
        causes: &[
            (
                "open",
                &[
                    "legacy maps (SEC(\"maps\")) [legacy-maps], a static map or a static program in its own section [refused-symbol]",
                    "an unknown field in a map definition [invalid-map-definition]",
                ],
            ),
            (
                "load",
                &[
                    "an ops member that the kernel lacks and that is set [unknown-ops-member], or has with another size or kind [mismatched-ops-member]",
                    "an arena, and the JIT is off or has none: net.core.bpf_jit_enable",
                    "a timer, on a kernel for real time [timer-under-preempt-rt]",
                ],
            ),
            (
                "attach",
                &["a sub-scheduler whose parent has no sub_attach; an update of an attached scheduler"],
            ),
        ],
    },
    Meaning {
        name: "ENOTSUPP",
        number: 524,
        causes: &[(
            "load",
            &[
                "a number that only the kernel uses: perror prints 'Unknown error 524'",
                "a struct_ops type or member that this kernel does not support [stubless-member], with some: 'attach to unsupported member'",
                "a kfunc call, and the JIT is off or cannot do it [throw-without-unwinder]",
            ],
        )],
    },
    Meaning {
        name: "LIBBPF_ERRNO__LIBELF",
        number: 4000,
        causes: &[("open", &["libelf cannot read the file"])],
    },
    Meaning {
        name: "LIBBPF_ERRNO__FORMAT",
        number: 4001,
        causes: &[(
            "open",
            &["no BPF ELF object, or a broken one: wrong class, machine or type, sections outside the file"],
        )],
    },
    Meaning {
        name: "LIBBPF_ERRNO__KVERSION",
        number: 4002,
        causes: &[("open", &["a 'version' section of the wrong size"])],
    },
    Meaning {
        name: "LIBBPF_ERRNO__ENDIAN",
        number: 4003,
        causes: &[
            ("open", &["an ELF of neither byte order"]),
            ("load", &["an object of the other byte order [foreign-byte-order]"]),
        ],
    },
    Meaning {
        name: "LIBBPF_ERRNO__INTERNAL",
        number: 4004,
        causes: &[("open", &["libbpf contradicts itself: most often a mangled object"])],
    },
    Meaning {
        name: "LIBBPF_ERRNO__RELOC",
        number: 4005,
        causes: &[
            (
                "open",
                &[
                    "a relocation that libbpf does not take: an undefined function, a bad map reference [invalid-relocation]",
                ],
            ),
            ("load", &["a call that leads to no function"]),
        ],
    },
    Meaning {
        name: "LIBBPF_ERRNO__LOAD",
        number: 4006,
        causes: &[("load", &["a program does not load; the line before says why"])],
    },
    Meaning {
        name: "LIBBPF_ERRNO__VERIFY",
        number: 4007,
        causes: &[("load", &["the verifier refuses a program; its log says why"])],
    },
    Meaning {
        name: "LIBBPF_ERRNO__PROG2BIG",
        number: 4008,
        causes: &[("load", &["a program is too long [oversized-program]"])],
    },
    Meaning {
        name: "LIBBPF_ERRNO__KVER",
        number: 4009,
        causes: &[("load", &["a wrong kernel version in the object"])],
    },
    Meaning {
        name: "LIBBPF_ERRNO__PROGTYPE",
        number: 4010,
        causes: &[("load", &["a program type that the kernel does not know"])],
    },
];

/// The number behind `EINVAL`, `einval`, `22` or `-22`.
pub(super) fn find(text: &str) -> Option<&'static Meaning> {
    // libbpf writes ENOTSUP for 95 in its source, and glibc has both names for it.
    let text = if text.eq_ignore_ascii_case("ENOTSUP") { "EOPNOTSUPP" } else { text };
    let number = text.trim_start_matches('-').parse::<u32>().ok();
    MEANINGS.iter().find(|meaning| meaning.name.eq_ignore_ascii_case(text) || Some(meaning.number) == number)
}

/// Names of all numbers, for suggestions and completions.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    MEANINGS.iter().map(|meaning| meaning.name)
}

/// The page.
pub(super) fn page(meaning: &Meaning) -> String {
    let mut text = format!("{} ({})\n", meaning.name, meaning.number);
    for (phase, causes) in meaning.causes {
        text.push_str(&format!("\nat {phase}:\n"));
        for cause in *causes {
            text.push_str(&format!("  - {cause}\n"));
        }
    }
    text.push('\n');
    text.push_str(RULE_ZERO);
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks;
    use crate::errno::Errno;

    #[test]
    fn numbers_are_found_by_name_and_value() {
        for text in ["EINVAL", "einval", "22", "-22"] {
            assert_eq!(find(text).unwrap().name, "EINVAL");
        }
        assert_eq!(find("ENOTSUP").unwrap().number, 95);
        assert_eq!(find("ENOTSUPP").unwrap().number, 524);
        assert!(find("0").is_none() && find("").is_none());
    }

    #[test]
    fn names_and_numbers_are_those_of_findings() {
        for meaning in MEANINGS {
            let errno = Errno(i32::try_from(meaning.number).unwrap());
            if let Some(name) = errno.name() {
                assert_eq!(name, meaning.name);
            }
        }
        // Every number that a finding can carry has a page.
        for number in 1..=4010 {
            assert!(Errno(number).name().is_none() || find(&number.to_string()).is_some(), "{number}");
        }
    }

    #[test]
    fn rules_in_the_pages_exist() {
        for meaning in MEANINGS {
            let text = page(meaning);
            for name in text.split('[').skip(1).filter_map(|rest| rest.split_once(']')).map(|(name, _)| name)
            {
                assert!(name.contains('_') || checks::find(name).is_some(), "{}: {name}", meaning.name);
            }
        }
    }
}
