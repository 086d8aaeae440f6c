//! What a check looks at, and the questions that many rules ask of it.

use super::options::{ArenaRule, Options};
use crate::errno::Errno;
use crate::kernel::{Kernel, KernelArenaRule};
use crate::load::{ExternFate, Load};
use crate::object::{
    ExternIdx, F_ARENA_MAP_ALWAYS, FuncIdx, Map, MapIdx, MapOrigin, MapType, Object, OpsIdx, StructOps,
};
use crate::verifier::{Verifier, Walk};

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
    /// What the verifier makes of the programs.
    pub verifier: &'a Verifier<'a, 'd>,
}

impl<'a, 'd> Context<'a, 'd> {
    /// Looks at an object on its way into one kernel.
    pub(super) fn new(load: &'a Load<'a, 'd>, options: &'a Options, verifier: &'a Verifier<'a, 'd>) -> Self {
        Self { object: load.object, kernel: load.kernel, load, options, verifier }
    }

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

    /// What the verifier makes of a program.
    pub(super) fn walk(&self, program: FuncIdx) -> Walk<'a, 'd> {
        self.verifier.walk(program)
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
