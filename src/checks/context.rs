//! What a check looks at, and the questions that many rules ask of it.

use std::sync::OnceLock;

use super::endless_loop;
use super::options::{ArenaRule, Options};
use super::shared::{callees, context_use};
use crate::errno::Errno;
use crate::insn::flow::{Fault, Flow};
use crate::kernel::{Kernel, KernelArenaRule};
use crate::load::{ExternFate, Load};
use crate::object::{
    ExternIdx, F_ARENA_MAP_ALWAYS, FuncIdx, InsnIdx, Map, MapIdx, MapOrigin, MapType, Object, OpsIdx,
    StructOps,
};
use crate::reach::{Analysis, Reached};

/// What the checks find out about an object once and for all kernels; each list is by function.
#[derive(Debug)]
pub(super) struct Shared {
    accesses: Vec<OnceLock<Vec<context_use::Access>>>,
    faults: Vec<OnceLock<Option<Fault>>>,
    endless_loops: Vec<OnceLock<Vec<usize>>>,
    callees: OnceLock<callees::Callees>,
}

impl Shared {
    /// Nothing is found out yet.
    pub(super) fn new(object: &Object<'_>) -> Self {
        let accesses = object.functions.iter().map(|_| OnceLock::new()).collect();
        let faults = object.functions.iter().map(|_| OnceLock::new()).collect();
        let endless_loops = object.functions.iter().map(|_| OnceLock::new()).collect();
        Self { accesses, faults, endless_loops, callees: OnceLock::new() }
    }
}

/// What a check looks at.
#[derive(Debug)]
pub(super) struct Context<'a, 'd> {
    /// The object.
    pub object: &'a Object<'d>,
    /// The target, if one is named.
    pub kernel: Option<&'a Kernel<'a>>,
    /// What loading makes of the object there.
    pub load: &'a Load<'a, 'd>,
    /// What the user chose.
    pub options: &'a Options,
    /// What the verifier walks of each program.
    pub analysis: &'a Analysis<'a, 'd>,
    /// What holds on every kernel.
    pub(super) shared: &'a Shared,
}

impl<'a, 'd> Context<'a, 'd> {
    /// The arena rule that applies: the user's choice, else the kernel's, else the strict form.
    pub(super) fn arena_rule(&self) -> KernelArenaRule {
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
    pub(super) fn arena_flag(&self) -> u32 {
        match self.kernel.map(Kernel::arena_rule) {
            Some(KernelArenaRule::Always(bit)) => bit,
            _ => self.options.arena_flag.unwrap_or(F_ARENA_MAP_ALWAYS),
        }
    }

    /// Ops variables of sched_ext that libbpf creates, on a kernel that has their type.
    pub(super) fn schedulers(&self) -> impl Iterator<Item = (OpsIdx, &'a StructOps<'d>)> {
        let load = self.load;
        self.object.schedulers().filter(move |(index, _)| !load.lacks_type(*index))
    }

    /// What libbpf creates for the definitions in `.maps`, in its order; not what it could not make sense of.
    pub(super) fn declared_maps(&self) -> impl Iterator<Item = Declared<'a, 'd>> {
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
    pub(super) fn loaded(
        &self,
    ) -> impl Iterator<Item = (FuncIdx, &'a crate::object::Function<'d>, &'a crate::object::Entry)> {
        let load = self.load;
        self.object.programs().filter(move |(program, ..)| load.autoload(*program))
    }

    /// Does a kfunc that is called lead somewhere: libbpf finds it, or, without a kernel in view, nothing loads without it.
    pub(super) fn has_kfunc(&self, index: ExternIdx) -> bool {
        match self.kernel {
            Some(_) => matches!(self.load.external(index), ExternFate::Kfunc(_)),
            None => !self.object[index].weak,
        }
    }

    /// Will the verifier walk an instruction of a program, its own or one of a function appended to it.
    pub(super) fn reached(&self, program: FuncIdx, function: FuncIdx, insn: InsnIdx) -> Reached {
        self.analysis.program(program).at(function, insn)
    }

    /// Does a program execute an instruction whenever it runs: no branch but those that the verifier decides leads past it.
    pub(super) fn is_unavoidable(&self, program: FuncIdx, function: FuncIdx, insn: InsnIdx) -> bool {
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
        branch.op().null_test().map(|(_, jumps_if_null)| !jumps_if_null)
    }

    /// Loads and stores of an entry program whose base is surely the context or an argument, in code order.
    pub(super) fn accesses(&self, program: FuncIdx) -> &'a [context_use::Access] {
        self.shared.accesses[program.0].get_or_init(|| context_use::of(&self.object[program]))
    }

    /// The first thing that the verifier's look at the flow of a function refuses.
    pub(super) fn fault(&self, function: FuncIdx) -> Option<Fault> {
        *self.shared.faults[function.0].get_or_init(|| Flow::new(self.object[function].code).fault())
    }

    /// Where the loops of a function start that nothing ends.
    pub(super) fn endless_loops(&self, function: FuncIdx) -> &'a [usize] {
        self.shared.endless_loops[function.0].get_or_init(|| endless_loop::starts(self.object[function].code))
    }

    /// The functions below each function, as the verifier counts frames and stack.
    pub(super) fn callees(&self) -> &'a callees::Callees {
        self.shared.callees.get_or_init(|| callees::Callees::new(self.object))
    }

    /// Where a program serves as a callback of a scheduler that is created: ops variable, its form, member.
    pub(super) fn callbacks_of(&self, program: FuncIdx) -> Vec<(OpsIdx, &'a StructOps<'d>, &'d str)> {
        let mut places = Vec::new();
        for (index, ops) in self.schedulers() {
            let members = self.load.callbacks(index).filter(|(_, used)| *used == program);
            places.extend(members.map(|(member, _)| (index, ops, member)));
        }
        places
    }
}

/// A map of `.maps`, or the template of the maps in it.
pub(super) struct Declared<'a, 'd> {
    /// The map, for the template as well.
    pub(super) index: MapIdx,
    pub(super) map: &'a Map<'d>,
    pub(super) inner: bool,
}

impl Declared<'_, '_> {
    /// How it is spoken of.
    pub(super) fn words(&self) -> String {
        let name = &self.map.name;
        if self.inner { format!("the inner map of '{name}'") } else { format!("map '{name}'") }
    }

    /// What libbpf says where the kernel does not create it.
    pub(super) fn failure(&self, errno: Errno) -> String {
        let what = if self.inner { " inner map" } else { "" };
        format!("map '{}': failed to create{what}: -{errno}", self.map.name)
    }
}
