//! The rules: pure functions of an object and the options, one file each.
//!
//! A check is run for one kernel, or for none. Without a kernel a rule reports an error only where
//! every kernel from 6.12 to 7.3 that has the struct_ops type would refuse the object.

use std::sync::OnceLock;

use crate::errno::Errno;
use crate::finding::{Level, Outcome, Phase};
use crate::insn::flow::{Fault, Flow};
use crate::kernel::{Kernel, KernelArenaRule};
use crate::load::{ExternFate, Load};
use crate::object::{
    ExternIdx, F_ARENA_MAP_ALWAYS, FuncIdx, InsnIdx, Map, MapIdx, MapOrigin, MapType, Object, OpsIdx,
    StructOps,
};
use crate::reach::{Analysis, Memory, Reached};

/// A rule; its documentation is the comment at its definition.
#[derive(Debug)]
pub struct Rule {
    /// The name by which it is allowed, denied and explained.
    pub name: &'static str,
    /// The family it belongs to.
    pub family: Family,
    /// Level unless the user says otherwise.
    pub level: Level,
    /// When it bites.
    pub phase: Phase,
    /// The version of scx-lint that brought it.
    pub since: &'static str,
    /// Its page: Markdown, one leading space on each line.
    pub doc: &'static str,
}

impl Rule {
    /// The first sentence of its page, without the full stop.
    pub fn summary(&self) -> &'static str {
        let line = self.doc.lines().next().unwrap_or_default().trim();
        line.strip_suffix('.').unwrap_or(line)
    }

    /// The page as Markdown.
    pub fn page(&self) -> String {
        self.doc.lines().map(|line| line.strip_prefix(' ').unwrap_or(line)).collect::<Vec<_>>().join("\n")
    }
}

/// Families of rules, as the list of rules groups them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Family {
    Object,
    Arena,
    StructOps,
    OpsValues,
    Program,
    Kfunc,
    Extern,
    Map,
    CoRe,
    Kernel,
}

impl Family {
    /// The word used in lists.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Object => "object",
            Self::Arena => "arena",
            Self::StructOps => "struct_ops",
            Self::OpsValues => "ops values",
            Self::Program => "program",
            Self::Kfunc => "kfunc",
            Self::Extern => "extern",
            Self::Map => "map",
            Self::CoRe => "CO-RE",
            Self::Kernel => "kernel",
        }
    }
}

/// Defines a rule; its doc comment is the rule's page.
macro_rules! rule {
    ($(#[doc = $doc:literal])+ pub $ident:ident: $name:literal, family: $family:ident, level: $level:ident,
     phase: $phase:ident, since: $since:literal;) => {
        $(#[doc = $doc])+
        pub static $ident: $crate::checks::Rule = $crate::checks::Rule {
            name: $name,
            family: $crate::checks::Family::$family,
            level: $crate::finding::Level::$level,
            phase: $crate::finding::Phase::$phase,
            since: $since,
            doc: concat!($($doc, "\n"),+),
        };
    };
}

/// Which arena rule applies (`--arena-rule`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ArenaRule {
    /// What the kernel enforces; without a kernel the strict form.
    #[default]
    Auto,
    /// Exactly one arena, created with `BPF_F_ARENA_MAP_ALWAYS`.
    Always,
    /// Exactly one arena, as kernels 7.2 and 7.3 have it.
    One,
}

/// What user space is taken to do between open and load (`--loader`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Loader {
    /// `Scx` where the object has `__SCX_*` variables, else `Plain`.
    #[default]
    Auto,
    /// Nothing.
    Plain,
    /// What `SCX_OPS_OPEN` and `scx_ops_open!` do.
    Scx,
}

/// What the user may choose.
///
/// It will grow: start from [`Options::default`] and set what differs.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Options {
    /// Which arena rule.
    pub arena_rule: ArenaRule,
    /// The value of `BPF_F_ARENA_MAP_ALWAYS` where no kernel tells it; `None` for the first free map flag.
    pub arena_flag: Option<u32>,
    /// Which loader.
    pub loader: Loader,
    /// Levels by rule name; the last one for a rule counts.
    pub levels: Vec<(String, Level)>,
}

impl Options {
    /// With another arena rule.
    pub fn arena_rule(mut self, arena_rule: ArenaRule) -> Self {
        self.arena_rule = arena_rule;
        self
    }

    /// With another loader.
    pub fn loader(mut self, loader: Loader) -> Self {
        self.loader = loader;
        self
    }

    /// With a rule at another level.
    pub fn level(mut self, rule: &str, level: Level) -> Self {
        self.levels.push((rule.to_owned(), level));
        self
    }
}

/// What a check looks at.
#[derive(Debug)]
pub struct Context<'a, 'd> {
    /// The object.
    pub object: &'a Object<'d>,
    /// The target, if one is named.
    pub kernel: Option<&'a Kernel<'a>>,
    /// What loading makes of the object there.
    pub load: &'a Load<'a, 'd>,
    /// What the user chose.
    pub options: &'a Options,
    /// User space may change values, sizes and what is loaded: the loader is scx's.
    pub edited: bool,
    /// What the verifier walks of each program.
    pub analysis: &'a Analysis<'a, 'd>,
    /// What holds on every kernel.
    shared: &'a Checker<'a, 'd>,
}

impl<'a, 'd> Context<'a, 'd> {
    /// The arena rule that applies: the user's choice, else the kernel's, else the strict form.
    fn arena_rule(&self) -> KernelArenaRule {
        let bit = self.arena_flag();
        match (self.options.arena_rule, self.kernel.map(Kernel::arena_rule)) {
            (_, Some(KernelArenaRule::None)) => KernelArenaRule::None,
            (ArenaRule::Auto, Some(rule)) => rule,
            (ArenaRule::Always, Some(rule @ KernelArenaRule::Always(_))) => rule,
            (ArenaRule::Auto | ArenaRule::Always, _) => KernelArenaRule::Always(bit),
            (ArenaRule::One, _) => KernelArenaRule::One,
        }
    }

    /// The bit of `BPF_F_ARENA_MAP_ALWAYS`, whether the kernel takes it or not.
    fn arena_flag(&self) -> u32 {
        match self.kernel.map(Kernel::arena_rule) {
            Some(KernelArenaRule::Always(bit)) => bit,
            _ => self.options.arena_flag.unwrap_or(F_ARENA_MAP_ALWAYS),
        }
    }

    /// Ops variables of sched_ext that libbpf creates, on a kernel that has their type.
    fn schedulers(&self) -> impl Iterator<Item = (OpsIdx, &'a StructOps<'d>)> {
        let load = self.load;
        self.object.schedulers().filter(move |(index, _)| !load.lacks_type(*index))
    }

    /// What libbpf creates for the definitions in `.maps`, in its order; not what it could not make sense of.
    fn declared_maps(&self) -> impl Iterator<Item = Declared<'a, 'd>> {
        let maps = self.object.maps.iter().enumerate();
        let declared = maps.filter(|(_, map)| {
            map.origin == MapOrigin::Declared && map.autocreate && map.map_type != MapType::UNSPEC
        });
        declared.flat_map(|(index, of)| {
            let inner = of.inner.as_deref().map(|map| Declared { index: MapIdx(index), map, inner: true });
            inner.into_iter().chain([Declared { index: MapIdx(index), map: of, inner: false }])
        })
    }

    /// Entry programs that libbpf loads.
    fn loaded(
        &self,
    ) -> impl Iterator<Item = (FuncIdx, &'a crate::object::Function<'d>, &'a crate::object::Entry)> {
        let load = self.load;
        self.object.programs().filter(move |(program, ..)| load.autoload(*program))
    }

    /// Does a kfunc that is called lead somewhere: libbpf finds it, or, without a kernel in view, nothing loads without it.
    fn has_kfunc(&self, index: ExternIdx) -> bool {
        match self.kernel {
            Some(_) => matches!(self.load.external(index), ExternFate::Kfunc(_)),
            None => !self.object[index].weak,
        }
    }

    /// Will the verifier walk an instruction of a program, its own or one of a function appended to it.
    fn reached(&self, program: FuncIdx, function: FuncIdx, insn: InsnIdx) -> Reached {
        self.analysis.program(program).at(function, insn)
    }

    /// Does a program execute an instruction whenever it runs: no branch but those that the verifier decides leads past it.
    fn is_unavoidable(&self, program: FuncIdx, function: FuncIdx, insn: InsnIdx) -> bool {
        self.unavoidable_within(program, function, insn, 0)
    }

    fn unavoidable_within(&self, program: FuncIdx, function: FuncIdx, insn: InsnIdx, depth: usize) -> bool {
        let reach = self.analysis.program(program);
        let passes = |function: FuncIdx, insn: InsnIdx| {
            let dead = |slot| reach.at(function, InsnIdx(slot)) == Reached::Never;
            !Flow::new(self.object[function].code)
                .can_avoid(insn.0, dead, |slot| self.is_taken(function, slot))
        };
        if !passes(function, insn) {
            return false;
        }
        // Frames of a call chain; recursion ends here too.
        function == program
            || depth < 16
                && self.object.code_of(program).any(|(caller, code)| {
                    code.calls.iter().any(|&(call, target)| {
                        target == Some(function)
                            && caller != function
                            && code.code.get(call.0).is_some_and(crate::insn::Insn::is_call)
                            && self.unavoidable_within(program, caller, call, depth + 1)
                    })
                })
    }

    /// What a test of a kfunc's address for 0 comes to when the program runs, where the kernel has the kfunc: the verifier
    /// of some kernels does not know that such an address is never 0, but it never is.
    fn is_taken(&self, function: FuncIdx, slot: usize) -> Option<bool> {
        let code = self.object[function].code;
        let (at, branch) = (slot.checked_sub(2)?, code.get(slot)?);
        let resolved = |target| match target {
            crate::object::Target::Extern(index) => {
                matches!(self.load.external(index), ExternFate::Kfunc(_))
            }
            _ => false,
        };
        let loads = self.object[function].refs_at(InsnIdx(at)).iter().any(|r| resolved(r.target));
        code.get(at).filter(|load| loads && load.is_ld_imm64() && load.dst == branch.dst)?;
        match (branch.code, branch.imm) {
            // JEQ and JNE with an immediate.
            (0x15, 0) => Some(false),
            (0x55, 0) => Some(true),
            _ => None,
        }
    }

    /// Loads and stores of an entry program whose base is surely the context or an argument, in code order.
    fn accesses(&self, program: FuncIdx) -> &'a [context_use::Access] {
        self.shared.accesses[program.0].get_or_init(|| context_use::of(&self.object[program]))
    }

    /// The first thing that the verifier's look at the flow of a function refuses.
    fn fault(&self, function: FuncIdx) -> Option<Fault> {
        *self.shared.faults[function.0].get_or_init(|| Flow::new(self.object[function].code).fault())
    }

    /// Where the loops of a function start that nothing ends.
    fn endless_loops(&self, function: FuncIdx) -> &'a [usize] {
        self.shared.endless_loops[function.0].get_or_init(|| endless_loop::starts(self.object[function].code))
    }

    /// The functions below each function, as the verifier counts frames and stack.
    fn callees(&self) -> &'a callees::Callees {
        self.shared.callees.get_or_init(|| callees::Callees::new(self.object))
    }

    /// Where a program serves as a callback of a scheduler that is created: ops variable, its form, member.
    fn callbacks_of(&self, program: FuncIdx) -> Vec<(OpsIdx, &'a StructOps<'d>, &'d str)> {
        let mut places = Vec::new();
        for (index, ops) in self.schedulers() {
            let members = self.load.callbacks(index).filter(|(_, used)| *used == program);
            places.extend(members.map(|(member, _)| (index, ops, member)));
        }
        places
    }
}

/// A map of `.maps`, or the template of the maps in it.
struct Declared<'a, 'd> {
    /// The map, for the template as well.
    index: MapIdx,
    map: &'a Map<'d>,
    inner: bool,
}

impl Declared<'_, '_> {
    /// How it is spoken of.
    fn words(&self) -> String {
        let name = &self.map.name;
        if self.inner { format!("the inner map of '{name}'") } else { format!("map '{name}'") }
    }

    /// What libbpf says where the kernel does not create it.
    fn failure(&self, errno: Errno) -> String {
        let what = if self.inner { " inner map" } else { "" };
        format!("map '{}': failed to create{what}: -{errno}", self.map.name)
    }
}

type Check = fn(&Context<'_, '_>, &mut Outcome);

/// Declares one module per rule and lists the rules and their checks.
macro_rules! registry {
    ($($module:ident: $rule:ident,)+) => {
        $(mod $module;)+

        /// All rules, by family.
        pub static RULES: &[&Rule] = &[$(&$module::$rule),+];

        const CHECKS: &[Check] = &[$($module::check),+];

        #[cfg(test)]
        const MODULES: &[&str] = &[$(stringify!($module)),+];
    };
}

mod callees;
mod callers;
mod constants;
mod context_use;
mod core_uses;
mod kfunc_calls;
mod member_arenas;
mod ops_values;
mod pages;
mod refusal;
mod walk;

pub use pages::pages;

registry! {
    missing_btf: MISSING_BTF,
    malformed_btf: MALFORMED_BTF,
    missing_line_info: MISSING_LINE_INFO,
    no_struct_ops: NO_STRUCT_OPS,
    no_sched_ext: NO_SCHED_EXT,
    legacy_maps: LEGACY_MAPS,
    non_gpl_license: NON_GPL_LICENSE,
    refused_symbol: REFUSED_SYMBOL,
    invalid_relocation: INVALID_RELOCATION,
    unresolved_extern: UNRESOLVED_EXTERN,
    unfilled_scx_constants: UNFILLED_SCX_CONSTANTS,
    foreign_byte_order: FOREIGN_BYTE_ORDER,
    unnamed_parameter: UNNAMED_PARAMETER,
    several_arenas_in_object: SEVERAL_ARENAS_IN_OBJECT,
    multiple_arenas: MULTIPLE_ARENAS,
    missing_arena: MISSING_ARENA,
    arena_not_always_mapped: ARENA_NOT_ALWAYS_MAPPED,
    invalid_arena_definition: INVALID_ARENA_DEFINITION,
    arena_globals_without_arena: ARENA_GLOBALS_WITHOUT_ARENA,
    arena_globals_too_large: ARENA_GLOBALS_TOO_LARGE,
    several_arenas_in_program: SEVERAL_ARENAS_IN_PROGRAM,
    cast_without_arena: CAST_WITHOUT_ARENA,
    invalid_address_space_cast: INVALID_ADDRESS_SPACE_CAST,
    arena_argument_without_arena: ARENA_ARGUMENT_WITHOUT_ARENA,
    arena_argument_as_kernel_pointer: ARENA_ARGUMENT_AS_KERNEL_POINTER,
    unsupported_arena_access: UNSUPPORTED_ARENA_ACCESS,
    invalid_struct_ops_member: INVALID_STRUCT_OPS_MEMBER,
    unreferenced_struct_ops_program: UNREFERENCED_STRUCT_OPS_PROGRAM,
    unknown_struct_ops_type: UNKNOWN_STRUCT_OPS_TYPE,
    unknown_ops_member: UNKNOWN_OPS_MEMBER,
    mismatched_ops_member: MISMATCHED_OPS_MEMBER,
    changed_op_signature: CHANGED_OP_SIGNATURE,
    stubless_member: STUBLESS_MEMBER,
    program_in_several_members: PROGRAM_IN_SEVERAL_MEMBERS,
    optional_ops_quirk: OPTIONAL_OPS_QUIRK,
    invalid_ops_name: INVALID_OPS_NAME,
    unknown_ops_flag: UNKNOWN_OPS_FLAG,
    ops_value_out_of_range: OPS_VALUE_OUT_OF_RANGE,
    enq_last_without_enqueue: ENQ_LAST_WITHOUT_ENQUEUE,
    per_node_idle_without_builtin_idle: PER_NODE_IDLE_WITHOUT_BUILTIN_IDLE,
    sub_sched_in_cpu_form: SUB_SCHED_IN_CPU_FORM,
    sub_sched_without_parent: SUB_SCHED_WITHOUT_PARENT,
    hard_coded_hotplug_seq: HARD_CODED_HOTPLUG_SEQ,
    no_hotplug_callbacks: NO_HOTPLUG_CALLBACKS,
    deprecated_op: DEPRECATED_OP,
    deprecated_ops_flag: DEPRECATED_OPS_FLAG,
    sleepable_op: SLEEPABLE_OP,
    missing_attach_target: MISSING_ATTACH_TARGET,
    missing_program_type: MISSING_PROGRAM_TYPE,
    oversized_program: OVERSIZED_PROGRAM,
    too_many_subprograms: TOO_MANY_SUBPROGRAMS,
    deep_call_chain: DEEP_CALL_CHAIN,
    stack_overflow: STACK_OVERFLOW,
    unknown_helper: UNKNOWN_HELPER,
    disallowed_helper: DISALLOWED_HELPER,
    malformed_instruction: MALFORMED_INSTRUCTION,
    unreachable_instruction: UNREACHABLE_INSTRUCTION,
    invalid_context_access: INVALID_CONTEXT_ACCESS,
    nullable_argument_dereference: NULLABLE_ARGUMENT_DEREFERENCE,
    direct_task_write: DIRECT_TASK_WRITE,
    kernel_object_write: KERNEL_OBJECT_WRITE,
    too_many_maps: TOO_MANY_MAPS,
    too_many_kfuncs: TOO_MANY_KFUNCS,
    nullable_result_dereference: NULLABLE_RESULT_DEREFERENCE,
    failing_init: FAILING_INIT,
    call_under_spin_lock: CALL_UNDER_SPIN_LOCK,
    unreleased_reference: UNRELEASED_REFERENCE,
    sleep_under_lock: SLEEP_UNDER_LOCK,
    disallow_during_fork: DISALLOW_DURING_FORK,
    endless_loop: ENDLESS_LOOP,
    unusable_jump_table: UNUSABLE_JUMP_TABLE,
    missing_kfunc: MISSING_KFUNC,
    mismatched_kfunc: MISMATCHED_KFUNC,
    unguarded_weak_kfunc: UNGUARDED_WEAK_KFUNC,
    kfunc_outside_its_ops: KFUNC_OUTSIDE_ITS_OPS,
    cpu_form_kfunc: CPU_FORM_KFUNC,
    sleepable_kfunc: SLEEPABLE_KFUNC,
    idle_kfunc_without_builtin_idle: IDLE_KFUNC_WITHOUT_BUILTIN_IDLE,
    flavored_kfunc_never_resolves: FLAVORED_KFUNC_NEVER_RESOLVES,
    deprecated_kfunc: DEPRECATED_KFUNC,
    tid_lookup_without_its_flag: TID_LOOKUP_WITHOUT_ITS_FLAG,
    misused_enq_flags: MISUSED_ENQ_FLAGS,
    unprotected_rcu_kfunc: UNPROTECTED_RCU_KFUNC,
    missing_ksym: MISSING_KSYM,
    mismatched_ksym: MISMATCHED_KSYM,
    unknown_kconfig: UNKNOWN_KCONFIG,
    invalid_map_definition: INVALID_MAP_DEFINITION,
    unknown_map_type: UNKNOWN_MAP_TYPE,
    unknown_map_flag: UNKNOWN_MAP_FLAG,
    sleepable_map_use: SLEEPABLE_MAP_USE,
    special_field_in_mapped_data: SPECIAL_FIELD_IN_MAPPED_DATA,
    unresolved_core_relocation: UNRESOLVED_CORE_RELOCATION,
    ambiguous_core_relocation: AMBIGUOUS_CORE_RELOCATION,
    invalid_core_relocation: INVALID_CORE_RELOCATION,
    iterator_size_drift: ITERATOR_SIZE_DRIFT,
    truncated_enum64: TRUNCATED_ENUM64,
    implicit_kfunc_arguments: IMPLICIT_KFUNC_ARGUMENTS,
}

/// The rule of that name.
pub fn find(name: &str) -> Option<&'static Rule> {
    RULES.iter().copied().find(|rule| rule.name == name)
}

/// Runs every check over an object, with no kernel in view.
pub fn check(object: &Object<'_>, options: &Options) -> Outcome {
    check_on(object, None, options)
}

/// Runs every check over an object, for one kernel or none. For several kernels a [`Checker`] saves work.
pub fn check_on(object: &Object<'_>, kernel: Option<&Kernel<'_>>, options: &Options) -> Outcome {
    Checker::new(object).check(kernel, options)
}

/// An object, with what the checks find out about it once and for all kernels.
#[derive(Debug)]
pub struct Checker<'a, 'd> {
    object: &'a Object<'d>,
    memory: Memory,
    /// By function.
    accesses: Vec<OnceLock<Vec<context_use::Access>>>,
    faults: Vec<OnceLock<Option<Fault>>>,
    endless_loops: Vec<OnceLock<Vec<usize>>>,
    callees: OnceLock<callees::Callees>,
}

impl<'a, 'd> Checker<'a, 'd> {
    /// Nothing is found out yet.
    pub fn new(object: &'a Object<'d>) -> Self {
        let accesses = object.functions.iter().map(|_| OnceLock::new()).collect();
        let faults = object.functions.iter().map(|_| OnceLock::new()).collect();
        let endless_loops = object.functions.iter().map(|_| OnceLock::new()).collect();
        Self { object, memory: Memory::default(), accesses, faults, endless_loops, callees: OnceLock::new() }
    }

    /// Runs every check, for one kernel or none.
    pub fn check(&self, kernel: Option<&Kernel<'_>>, options: &Options) -> Outcome {
        let object = self.object;
        let edited = is_edited(object, options);
        let load = Load::new(object, kernel, edited);
        let knowledge = load.knowledge(kernel);
        let analysis = Analysis::new(object, &knowledge).remembering(&self.memory);
        #[cfg(feature = "cli")]
        analysis.walk_all(
            object.programs().map(|(program, ..)| program).filter(|&program| load.autoload(program)),
        );
        run(&Context { object, kernel, load: &load, options, edited, analysis: &analysis, shared: self })
    }
}

fn run(cx: &Context<'_, '_>) -> Outcome {
    let (object, options) = (cx.object, cx.options);
    let mut outcome = Outcome::default();
    // A kernel that lacks the type of every scheduler in the object is told so: which of its functions and fields the
    // programs would miss besides does not matter to anyone.
    let hopeless = object.schedulers().next().is_some() && cx.schedulers().next().is_none();
    for (rule, check) in RULES.iter().zip(CHECKS) {
        if !(hopeless && matches!(rule.family, Family::Kfunc | Family::Extern | Family::CoRe)) {
            check(cx, &mut outcome);
        }
    }
    let level = |rule: &Rule| {
        options.levels.iter().rev().find(|(name, _)| name == rule.name).map(|(_, level)| *level)
    };
    for finding in &mut outcome.findings {
        finding.refuses = finding.level == Level::Error;
        finding.level = level(finding.rule).unwrap_or(finding.level);
    }
    outcome.findings.retain(|finding| finding.level != Level::Allow);
    outcome.undecided.retain(|undecided| level(undecided.rule) != Some(Level::Allow));
    outcome.findings.sort_by_key(|finding| (std::cmp::Reverse(finding.level), finding.phase));
    outcome
}

/// Has the loader of scx a hand in the object: `__SCX_*` constants mark the objects that its headers made.
fn is_edited(object: &Object<'_>, options: &Options) -> bool {
    match options.loader {
        Loader::Plain => false,
        Loader::Scx => true,
        Loader::Auto => object.elf.symbols.iter().any(|symbol| {
            symbol.kind == crate::elf::SymbolKind::Object
                && symbol.name.as_deref().is_some_and(|name| name.starts_with("__SCX_"))
        }),
    }
}

/// `scx` or `plain`: the loader that an object is judged for.
pub fn loader_name(object: &Object<'_>, options: &Options) -> &'static str {
    if is_edited(object, options) { "scx" } else { "plain" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_and_its_file_have_one_name() {
        for (rule, module) in RULES.iter().zip(MODULES) {
            assert_eq!(rule.name.replace('-', "_"), *module);
            assert!(std::ptr::eq(find(rule.name).unwrap(), *rule), "{} is registered twice", rule.name);
        }
    }

    #[test]
    fn every_file_of_a_rule_is_registered() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/checks");
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let source = std::fs::read_to_string(&path).unwrap();
            let module = path.file_stem().unwrap().to_str().unwrap();
            let defines = source.lines().any(|line| line == "rule! {");
            assert_eq!(defines, MODULES.contains(&module), "{}", path.display());
        }
    }

    #[test]
    fn pages_have_the_sections_that_explain_promises() {
        for rule in RULES {
            let page = rule.page();
            for heading in ["## Why it matters", "## Fix", "## Sources"] {
                assert!(page.contains(heading), "{}: {heading}", rule.name);
            }
            assert!(page.lines().next().unwrap().ends_with('.'), "{}: first line is no sentence", rule.name);
        }
    }
}
