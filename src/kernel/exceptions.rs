//! What a kernel enforces and its BTF does not say outright: one table of facts, and what in the BTF stands for each.
//!
//! A release string is never compared: distributions backport. Each [`Fact`] has a mark, something that BTF does show
//! and that came or went in the same release, or better the thing itself; [`Kernel::knows`] looks for it. [`lists`] holds
//! what no BTF gives a hint of and what is the same in every kernel but for the facts named with it; the sets of the
//! kfuncs are in [`super::kfuncs`]. docs/kernels.md shows both tables as [`markdown`] writes them.

use super::arch::{Arch, USUAL_ARCH};
use super::forms::cpu_name;
use super::gates::{KernelArenaRule, KfuncGate};
use super::helpers::{self, Helper};
use super::kernel::Kernel;
use super::kfuncs::table as kfuncs;
use super::lookup::Lookup;
use super::map_types;
use crate::btf::Kind;
use crate::object::MapType;

/// What in a kernel's BTF stands for a fact.
#[derive(Debug, Clone, Copy)]
pub enum Mark {
    /// A function of that name.
    Function(&'static str),
    /// A function, and another of the same source file that is older: where that one is, a configuration that left the
    /// file out is no reason for the first to be missing.
    FunctionBeside(&'static str, &'static str),
    /// A struct.
    Struct(&'static str),
    /// An enum.
    Enum(&'static str),
    /// A member of a struct, at top level.
    Member(&'static str, &'static str),
    /// An enumerator of an enum.
    Enumerator(&'static str, &'static str),
    /// An enumerator of an enum without a name.
    Nameless(&'static str),
    /// `SCX_OPS_ALL_FLAGS` has these bits, which are called so.
    OpsFlags(u64, &'static str),
    /// An option of the configuration, which leaves no trace in the types.
    Option(&'static str),
    /// An option as the configuration tells it; where it is not told, what stands for it in the types, and at last what the
    /// distribution is taken to set.
    Configured(&'static str, &'static Mark),
    /// The kernel is for that machine, or does not tell and is taken for one of these.
    Arch(Arch),
    /// Not that.
    Not(&'static Mark),
    /// All of these.
    All(&'static [Mark]),
    /// One of these.
    Any(&'static [Mark]),
    /// The first, and nobody knows where the second is there too, for the reason given.
    Unless(&'static Mark, &'static Mark, &'static str),
}

/// A row of the table.
#[derive(Debug)]
pub struct FactRow {
    /// Which fact.
    pub fact: Fact,
    /// Its name, as the documentation gives it.
    pub name: &'static str,
    /// What is so where it holds, in one sentence or two.
    pub what: &'static str,
    /// What stands for it.
    pub mark: Mark,
    /// The first release where it holds; `None` if it holds in none.
    pub from: Option<&'static str>,
    /// The last release where it holds; `None` if it still does.
    pub to: Option<&'static str>,
    /// Releases whose built-in BTF leaves it open.
    pub open: &'static [&'static str],
    /// The kernel's function and the releases it was read in.
    pub source: &'static str,
    /// What is weak about the mark; `None` where the mark is the thing itself, or came with it.
    pub weak: Option<&'static str>,
}

macro_rules! optional {
    () => {
        None
    };
    ($value:expr) => {
        Some($value)
    };
}

/// Declares the facts and the table; a fact's doc comment is its sentence there.
macro_rules! facts {
    ($($(#[doc = $doc:literal])+ $fact:ident: $mark:expr, $(from $from:literal,)? $(to $to:literal,)?
       $(open $open:expr,)? source $source:literal $(, weak $weak:literal)?;)+) => {
        /// Something that is so in some kernels.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Fact {
            $($(#[doc = $doc])+ $fact,)+
        }

        /// All facts, in the order of [`Fact`].
        pub static TABLE: &[FactRow] = &[$(FactRow {
            fact: Fact::$fact,
            name: stringify!($fact),
            what: concat!($($doc),+),
            mark: $mark,
            from: optional!($($from)?),
            to: optional!($($to)?),
            open: { const OPEN: &[&str] = &[$($open)?]; OPEN },
            source: $source,
            weak: optional!($($weak)?),
        }),+];
    };
}

const CID_FORM: Mark = Mark::Struct("bpf_struct_ops_sched_ext_ops_cid");
const KFUNC_FILTER: Mark = Mark::Function("scx_kfunc_context_filter");
const KFUNC_MASK: Mark = Mark::Enum("scx_kf_mask");
const SUB_SCHEDULERS: Mark =
    Mark::Configured("CONFIG_EXT_SUB_SCHED", &Mark::Function("scx_pstack_recursion_on_dispatch"));
const ARENA_ARGUMENTS: Mark = Mark::FunctionBeside("bpf_jit_supports_arena_args", "bpf_jit_supports_arena");
const CID_TASK_ACCESS: Mark = Mark::Function("bpf_scx_cid_btf_struct_access");
const ARENA_PAGES_VARIANT: Mark =
    Mark::FunctionBeside("bpf_arena_alloc_pages_non_sleepable", "bpf_arena_alloc_pages");
/// Compilers that give programs a stack of their own where the verifier asks for it; of those of other machines nothing shows.
const COMPILER_WITH_STACKS: Mark = Mark::Any(&[
    Mark::Arch(Arch::X86_64),
    Mark::All(&[Mark::Arch(Arch::Arm64), Mark::Member("jit_ctx", "priv_sp_used")]),
    Mark::Arch(Arch::Powerpc64),
]);
const PRIVATE_STACK: Mark =
    Mark::All(&[Mark::Member("bpf_prog_aux", "jits_use_priv_stack"), COMPILER_WITH_STACKS]);
const X86_64: Mark = Mark::Arch(Arch::X86_64);
const UNWINDER: Mark = Mark::Configured("CONFIG_UNWINDER_ORC", &Mark::Struct("orc_entry"));
const ASSOCIATION: Mark = Mark::FunctionBeside("bpf_prog_assoc_struct_ops", "bpf_struct_ops_link_create");

facts! {
    /// Schedulers may be written in terms of cids (`sched_ext_ops_cid`).
    CidForm: CID_FORM, from "7.2", source "ext.c `bpf_scx_reg_cid` (7.2, 7.3)";

    /// The arena of a cid-form scheduler must have been created with `BPF_F_ARENA_MAP_ALWAYS`.
    ArenaMapAlways: Mark::Nameless("BPF_F_ARENA_MAP_ALWAYS"),
        source "the RFC series \"bpf/arena: Direct kernel-side access\"; a 7.3.4 with it, in a guest",
        weak "the flag may one day come without the rule";

    /// A filter of the verifier keeps kfuncs to the callbacks that may call them: others do not load.
    KfuncFilter: KFUNC_FILTER, from "7.1", source "ext.c `scx_kfunc_context_filter` (7.1 to 7.3)";

    /// A mask in the task does that when the kfunc runs: the scheduler is ejected.
    KfuncMask: KFUNC_MASK, from "6.12", to "7.0", source "ext.c `scx_kf_allowed` (6.12, 6.17 to 6.19); guests of 6.16 and 7.0";

    /// The select_cpu kfuncs are in the set of the idle kfuncs, and callable where those are.
    SelectCpuKfuncsAreIdle: Mark::All(&[KFUNC_MASK, Mark::Function("scx_bpf_select_cpu_and")]), from "6.16", to "7.0",
        source "`scx_kfunc_ids_idle` (6.17 to 6.19, images of 6.16 and 7.0)",
        weak "6.13 to 6.15 were not looked at: which of them has the kfunc is not known";

    /// `ops.init_cids` is there, and `scx_bpf_cid_override` for it alone.
    InitCids: Mark::Member("sched_ext_ops", "init_cids"), from "7.3", source "`scx_kfunc_ids_init_cids` (7.3)";

    /// The filter knows the set of the cid kfuncs; before, those pass everywhere.
    FilterKnowsCidKfuncs: Mark::Member("sched_ext_ops", "init_cids"), from "7.3",
        source "ext.c `scx_kfunc_context_filter` (7.2, 7.3)",
        weak "another change of the same release: a backport may bring one without the other";

    /// Sub-schedulers are compiled in (CONFIG_EXT_SUB_SCHED, which needs control groups).
    SubSchedulers: SUB_SCHEDULERS, from "7.1", source "ext.c (7.1 to 7.3), the types of a 7.3.4 without control groups";

    /// A cpu-form scheduler that is a sub-scheduler, or may have some, is refused.
    SubSchedulersAreCidForm: CID_FORM, from "7.2", source "ext.c `validate_ops` (7.1, 7.2, 7.3), guests of the three",
        weak "another change of the same release: a backport may bring one without the other";

    /// `dispatch` has a stack of its own: the frames of its call chain count singly.
    DispatchHasOwnStack: Mark::All(&[SUB_SCHEDULERS, KFUNC_FILTER, COMPILER_WITH_STACKS]), from "7.1",
        source "ext.c (7.1 to 7.3); guests: 6.16 and 7.0 refuse what 7.1 to 7.3 take; `bpf_jit_supports_private_stack`",
        weak "of the compiler for ppc64 it is known for 7.3 only";

    /// Programs that trace have a stack of their own.
    TracingHasOwnStack: PRIVATE_STACK, from "6.16", source "verifier.c `bpf_enable_priv_stack` (6.17 to 7.3), guests of 6.12, 6.18 and 7.3",
        weak "6.13 to 6.15 were not looked at; of the compiler for ppc64 it is known for 7.3 only";

    /// Frames below a call to a global function count with those above it.
    FramesCountThroughGlobals: Mark::Unless(&KFUNC_MASK, &ASSOCIATION,
        "whether this kernel counts the frames below a global function with those above is not known"), from "6.12", to "6.19", open "7.0",
        source "verifier.c `check_max_stack_depth_subprog` (6.12, 6.17 to 6.19, 7.1 to 7.3)",
        weak "another change, of the scheduler class, stands for one of the verifier; 7.0 could not be read, and is told by \
             a function that came with it";

    /// An iterator that RCU protects, as that over a DSQ, is made under an RCU read lock alone; before, its next step says something else.
    IteratorNeedsRcu: Mark::Function("scx_bpf_cpu_curr"), from "6.18",
        source "guests of 6.18, 7.1, 7.2 and 7.3",
        weak "a kfunc that came in the same release, and is protected in the same way";

    /// Flags are looked at before the DSQ that a task is moved from.
    MoveLooksAtFlagsFirst: Mark::Enumerator("scx_enq_flags", "SCX_ENQ_RESCUE"), from "7.3",
        source "guests of 7.1 and 7.3",
        weak "a flag of the same release; of kernels before it is not known";

    /// Programs are handed arena addresses, in arguments that are marked so, and must use an arena then.
    ArenaArguments: ARENA_ARGUMENTS, from "7.3", source "verifier.c `check_struct_ops_btf_id`, `gen_kfunc_arg_proto` (7.3)";

    /// `set_cmask` is handed an arena address that the types call a kernel pointer.
    UnmarkedArenaArgument: Mark::All(&[CID_FORM, Mark::Not(&ARENA_ARGUMENTS)]), from "7.2", to "7.2",
        source "ext.c `scx_call_op_set_cpumask` (7.2), a guest of 7.2";

    /// The cpu-form struct has the members `sub_caps_updated` and `sub_ecaps_updated` for its layout alone.
    CapsMembersWithoutStub: Mark::Member("sched_ext_ops", "sub_caps_updated"), from "7.3",
        source "verifier.c `check_struct_ops_btf_id`, the stubs in ext.c (7.3), a guest of 7.3",
        weak "a later kernel may give them stubs";

    /// The second arguments of `dispatch` and `yield` may be NULL by the member's name: stubs have no names to mark them with.
    NullableByMember: Mark::Not(&Mark::Function("sched_ext_ops__dispatch")), from "6.12", to "6.12",
        source "ext.c `set_arg_maybe_null` (6.12)",
        weak "6.13 to 6.15 were not looked at";

    /// `cgroup_set_bandwidth` may sleep.
    BandwidthMaySleep: Mark::Function("scx_compat_marker_cgroup_set_bandwidth_may_sleep"), from "7.3",
        source "ext.c `bpf_scx_check_member` (7.3); the function is there to say so";

    /// Callbacks have a shorter list of helpers, of the scheduler class's own.
    OwnHelperList: Mark::Function("bpf_scx_get_func_proto"), from "6.12", to "6.12",
        source "ext.c `bpf_scx_get_func_proto` (6.12), helpers.c `bpf_base_func_proto` (6.17 to 7.3)",
        weak "6.13 to 6.15 were not looked at";

    /// The kfuncs for arena pages may be called by programs that do not sleep.
    ArenaPagesWithoutSleep: ARENA_PAGES_VARIANT, from "7.0",
        source "the variant is in arena.c, beside them; guests: 6.18 refuses, 7.1 does not";

    /// Sleepable programs may use maps of type prog_array.
    ProgArrayInSleepable: ARENA_PAGES_VARIANT, from "7.0",
        source "verifier.c `check_map_prog_compatibility` (6.19 refuses, 7.1 does not), a guest of 7.0.13 takes it",
        weak "a kfunc that has nothing to do with it: 7.0 could not be read, and has nothing else to tell it from 6.19";

    /// Sleepable programs may use maps of the types lpm_trie and rhash.
    LpmTrieInSleepable: Mark::Enumerator("bpf_map_type", "BPF_MAP_TYPE_RHASH"), from "7.2",
        source "verifier.c `check_map_prog_compatibility` (7.1, 7.2)",
        weak "for lpm_trie the map type stands that came in the same release";

    /// Programs may use the data of per-CPU arrays by its address, as libbpf 1.8 wants it for `.percpu` sections.
    PercpuData: Mark::FunctionBeside("percpu_array_map_direct_value_addr", "array_map_alloc_check"), from "7.3",
        source "arraymap.c (7.3), guests of 6.12, 6.18 and 7.1 to 7.3";

    /// One program may be attached to many functions (`fentry.multi` and its kin).
    TracingMulti: Mark::Enumerator("bpf_attach_type", "BPF_TRACE_FENTRY_MULTI"), from "7.2",
        source "guests of 6.12, 6.18 and 7.1 to 7.3";

    /// Programs on tracepoints may sleep, where the tracepoint lets them.
    SleepableTracepoints: Mark::Function("trace_call_bpf_faultable"), from "7.2", open "6.12",
        source "verifier.c `can_be_sleepable` (7.3)",
        weak "7.1 takes a sleepable `tp_btf` already; others were not tried there";

    /// Loads from an arena may extend the sign.
    SignExtendingArenaLoads: Mark::Function("bpf_strcasecmp"), from "6.18", open "6.12",
        source "verifier.c `do_check_insn` (6.12, 6.17, 6.18)",
        weak "a kfunc for strings that came in the same release; where it is cut, or the configuration is small, nothing is known";

    /// Fields of instructions that must be 0, registers and the address spaces of casts are looked at in all code, walked or not.
    InsnFieldsCheckedEverywhere: Mark::FunctionBeside("bpf_check_btf_info", "check_alu_op"), from "7.1",
        source "verifier.c `check_and_resolve_insns`, `check_insn_fields`, `check_alu_fields` (7.1 to 7.3), guests of 6.18 and 7.1 to 7.3",
        weak "the split of verifier.c, of the same release, stands for it";

    /// Writes to `p->scx.slice` and `p->scx.dsq_vtime` are warned of.
    TaskWriteWarns: Mark::All(&[KFUNC_FILTER, Mark::Not(&CID_TASK_ACCESS)]), from "7.1", to "7.2",
        source "ext.c `bpf_scx_btf_struct_access` (7.1 to 7.3), guests of 6.16 to 7.3",
        weak "that it starts is told by another change of the same release";

    /// Writes to them are refused in cid-form.
    TaskWriteRefusedInCidForm: CID_TASK_ACCESS, from "7.3", source "ext.c `bpf_scx_cid_btf_struct_access` (7.3), a guest of 7.3";

    /// `init_task` may set `p->scx.disallow` for no task that is being forked; before, for none whose policy is SCHED_EXT.
    DisallowNeverDuringFork: Mark::Member("sched_ext_ops", "sub_attach"), from "7.1",
        source "ext.c `scx_init_task` (6.12, 6.17 to 6.19, 7.1 to 7.3), guests of 6.18, 7.1 and 7.3",
        weak "the series that brought sub-schedulers changed it";

    /// The verifier says why it refuses a write to a task.
    TaskWriteRefusalSpeaks: CID_FORM, from "7.2", source "the verifier's log in guests of 6.16, 6.18 and 7.0 to 7.3",
        weak "another change of the same release; only the text that is quoted depends on it";

    /// `cpu_acquire` and `cpu_release` are warned of.
    CpuReleaseDeprecated: Mark::Function("scx_bpf_reenqueue_local___v2"), from "6.19",
        source "ext.c `validate_ops` (6.18, 6.19)",
        weak "the kfunc that takes their place, of the same release";

    /// An element of a hash map that is deleted keeps its kptrs, and a new element in its place has them.
    DeletedElementsKeepKptrs: Mark::FunctionBeside("bpf_obj_cancel_fields", "bpf_obj_free_fields"), from "7.1",
        source "hashtab.c `check_and_cancel_fields`; guests: 7.0 gives them back, 7.1 to 7.3 do not";

    /// The kernel is for real time (CONFIG_PREEMPT_RT): programs may not use timers.
    PreemptRt: Mark::Configured("CONFIG_PREEMPT_RT", &Mark::Member("spinlock", "lock")),
        source "verifier.c `process_timer_func` (7.3), a guest of 7.3.4 for real time";

    /// Programs may trace (CONFIG_BPF_EVENTS): else the helpers of kernel/trace/bpf_trace.c are gone, for all programs.
    TracingHelpers: Mark::Configured("CONFIG_BPF_EVENTS", &Mark::Function("trace_call_bpf")), from "6.12",
        source "helpers.c, core.c: weak prototypes (7.3); a guest of 7.3.4 without it";

    /// Functions can be traced (CONFIG_FUNCTION_TRACER): else no fentry program and the like attaches.
    FunctionTracer: Mark::Configured("CONFIG_FUNCTION_TRACER", &Mark::Function("ftrace_location")), from "6.12",
        source "trampoline.c `register_fentry`, x86 `bpf_arch_text_poke` (7.3)",
        weak "no guest without it alone was at hand";

    /// System calls have tracepoints (CONFIG_FTRACE_SYSCALLS).
    SyscallTracepoints: Mark::Configured("CONFIG_FTRACE_SYSCALLS", &Mark::Function("init_syscall_trace")), from "6.12",
        source "trace_syscalls.c (7.3), libbpf `determine_tracepoint_id`",
        weak "no guest without it alone was at hand";

    /// Addresses of variables can be looked up (CONFIG_KALLSYMS_ALL): else typed `__ksym` variables have none.
    AllSymbols: Mark::Option("CONFIG_KALLSYMS_ALL"), from "6.12",
        source "verifier.c `__check_pseudo_btf_id` (7.3), a guest of 7.3.4 without it",
        weak "nothing in the types shows it";

    /// Modules come with types (CONFIG_DEBUG_INFO_BTF_MODULES): else none of their functions can be called or traced by BTF.
    ModuleTypes: Mark::Configured("CONFIG_DEBUG_INFO_BTF_MODULES", &Mark::Struct("btf_module")), from "6.12",
        source "btf.c (7.3)";

    /// The stack cannot be unwound on x86-64 (no CONFIG_UNWINDER_ORC): programs may not throw.
    NoUnwinder: Mark::All(&[X86_64, Mark::Not(&UNWINDER)]),
        source "x86 `bpf_jit_supports_exceptions`, verifier.c `check_kfunc_call` (7.3), a guest of 7.3.4 without it";

    /// `SCX_OPS_HAS_CGROUP_WEIGHT` does nothing, and is warned of.
    WeightFlagIsNoop: Mark::OpsFlags(1 << 16 | 1 << 6, "HAS_CGROUP_WEIGHT and BUILTIN_IDLE_PER_NODE"), from "6.16", to "7.0",
        source "ext.c `validate_ops` (6.17 to 6.19)",
        weak "the second flag stands for the warning: 6.13 to 6.15 were not looked at";
}

impl Fact {
    /// Its row.
    pub fn row(self) -> &'static FactRow {
        // SANITY: one macro writes the enum and the table, in one order.
        &TABLE[self as usize]
    }
}

impl Kernel<'_> {
    /// Is a fact known of this kernel: found where its mark shows that it holds, absent where it shows that it does
    /// not, unknown with the reason where the BTF at hand does not tell: what was cut, or left out of a smaller
    /// configuration, proves nothing.
    pub fn knows(&self, fact: Fact) -> Lookup<()> {
        fact.row().mark.look(self)
    }

    /// Is a fact known to hold.
    pub fn is(&self, fact: Fact) -> bool {
        self.knows(fact) == Lookup::Found(())
    }

    /// How it keeps kfuncs to the callbacks that may call them.
    pub fn kfunc_gate(&self) -> Lookup<KfuncGate> {
        if self.is(Fact::KfuncFilter) {
            Lookup::Found(KfuncGate::Verifier)
        } else if self.is(Fact::KfuncMask) {
            Lookup::Found(KfuncGate::RunTime)
        } else {
            Lookup::Unknown(
                "the kernel's BTF has neither scx_kfunc_context_filter nor enum scx_kf_mask".into(),
            )
        }
    }

    /// What it asks of the arenas of a cid-form scheduler.
    pub fn arena_rule(&self) -> KernelArenaRule {
        *self.arena_rule.get_or_init(|| self.read_arena_rule())
    }

    fn read_arena_rule(&self) -> KernelArenaRule {
        if !self.is(Fact::CidForm) {
            return KernelArenaRule::None;
        }
        match self.map_flag("BPF_F_ARENA_MAP_ALWAYS").filter(|_| self.is(Fact::ArenaMapAlways)) {
            Some(bit) => KernelArenaRule::Always(bit),
            None => KernelArenaRule::One,
        }
    }
}

impl Mark {
    fn look(&self, kernel: &Kernel<'_>) -> Lookup<()> {
        let is = |found: bool| if found { Lookup::Found(()) } else { Lookup::Absent };
        match *self {
            Self::Function(name) => kernel.function(name),
            Self::FunctionBeside(name, older) => match kernel.function(name) {
                Lookup::Unknown(_) if kernel.function(older) == Lookup::Found(()) => Lookup::Absent,
                found => found,
            },
            Self::Struct(name) => kernel.lookup(name, Kind::Struct).map(drop),
            Self::Enum(name) => kernel.lookup(name, Kind::Enum).map(drop),
            Self::Member(of, name) => match kernel.lookup(of, Kind::Struct) {
                Lookup::Found(id) => is(kernel.member(id, name).is_some()),
                other => other.map(drop),
            },
            // No configuration leaves out a part of an enum.
            Self::Enumerator(of, name) => match kernel.enumerator(of, name) {
                Lookup::Unknown(_) if kernel.find(of, Kind::Enum).is_some() => Lookup::Absent,
                found => found.map(drop),
            },
            Self::Nameless(name) => is(kernel.any_enumerator(name).is_some()),
            Self::OpsFlags(bits, _) => match kernel.ops_flags() {
                Lookup::Found(all) => is(all & bits == bits),
                other => other.map(drop),
            },
            Self::Option(name) => {
                let assumed = || kernel.config.assumed_option(name).map(drop);
                kernel.config.told_set(name).unwrap_or_else(assumed)
            }
            Self::Configured(name, mark) => match kernel.config.told_set(name) {
                Some(told) => told,
                None => match mark.look(kernel) {
                    Lookup::Unknown(_) => kernel.config.assumed_option(name).map(drop),
                    shown => shown,
                },
            },
            Self::Arch(arch) => is(kernel.arch().found().unwrap_or(USUAL_ARCH) == arch),
            Self::Any(marks) => {
                let found = marks.iter().map(|mark| mark.look(kernel));
                found.fold(Lookup::Absent, |any, one| match (&any, &one) {
                    (Lookup::Found(()), _) | (_, Lookup::Absent) => any,
                    (_, Lookup::Found(())) | (Lookup::Absent, _) => one,
                    (Lookup::Unknown(_), Lookup::Unknown(_)) => any,
                })
            }
            Self::Not(mark) => match mark.look(kernel) {
                Lookup::Found(()) => Lookup::Absent,
                Lookup::Absent => Lookup::Found(()),
                unknown => unknown,
            },
            Self::All(marks) => {
                let found = marks.iter().map(|mark| mark.look(kernel));
                found.fold(Lookup::Found(()), |all, one| match (&all, &one) {
                    (Lookup::Absent, _) | (_, Lookup::Found(())) => all,
                    (_, Lookup::Absent) | (Lookup::Found(()), _) => one,
                    (Lookup::Unknown(_), Lookup::Unknown(_)) => all,
                })
            }
            Self::Unless(mark, doubt, reason) => match (mark.look(kernel), doubt.look(kernel)) {
                (Lookup::Found(()), Lookup::Found(())) => Lookup::Unknown(reason.into()),
                (Lookup::Found(()), Lookup::Unknown(reason)) => Lookup::Unknown(reason),
                (found, _) => found,
            },
        }
    }

    /// What it is, in words for the documentation.
    fn words(&self) -> String {
        match *self {
            Self::Function(name) => format!("`{name}()`"),
            Self::FunctionBeside(name, older) => format!("`{name}()` (beside `{older}()`)"),
            Self::Struct(name) => format!("`struct {name}`"),
            Self::Enum(name) => format!("`enum {name}`"),
            Self::Member(of, name) => format!("`{of}.{name}`"),
            Self::Enumerator(_, name) | Self::Nameless(name) => format!("`{name}`"),
            Self::OpsFlags(_, names) => format!("{names} in `SCX_OPS_ALL_FLAGS`"),
            Self::Option(name) => format!("nothing; `{name}` in the configuration"),
            Self::Configured(name, mark) => format!("{}; `{name}` in the configuration", mark.words()),
            Self::Arch(arch) => format!("the registers of {}", arch.as_str()),
            Self::Not(mark) => format!("no {}", mark.words()),
            Self::All(marks) => marks.iter().map(Self::words).collect::<Vec<_>>().join(" and "),
            Self::Any(marks) => {
                let words: Vec<_> = marks.iter().map(Self::words).collect();
                format!("({})", words.join(", or "))
            }
            Self::Unless(mark, doubt, _) => {
                format!("{}; open where there is {}", mark.words(), doubt.words())
            }
        }
    }
}

impl FactRow {
    /// The releases where it holds, in words for the documentation.
    fn releases(&self) -> String {
        match (self.from, self.to) {
            (None, _) => "none".to_owned(),
            (Some(from), None) => format!("from {from}"),
            (Some(from), Some(to)) if from == to => from.to_owned(),
            (Some(from), Some(to)) => format!("{from} to {to}"),
        }
    }
}

/// A list of names that no BTF shows.
#[derive(Debug)]
pub struct List {
    /// What they are.
    pub what: &'static str,
    /// The names.
    pub names: Vec<&'static str>,
    /// Where the list is from.
    pub source: &'static str,
}

/// The lists: what stands here, and what stands in the tables of helpers, kfuncs and map types.
pub fn lists() -> [List; 5] {
    let later =
        helpers::all().filter(|helper| helper.is_for_sched_ext(false) && !helper.is_for_sched_ext(true));
    let sleepable = map_types::MAP_TYPES.iter().filter(|row| row.is(map_types::marks::SLEEPABLE));
    [
        List {
            what: "callbacks that may sleep where the kernel has them (cpu-form names)",
            names: SLEEPABLE.to_vec(),
            source: "ext.c `bpf_scx_check_member` (6.12, 6.17 to 7.3; machine code of 6.16 and 7.0)",
        },
        List {
            what: "helpers that callbacks may not call under `OwnHelperList`, and may elsewhere",
            names: later.map(|helper| helper.name).collect(),
            source: "the table of helpers (`scripts/helper-table`): helpers.c `bpf_base_func_proto` (7.3) less what 6.12 lists",
        },
        List {
            what: "map types that sleepable programs may use everywhere",
            names: sleepable.filter_map(|row| row.map_type.name()).collect(),
            source: "verifier.c `check_map_prog_compatibility` (6.12, 6.17 to 6.19, 7.1 to 7.3)",
        },
        List {
            what: "kfuncs that get a scheduler ejected where the kernel's idle tracking is off",
            names: kfuncs::builtin_idle().collect(),
            source: "ext_idle.c `check_builtin_idle_enabled` (6.12, 6.17 to 7.3)",
        },
        List {
            what: "starts of names of kfuncs that modules register, as most configurations build them",
            names: MODULE_KFUNCS.to_vec(),
            source: "`register_btf_kfunc_id_set` in net/netfilter, net/xfrm, net/ipv4, drivers/hid",
        },
    ]
}

/// Callbacks that may sleep where the kernel has them, by their cpu-form names.
const SLEEPABLE: &[&str] = &[
    "init_task",
    "cgroup_init",
    "cgroup_exit",
    "cgroup_prep_move",
    "cpu_online",
    "cpu_offline",
    "init",
    "exit",
    "sub_attach",
    "sub_detach",
    "init_cids",
];

/// Starts of names of kfuncs that modules register.
const MODULE_KFUNCS: &[&str] = &[
    "bpf_ct_",
    "bpf_skb_ct_",
    "bpf_xdp_ct_",
    "bpf_xdp_get_xfrm_state",
    "bpf_xdp_xfrm_state_release",
    "bpf_skb_set_fou_encap",
    "bpf_skb_get_fou_encap",
    "hid_bpf_",
    "bpf_testmod_",
];

/// May a callback be loaded as sleepable.
pub fn may_sleep(kernel: &Kernel<'_>, member: &str) -> Lookup<bool> {
    match cpu_name(member) {
        "cgroup_set_bandwidth" => kernel.knows(Fact::BandwidthMaySleep).holds(),
        name => Lookup::Found(SLEEPABLE.contains(&name)),
    }
}

/// Callbacks that stand in the struct for its layout alone: `check_struct_ops_btf_id` finds no cfi stub and refuses.
pub fn is_stubless(kernel: &Kernel<'_>, ops: &str, member: &str) -> bool {
    ops == "sched_ext_ops"
        && matches!(member, "sub_caps_updated" | "sub_ecaps_updated")
        && kernel.is(Fact::CapsMembersWithoutStub)
}

/// May a callback of a scheduler call a helper: on a kernel, or else on some built-in release.
pub fn offers_helper(kernel: Option<&Kernel<'_>>, helper: &Helper) -> bool {
    helper.is_for_sched_ext(kernel.is_some_and(|kernel| kernel.is(Fact::OwnHelperList)))
}

/// May a callback sleep on some built-in release.
pub fn may_sleep_somewhere(member: &str) -> bool {
    let name = cpu_name(member);
    name == "cgroup_set_bandwidth" || SLEEPABLE.contains(&name)
}

/// Sleepable programs may use maps of this type (`check_map_prog_compatibility`), in a kernel that has it.
pub fn sleepable_map(kernel: &Kernel<'_>, map_type: MapType) -> Lookup<bool> {
    match map_type {
        MapType::PROG_ARRAY => kernel.knows(Fact::ProgArrayInSleepable).holds(),
        MapType::LPM_TRIE | MapType::RHASH => kernel.knows(Fact::LpmTrieInSleepable).holds(),
        other => Lookup::Found(map_types::of(other).is(map_types::marks::SLEEPABLE)),
    }
}

/// Is a kfunc one that modules register.
pub(super) fn is_module_kfunc(name: &str) -> bool {
    MODULE_KFUNCS.iter().any(|start| name.starts_with(start))
}

/// Both tables as Markdown.
pub fn markdown() -> String {
    let mut text =
        "| fact | holds in | what its BTF shows | read in | what is weak |\n|---|---|---|---|---|\n"
            .to_owned();
    for row in TABLE {
        let mut weak = row.weak.unwrap_or("-").to_owned();
        if !row.open.is_empty() {
            weak = format!("{weak}; open for the built-in {}", row.open.join(", "));
        }
        let what = row.what.trim().trim_end_matches('.');
        text += &format!(
            "| `{}`: {what} | {} | {} | {} | {weak} |\n",
            row.name,
            row.releases(),
            row.mark.words(),
            row.source
        );
    }
    text += "\n| list | names | read in |\n|---|---|---|\n";
    for list in lists() {
        let names: Vec<_> = list.names.iter().map(|name| format!("`{name}`")).collect();
        text += &format!("| {} | {} | {} |\n", list.what, names.join(", "), list.source);
    }
    text
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::*;
    use crate::kernel::builtin::RELEASES;
    use crate::kernel::{DecidedBy, Reason, target};

    #[test]
    fn every_mark_tells_the_releases_apart_as_its_row_says() {
        let position = |name: &str| RELEASES.iter().position(|release| release.name == name).unwrap();
        let mut wrong = Vec::new();
        for (at, release) in RELEASES.iter().enumerate() {
            let target = target::load(release.name).unwrap().remove(0);
            let kernel = Kernel::new(&target).unwrap();
            for (number, row) in TABLE.iter().enumerate() {
                assert_eq!(row.fact as usize, number);
                let from = row.from.map_or(RELEASES.len(), position);
                let to = row.to.map_or(RELEASES.len(), position);
                let got = kernel.knows(row.fact);
                let right = match &got {
                    Lookup::Unknown(_) => row.open.contains(&release.name),
                    _ if row.open.contains(&release.name) => false,
                    Lookup::Found(()) => (from..=to).contains(&at),
                    Lookup::Absent => !(from..=to).contains(&at),
                };
                if !right {
                    wrong.push(format!("{} on {}: {got:?}", row.name, release.name));
                }
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    /// Where a part of the kernel is missing, its absence proves nothing; what belongs to the scheduler class is there.
    #[test]
    fn what_was_cut_is_not_known() {
        let mut target = target::load("7.3").unwrap().remove(0);
        target.btf = crate::btf::build::Builder::new().finish();
        target.cut = None;
        let states = |target: &crate::kernel::Target| {
            let kernel = Kernel::new(target).unwrap();
            [
                Fact::SignExtendingArenaLoads,
                Fact::ProgArrayInSleepable,
                Fact::TracingHasOwnStack,
                Fact::KfuncFilter,
            ]
            .map(|fact| kernel.knows(fact))
        };
        assert_eq!(states(&target), [const { Lookup::Absent }; 4]);
        target.partial = Some("it was cut".into());
        let cut = || Reason::from("it was cut").decided_by(DecidedBy::Image);
        let unknown = || Lookup::Unknown(cut());
        assert_eq!(states(&target), [unknown(), unknown(), unknown(), Lookup::Absent]);
        // A part of a conjunction that is missing for sure decides, one that is not known leaves it open.
        let kernel = Kernel::new(&target).unwrap();
        assert_eq!(kernel.knows(Fact::UnmarkedArenaArgument), Lookup::Absent);
        const OPEN: Mark = Mark::All(&[Mark::Not(&CID_FORM), ARENA_ARGUMENTS]);
        assert_eq!(OPEN.look(&kernel), unknown());
    }

    #[test]
    fn the_lists_say_what_the_kernels_call_things() {
        let target = target::load("7.3").unwrap().remove(0);
        let kernel = Kernel::new(&target).unwrap();
        let Lookup::Found(ops) = kernel.ops_type("sched_ext_ops_cid") else { panic!() };
        for name in SLEEPABLE {
            assert!(ops.members.iter().any(|member| cpu_name(member.name) == *name), "{name}");
        }
    }

    #[test]
    fn no_fact_is_kept_that_nobody_asks_for() {
        let mut folders = vec![PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/src"))];
        let mut sources = String::new();
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|extension| extension == "rs") {
                    let source = std::fs::read_to_string(path).unwrap();
                    sources += source.split("#[cfg(test)]\nmod tests {").next().unwrap();
                }
            }
        }
        for row in TABLE {
            assert!(sources.contains(&format!("Fact::{}", row.name)), "{}", row.name);
        }
    }

    #[test]
    fn the_page_on_kernels_shows_the_tables() {
        const START: &str = "<!-- Written by `UPDATE_SNAPSHOTS=1 cargo test the_page_on_kernels`; the test holds it against the code. -->\n\n";
        const END: &str = "\n<!-- End of what is written. -->\n";
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/kernels.md");
        let page = std::fs::read_to_string(&path).unwrap();
        let (before, rest) = page.split_once(START).unwrap();
        let (shown, after) = rest.split_once(END).unwrap();
        let current = markdown();
        if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
            std::fs::write(path, [before, START, &current, END, after].concat()).unwrap();
            return;
        }
        assert!(shown == current, "write it again: UPDATE_SNAPSHOTS=1 cargo test the_page_on_kernels");
    }
}
