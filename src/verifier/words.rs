//! What kind of mistake a message of the verifier means: one table of the words that kernels since 6.12 print.
//!
//! The words are no interface. What the walk itself prints is held against the table by a test over all fixtures.

use super::bpf_check::Why;

/// Longest message that is looked at; the kernel's own lines end at 1024 bytes (`BPF_VERIFIER_TMP_LOG_SIZE`).
const MAX_MESSAGE: usize = 1024;

/// What 6.12 says of every program that returns nothing, and goes on.
const NO_REFUSAL: &str = "Global function {} doesn't return scalar. Only those are supported.";

/// Words of messages, and what they mean. The first row that fits counts, so what is special stands before what is general.
///
/// In the words `{}` stands for anything, `{n}` for a number and `{arg}` for what kernels call an argument: `R1`, `arg#0`.
#[rustfmt::skip]
static WORDS: &[(Why, &[&str])] = &[
    // Words that others contain.
    (Why::Poison, &["invalid func unknown#195896080", "failed to resolve CO-RE relocation", "<invalid CO-RE relocation>"]),
    (Why::MissingKfunc, &["invalid func unknown#2002", "kfunc '{}' is referenced but wasn't resolved", "<invalid kfunc call>"]),
    (Why::Map, &[
        "invalid func unknown#2001", "BPF map '{}' is referenced but wasn't created", "<invalid BPF map reference>",
        "invalid access to map value pointer, value_size=",
    ]),
    (Why::NullDereference, &["R{n} invalid mem access '{}or_null", "R{n} pointer arithmetic on {} prohibited, null-check it first"]),
    (Why::NumberAsPointer, &["R{n} invalid mem access 'scalar'", "R{n} invalid mem access 'inv'", "{arg} type=scalar expected="]),
    (Why::NullArgument, &[
        "{arg} type={}or_null{} expected=", "Possibly NULL pointer passed to", "{arg} is expected to be non-NULL",
    ]),
    (Why::UntrustedPointer, &[
        "{arg} type={}untrusted_{} expected=", "{arg} must be a rcu pointer", "{arg} must be referenced or trusted",
        "{arg} is {} expected {} or socket",
    ]),
    (Why::NumberAsPointer, &["{arg} is scalar expected "]),
    (Why::KernelField, &["R{n} cannot write into ptr_{} at off="]),
    (Why::GlobalFunction, &["{arg} is not a pointer to arena or scalar."]),
    (Why::Lock, &[
        "global function calls are not allowed while holding a lock", "{arg} doesn't have constant offset. bpf_spin_lock has to be",
        "{arg} doesn't have constant offset. bpf_res_spin_lock has to be", "has to have BTF in order to use bpf_spin_lock",
        "has to have BTF in order to use bpf_res_spin_lock", "has no valid bpf_spin_lock", "has no valid bpf_res_spin_lock",
        "off {n} doesn't point to 'struct bpf_spin_lock'", "off {n} doesn't point to 'struct bpf_res_spin_lock'",
        "{arg} doesn't point to map value or allocated object",
    ]),
    (Why::Kptr, &[
        "has to have BTF in order to use bpf_kptr_xchg", "{arg} doesn't have constant offset. kptr has to be", "{arg} has no valid kptr",
    ]),
    (Why::Graph, &[
        "{arg} doesn't have constant offset. bpf_list_", "{arg} doesn't have constant offset. bpf_rb_",
    ]),
    (Why::Kfunc, &["kernel function {} returns pointer type"]),
    (Why::Dynptr, &["invalid read from stack R{n} off ", "invalid read from stack R{n} var_off ", "invalid indirect read from stack"]),
    (Why::Instruction, &["ldimm64 unable to resolve the size of type"]),

    (Why::UninitializedRegister, &["R{n} !read_ok", "unexpected __bpf_trap() due to uninitialized variable"]),
    (Why::UninitializedStack, &["invalid read from stack off ", "reading from stack {}slot poisoned by dead code elimination"]),
    (Why::OutOfBounds, &[
        "R{n} min value is negative, either use unsigned", "R{n} min value is outside of the allowed memory range",
        "R{n} max value is outside of the allowed memory range", "{arg} invalid zero-sized read", "invalid zero-sized read",
        "R{n} unbounded memory access", "{arg} memory size {} is too large", "invalid access to map key, key_size=",
        "invalid access to map value, value_size=", "invalid access to context, ctx_size=", "invalid access to memory, mem_size=",
        "invalid access to packet, off=", "R{n} offset is outside of the packet", "invalid unbounded variable-offset",
        "invalid variable-offset", "invalid read from stack R{n} off=", "invalid write to stack R{n} off=",
        "invalid indirect access to stack R{n} off=", "variable offset stack pointer cannot be passed into helper function",
        "R{n} invalid variable buffer offset", "R{n} invalid negative {}buffer offset", "R{n} invalid {}buffer access",
    ]),
    (Why::PointerArithmetic, &[
        "R{n} pointer {} pointer prohibited", "R{n} 32-bit pointer arithmetic prohibited", "R{n} pointer arithmetic on {} prohibited",
        "R{n} pointer arithmetic with {} operator prohibited", "R{n} tried to subtract pointer from scalar",
        "R{n} subtraction from stack pointer prohibited", "R{n} bitwise operator {} on pointer prohibited",
        "R{n} pointer comparison prohibited", "R{n} partial copy of pointer", "R{n} sign-extension part of pointer",
        "math between {} pointer and ", "value {} makes {} pointer be out of bounds", "pointer offset {} is not allowed",
        "variable {} access var_off={} disallowed", "negative offset {} ptr R{n} off={} disallowed",
        "dereference of modified {} ptr R{n} off={} disallowed",
    ]),
    (Why::Spill, &[
        "invalid size of register spill", "invalid size of register fill", "cannot spill pointers to stack into stack frame of the caller",
        "attempt to corrupt spilled pointer on stack",
    ]),
    (Why::UnreleasedReference, &["Unreleased reference id=", "Leaking reference id=", " would lead to reference leak"]),
    (Why::UnownedRelease, &[
        "release helper {} expects referenced PTR_TO_BTF_ID", "release kfunc {} expects referenced PTR_TO_BTF_ID",
        "release kernel function {} expects refcounted PTR_TO_BTF_ID", "{arg} must be referenced when passed to release function",
        "reference has not been acquired before", "{arg} must have zero offset when passed to release func",
    ]),
    (Why::Lock, &[
        "function calls are not allowed while holding a lock", "cannot be used inside bpf_spin_lock-ed region",
        "Locking two bpf_spin_locks are not allowed", "Acquiring the same lock again, AA deadlock detected",
        "spin_unlock without taking a lock", "spin_unlock of different lock", "spin_unlock cannot be out of order",
        "can't res_spin_{lock,unlock} in rbtree cb", "can't spin_{lock,unlock} in rbtree cb",
    ]),
    (Why::Rcu, &[
        "cannot be used inside bpf_rcu_read_lock-ed region", "expected an RCU CS when using",
        "kernel func {} requires RCU critical section protection", "Calling bpf_rcu_read_{lock,unlock} in unnecessary rbtree callback",
        "nested rcu read lock", "unmatched rcu read unlock",
    ]),
    (Why::Preemption, &[
        "cannot be used inside bpf_preempt_disable-ed region", "global function calls are not allowed with preemption disabled",
        "unmatched attempt to enable preemption",
    ]),
    (Why::Interrupts, &[
        "cannot be used inside bpf_local_irq_save-ed region", "global function calls are not allowed with IRQs disabled",
        "{arg} doesn't point to an irq flag on stack", "expected uninitialized irq flag as", "expected an initialized irq flag as",
        "irq flag acquired by {} kfuncs cannot be restored", "cannot restore irq state out of order",
        "irq_flag has to be at a constant offset", "cannot pass in irq_flag at an offset=",
    ]),
    (Why::Iterator, &[
        "expected pointer to an iterator on stack", "expected valid iter pointer as", "expected uninitialized iter_",
        "expected an initialized iter_", "iter has to be at a constant offset", "cannot pass in iter at an offset=",
        "css_task_iter is only allowed in",
    ]),
    (Why::Dynptr, &[
        "cannot overwrite referenced dynptr", "expected pointer to stack or const struct bpf_dynptr",
        "CONST_PTR_TO_DYNPTR cannot be released", "Expected an initialized dynptr as", "Expected a dynptr of type",
        "Dynptr has to be an uninitialized dynptr", "potential write to dynptr at off=", "Unsupported reg type {} for bpf_dynptr_from_mem",
        "cannot release unowned const bpf_dynptr", "arg {n} is an unacquired reference", "dynptr has to be at a constant offset",
        "cannot pass in dynptr at an offset=",
    ]),
    (Why::ReturnValue, &[
        "cannot return stack pointer to the caller", "R0 not a scalar value", "At {} the register R{n} has",
        "At {} the register R{n} is not a",
    ]),
    (Why::Context, &[
        "invalid bpf_context access", "func '{}' offset {n} is not multiple of 8", "func '{}' doesn't have {n}-th argument",
        "ret type {} not allowed for fmod_ret", "Only pointer access is allowed", "func '{}' size {n} must be 8",
        "func '{}' arg{n} type {} is not a struct",
    ]),
    (Why::ReadOnly, &[
        "R{n} cannot write into ", "write to change key R{n} not allowed", "write into map forbidden", "read from map forbidden",
        "may write into memory pointed by", "only read from {} is supported", "only read is supported",
    ]),
    (Why::KernelField, &[
        "R{n} is ptr_{} access {} memory: off=", "R{n} is ptr_{} invalid variable offset", "R{n} is {} invalid negative access: off=",
        "Type '{}' is not a struct", "access beyond struct {} at off {n} size", "access beyond the end of member",
        "field {} doesn't have size", "cannot access ptr member {} with moff", "struct {} doesn't have field at offset",
        "type '{}' has multiple type tags", "only access to bpf_dummy_ops_state is supported", "R{n} invalid {}sock{} access off=",
        "invalid access to flow keys off=",
    ]),
    (Why::Map, &[
        "cannot pass map_type {n} into func", "cannot update sockmap in this context", "expected prog array map for tail call",
        "kernel subsystem misconfigured verifier", "invalid arg_type for sockmap/sockhash", "callback function not allowed for map",
        "pointer in {} isn't map pointer", "direct value offset of {n} is not allowed", "no direct value access support for this map type",
        "tracing progs cannot use bpf_", "bpf_struct_ops map cannot be used in prog",
        "Sleepable programs can only use array, hash, ringbuf and local storage maps", "fd {n} is not pointing to valid bpf_map",
        "The total number of maps per program has reached the limit",
    ]),
    (Why::Helper, &[
        "invalid func unknown#", "program of this type cannot use helper", "helper call is not allowed in probe",
        "func bpf_get_func_ip#{n} ", "helper access to the packet is not allowed",
    ]),
    (Why::Kfunc, &[
        "calling kernel function {} is not allowed", "acquire kernel function does not return PTR_TO_BTF_ID",
        "the prog does not allow writes to packet data", "local type ID argument must be in range",
        "bpf_obj_new/bpf_percpu_obj_new ", "bpf_percpu_obj_new type ", "type ID argument must be of a struct",
        "cannot find address for kernel function", "too many different kernel function calls",
    ]),
    (Why::Sleep, &[
        "sleepable global function {} called in", "global functions that may sleep are not allowed in non-sleepable context",
        "helper call might sleep in a non-sleepable prog", "sleepable helper {} in ",
        "program must be sleepable to call sleepable kfunc", "kernel func {} is sleepable within",
    ]),
    (Why::Timer, &[
        "has to have BTF in order to use bpf_", "{arg} doesn't have constant offset. bpf_", "map '{}' has no valid bpf_",
        "off {n} doesn't point to 'struct bpf_", "bpf_timer cannot be used for PREEMPT_RT", "doesn't match map pointer in",
        "{arg} doesn't point to a map value",
    ]),
    (Why::Kptr, &[
        "off={} doesn't point to kptr", "off={} kptr isn't referenced kptr", "invalid kptr access", "cannot be accessed directly by load/store",
        "cannot be accessed indirectly by helper", "access cannot have variable offset", "access misaligned expected=",
        "access size must be BPF_DW", "kptr in map can only be accessed using BPF_MEM instruction mode",
        "store to referenced kptr disallowed", "store to uptr disallowed", "BPF_ST imm must be 0 when storing to kptr",
        "direct access to {} is disallowed",
    ]),
    (Why::Graph, &[
        "held lock and object are not in the same allocation", "{arg} expected pointer to map value or allocated object",
        "allocated object must be referenced", "bpf_{} not found at offset=", "bpf_spin_lock at off={n} must be held for",
        "{arg} expected pointer to allocated object", "operation on {} expects arg#1 {} at offset=",
        "arg#1 offset={}, but expected", "can only take non-owning or refcounted", "rbtree_remove node input must be non-owning ref",
        " not allowed in rbtree cb", "{arg} is neither owning or non-owning ref", "doesn't point to a type with bpf_refcount field",
        "{arg} expected for bpf_obj_drop", "{arg} expected for bpf_percpu_obj_drop",
    ]),
    (Why::Arena, &[
        "addr_space_cast insn can only be used in a program that has an associated arena",
        "same insn cannot be used with and without arena pointer", "{arg} is not a pointer to arena or scalar",
        "requires a program with an associated arena", "Only one arena per program", "sign extending loads from arena are not supported yet",
    ]),
    (Why::WrongArgument, &[
        "R{n} invalid mem access '", "{arg} type={} expected=", "which cannot be used as const string",
        "does not point to a readonly map'", "is not a constant address'", "string is not zero-terminated",
        "same insn cannot be used with different pointers", "{arg} is not a const", "{arg} is not a known constant",
        "{arg} allocation size exceeds u32 max", "{arg} rdonly/rdwr_buf_size exceeds u32 max", "Invalid format string",
        "unable to resolve the size of type", "{arg} is of type {} but {} is expected", "Unrecognized {arg} type",
        "kernel function {} pointer type {} is not supported", "must point to scalar, or struct with scalar",
        "must point to void, scalar, or struct with scalar", "{arg} is not a scalar", "{arg} must be a known constant",
        "{arg} expected pointer to func", "{arg} expected pointer to ctx, but got", "{arg} doesn't point to a const string",
        "{arg} is {} expected ", "kernel function {} expected pointer to {} but {} has a pointer to",
        "memory, len pair leads to invalid memory access",
    ]),
    (Why::GlobalFunction, &[
        "{arg} expects pointer to ctx", "args. Buggy compiler.", "kernel supports at most 12 parameters, function",
        "stack args not supported", "doesn't return scalar. Only those are supported.", "return value not void or scalar. Only those are supported.",
        "type tag is not supported in static functions", "arg#{n} has unsupported set of tags", "arg#{n} has invalid combination of tags",
        "arg#{n} has pointer tag, but is not a pointer type", "Arg#{n} type {} is not supported yet.",
        "cannot be combined with any other tags", "arg#{n} reference type('", "arg#{n} type doesn't have a name",
        "arg#{n} should be void pointer", "arg#{n} should be `struct ", "Caller passes invalid args into func#", "Invalid arg#{n}",
    ]),
    (Why::TooComplex, &[
        "BPF program is too large. Processed", "The sequence of {n} jumps is too complex", "liveness analysis exceeded complexity limit",
        "too many subprograms",
    ]),
    (Why::EndlessLoop, &["infinite loop detected at insn", "back-edge from insn {n} to"]),
    (Why::Flow, &[
        "jump out of range from insn", "last insn is not an exit or jmp", "unreachable insn {n}", "jump into the middle of ldimm64 insn",
        "cannot use BPF_LD_[ABS|IND] within callback", "cannot tail call within callback", "cannot tail call within exception cb",
        "call to invalid destination", "no .text section found yet sub-program call exists",
    ]),
    (Why::Instruction, &[
        "invalid may_goto", "R{n} is invalid", "frame pointer is read only", "unknown opcode", "uses reserved fields",
        "invalid bpf_ld_imm64 insn", "unrecognized bpf_ld_imm64 insn", "addr_space_cast insn can only convert between address space 1 and 0",
        "invalid BPF_LD mode", "invalid shift {n}", "callback function not static", "pseudo btf_id {n} in ldimm64 isn't",
        "ldimm64 failed to find the address for kernel symbol",
    ]),
    (Why::StackDepth, &[
        "the call stack of {n} frames is too deep", "tail_calls are not allowed when call stack of previous frames is",
        "stack size of subprog {n} is", "combined stack size of {n} calls is", "recursive call from",
    ]),
    (Why::Exception, &[
        "bpf_throw kfunc (insn {n}) cannot be called from callback subprog", "insn {n} cannot call exception cb directly",
        "JIT does not support calling kfunc bpf_throw", "exception cb cannot return void", "exception cb only supports single integer argument",
        "multiple exception callback tags for main subprog",
    ]),
    (Why::Misaligned, &["misaligned {}access off "]),
    (Why::Division, &["div by zero"]),
    (Why::Attach, &[
        "Program of this type cannot be sleepable", "programs can be sleepable", "Tracing programs must provide btf_id",
        "Sleepable program cannot attach to non-faultable tracepoint", "The function {} has {n} arguments. Too many.",
        "The function {} return type {} is unsupported.", "The function {} with variable args is unsupported.",
        "The function {} arg{n} type {} is unsupported.", "The function {} has malformed void argument.", " is not sleepable",
        "() is not modifiable", "attach_btf_id {n} ", "Attaching {} is rejected.", "attach to unsupported member",
    ]),
    (Why::License, &[
        "cannot call GPL-restricted function from non-GPL compatible program",
        "cannot call kernel function from non-GPL compatible program", "LSM programs must have a GPL compatible license",
        "struct ops programs must have a GPL compatible license", "from non-GPL compatible program",
    ]),
    (Why::Atomic, &[
        "BPF_ATOMIC loads from R{n} {} is not allowed", "BPF_ATOMIC stores into R{n} {} is not allowed",
        "BPF_ATOMIC uses invalid atomic opcode", "invalid atomic operand size",
    ]),
];

impl Why {
    /// What a message of the verifier means. Lines that stand together in a log may be joined by `; `: the first that means
    /// something counts.
    pub fn of_message(message: &str) -> Option<Self> {
        let meaning = |line: &str| Self::first(|words| fits(words, line).is_some());
        let refuses = |line: &&str| fits(NO_REFUSAL, line).is_none();
        let mut refusals = message.split("; ").filter(refuses);
        // A number's bits are printed with a semicolon, too.
        refusals.find_map(meaning).or_else(|| meaning(message))
    }

    /// What a line means that stands anywhere in a text: one that starts as a message of the verifier does.
    pub fn of_line(line: &str) -> Option<Self> {
        // What stands for a part of a message only could begin any sentence.
        let is_whole =
            |words: &&str| words.starts_with("R{n}") || words.starts_with("{arg}") || words.len() >= 14;
        let begins = |words: &str| words.split('{').next().is_some_and(|start| line.starts_with(start));
        Self::first(|words| is_whole(&words) && begins(words) && fits(words, line) == Some(0))
    }

    fn first(fits: impl Fn(&str) -> bool) -> Option<Self> {
        WORDS.iter().find(|(_, all)| all.iter().any(|words| fits(words))).map(|(why, _)| *why)
    }
}

/// Where in a text words stand; `{}` in them stands for anything, `{n}` for a number, `{arg}` for an argument.
pub fn fits(words: &str, text: &str) -> Option<usize> {
    let mut end = text.len().min(MAX_MESSAGE);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let text = &text[..end];
    let (mut start, mut at) = (None, 0);
    // What matches first leaves the most for what follows, so nothing is tried twice.
    for part in words.split("{}").filter(|part| !part.is_empty()) {
        let (from, to) = find(part, text, at)?;
        start.get_or_insert(from);
        at = to;
    }
    Some(start.unwrap_or(0))
}

/// The first place from `at` on where a part without `{}` stands: where it starts, and where it ends.
fn find(part: &str, text: &str, at: usize) -> Option<(usize, usize)> {
    let (literal, _) = part.split_once('{').filter(|(_, rest)| hole(rest).is_some()).unwrap_or((part, ""));
    let mut from = at;
    while let Some(rest) = text.get(from..) {
        let start = match literal {
            "" => from,
            _ => from + rest.find(literal)?,
        };
        if let Some(len) = text.get(start..).and_then(|rest| prefix(part, rest)) {
            return Some((start, start + len));
        }
        from = start + text.get(start..)?.chars().next()?.len_utf8();
    }
    None
}

/// The length of what a hole takes from the start of a text.
type Takes = fn(&str) -> usize;

/// The hole that words begin with, behind its brace: what it takes, and what follows it.
fn hole(words: &str) -> Option<(Takes, &str)> {
    let number = words.strip_prefix("n}").map(|rest| (digits as Takes, rest));
    number.or_else(|| Some((argument as Takes, words.strip_prefix("arg}")?)))
}

/// The length of what a part takes from the start of a text.
fn prefix(part: &str, text: &str) -> Option<usize> {
    let (mut words, mut at) = (part, 0);
    while let Some(c) = words.chars().next() {
        if let Some((takes, rest)) = words.strip_prefix('{').and_then(hole) {
            let len = Some(takes(&text[at..])).filter(|&len| len > 0)?;
            at += len;
            words = rest;
        } else {
            at += text[at..].starts_with(c).then_some(c.len_utf8())?;
            words = &words[c.len_utf8()..];
        }
    }
    Some(at)
}

fn digits(text: &str) -> usize {
    text.bytes().take_while(u8::is_ascii_digit).count()
}

/// `R1`, `arg1`, `arg#1`, `arg #1`, `args#1`: releases differ.
fn argument(text: &str) -> usize {
    ["args#", "arg#", "arg #", "arg", "R"]
        .iter()
        .find_map(|name| {
            let len = digits(text.strip_prefix(name)?);
            (len > 0).then_some(name.len() + len)
        })
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_have_holes() {
        assert_eq!(fits("R{n} !read_ok", "R9 !read_ok"), Some(0));
        assert_eq!(fits("R{n} !read_ok", "R or R10 !read_ok here"), Some(5));
        assert_eq!(fits("R{n} !read_ok", "R !read_ok"), None);
        assert_eq!(fits("{arg} is not a scalar", "arg#1 is not a scalar"), Some(0));
        assert_eq!(fits("a {} c", "a b c"), Some(0));
        assert_eq!(fits("a {} c", "a c"), None);
        assert_eq!(fits("in_{lock,unlock} x", "can't in_{lock,unlock} x"), Some(6));
        assert_eq!(fits("b", "ä b"), Some(3));
        assert_eq!(fits("", ""), Some(0));
    }

    #[test]
    fn what_is_special_stands_first() {
        for (message, why) in [
            ("R0 invalid mem access 'scalar'", Why::NumberAsPointer),
            ("R0 invalid mem access 'map_value_or_null'", Why::NullDereference),
            ("R1 invalid mem access 'trusted_ptr_or_null_'", Why::NullDereference),
            ("R1 invalid mem access 'fp'", Why::WrongArgument),
            ("R1 type=scalar expected=fp, trusted_ptr_", Why::NumberAsPointer),
            ("R2 type=trusted_ptr_or_null_ expected=ptr_, trusted_ptr_", Why::NullArgument),
            ("R2 type=untrusted_ptr_ expected=ptr_, trusted_ptr_, rcu_ptr_", Why::UntrustedPointer),
            ("R1 type=ctx expected=fp", Why::WrongArgument),
            ("invalid func unknown#195896080", Why::Poison),
            ("invalid func unknown#2002000004", Why::MissingKfunc),
            ("invalid func unknown#9999", Why::Helper),
            ("R6 cannot write into ptr_task_struct at off=920 size=8", Why::KernelField),
            ("R6 cannot write into rdonly_mem", Why::ReadOnly),
            ("invalid read from stack R2 off -8+0 size 8", Why::Dynptr),
            ("invalid read from stack R2 off=8 size=4", Why::OutOfBounds),
            ("variable ctx access var_off=(0x0; 0x4) disallowed", Why::PointerArithmetic),
            ("invalid read from stack off -8+0 size 8", Why::UninitializedStack),
        ] {
            assert_eq!(Why::of_message(message), Some(why), "{message}");
        }
        assert_eq!(Why::of_message(""), None);
        assert_eq!(Why::of_message("all is well"), None);
    }

    #[test]
    fn the_first_line_that_means_something_counts() {
        let main = "Global function demo_tick() doesn't return scalar. Only those are supported.";
        assert_eq!(Why::of_message(main), Some(Why::GlobalFunction));
        assert_eq!(Why::of_message(&format!("{main}; div by zero")), Some(Why::Division));
        let message = "Func#1 ('x') is global and assumed valid.; R1 is not a scalar; Caller passes invalid args into func#1 ('x')";
        assert_eq!(Why::of_message(message), Some(Why::WrongArgument));
        // Kernels glue lines together, too.
        let glued = "insn 3 cannot call exception cb directlyverification time 747 usec";
        assert_eq!(Why::of_message(glued), Some(Why::Exception));
    }

    #[test]
    fn a_line_of_any_text_is_taken_only_whole() {
        assert_eq!(Why::of_line("R1 !read_ok"), Some(Why::UninitializedRegister));
        assert_eq!(Why::of_line("Unreleased reference id=2 alloc_insn=4"), Some(Why::UnreleasedReference));
        for text in ["", "the scheduler is not sleepable", "see: unreachable insn 4", "Raider 9 is invalid"] {
            assert_eq!(Why::of_line(text), None, "{text}");
        }
    }

    #[test]
    fn every_kind_has_words_and_none_stand_twice() {
        for why in Why::ALL {
            assert!(WORDS.iter().any(|(known, _)| known == why), "{why:?}");
        }
        let mut all: Vec<&str> = WORDS.iter().flat_map(|(_, all)| all.iter().copied()).collect();
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count);
    }

    /// No row is hidden by one before it.
    #[test]
    fn every_row_is_reached() {
        for (why, all) in WORDS {
            for words in *all {
                let text = words.replace("{n}", "7").replace("{arg}", "R7").replace("{}", "xyz");
                assert_eq!(Why::of_message(&text), Some(*why), "{text}");
            }
        }
    }
}
