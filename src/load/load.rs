//! An object and a kernel, and what becomes of the one on the other.

use std::collections::HashMap;

use super::core::{self, CoreUse};
use super::externs::{self, ExternFate};
use super::loader::Loader;
use super::ops::{self, MemberFate, OpsFate};
use super::values::Values;
use crate::kernel::exceptions::Fact;
use crate::kernel::{Kernel, Lookup};
use crate::object::{ExternIdx, FuncIdx, MemberInit, Object, OpsIdx, ProgramKind, StructOps};

/// An object on its way into one kernel.
#[derive(Debug)]
pub struct Load<'a, 'd> {
    /// What became of every extern, in the object's order.
    pub externs: Vec<ExternFate>,
    /// What became of every ops variable, in the object's order.
    pub ops: Vec<OpsFate<'a>>,
    /// What became of every CO-RE record that libbpf processes.
    pub core: Vec<CoreUse>,
    /// The object.
    pub object: &'a Object<'d>,
    /// The target, if one is named.
    pub kernel: Option<&'a Kernel<'a>>,
    /// What user space does between open and load.
    pub loader: Loader,
    /// Which values it is said to set.
    pub values: Values,
    autoload: Vec<bool>,
}

impl<'a, 'd> Load<'a, 'd> {
    /// Follows the load, where nothing is told of the values that user space sets.
    pub fn new(object: &'a Object<'d>, kernel: Option<&'a Kernel<'a>>, loader: Loader) -> Self {
        Self::with_values(object, kernel, loader, Values::default())
    }

    /// Follows the load.
    pub fn with_values(
        object: &'a Object<'d>,
        kernel: Option<&'a Kernel<'a>>,
        loader: Loader,
        values: Values,
    ) -> Self {
        let externs = externs::resolve(object, kernel);
        let ops = ops::resolve(object, kernel, loader, &values);
        let autoload = autoload(object, &ops);
        let core = core::resolve(object, kernel, |program| autoload[program.0]);
        Self { externs, ops, core, object, kernel, loader, values, autoload }
    }

    /// The same with every program: each is looked at as if it were loaded.
    pub fn with_all_programs(self) -> Self {
        let Self { object, kernel, .. } = self;
        let autoload = object.functions.iter().map(|function| function.entry.is_some()).collect();
        if autoload == self.autoload {
            return self;
        }
        Self { autoload, core: core::resolve(object, kernel, |_| true), ..self }
    }

    /// User space may change values, sizes and what is loaded: the loader is scx's.
    pub fn is_edited(&self) -> bool {
        self.loader == Loader::Scx
    }

    /// The kernel is known to lack the type of an ops variable.
    pub fn lacks_type(&self, ops: OpsIdx) -> bool {
        self.ops[ops.0].ops_type == Lookup::Absent
    }

    /// Would libbpf load the program, after ops maps have had their say.
    pub fn autoload(&self, program: FuncIdx) -> bool {
        self.autoload.get(program.0).copied().unwrap_or(false)
    }

    /// Is the program to be loaded with the object: libbpf loads it, or would if a member that the kernel lacks did not end the
    /// load before.
    pub fn is_wanted(&self, program: FuncIdx) -> bool {
        let ends = |((_, ops), fate): ((OpsIdx, &StructOps<'_>), &OpsFate<'_>)| {
            let mut members = ops.members.iter().zip(&fate.members);
            self.object[ops.map].autocreate
                && members.any(|(member, fate)| {
                    *fate == MemberFate::Missing && member.value == MemberInit::Program(program)
                })
        };
        self.autoload(program) || self.object.ops().zip(&self.ops).any(ends)
    }

    /// What became of an extern.
    pub fn external(&self, index: ExternIdx) -> &ExternFate {
        &self.externs[index.0]
    }

    /// Callbacks of an ops variable that reach the kernel: member name and program.
    pub fn callbacks(&self, ops: OpsIdx) -> impl Iterator<Item = (&'d str, FuncIdx)> + '_ {
        let fates = &self.ops[ops.0].members;
        let members = self.object[ops].members.iter().zip(fates);
        members.filter(|(_, fate)| fate.reaches_kernel()).filter_map(|(member, _)| match member.value {
            MemberInit::Program(program) => Some((member.name, program)),
            _ => None,
        })
    }

    /// What decides whether a program has a stack of its own, so that its frames count one by one where no function of it makes a tail call
    /// (`bpf_enable_priv_stack`); `None` of programs that never have one.
    pub fn own_stack(&self, program: FuncIdx) -> Option<Fact> {
        let function = &self.object[program];
        if function.traces() {
            return Some(Fact::TracingHasOwnStack);
        }
        let mut callbacks = self.object.schedulers().flat_map(|(index, _)| self.callbacks(index));
        let asks = callbacks.any(|(member, callback)| {
            callback == program && matches!(member, "dispatch" | "sub_caps_updated")
        });
        asks.then_some(Fact::DispatchHasOwnStack)
    }
}

/// Which programs libbpf loads (`bpf_object_adjust_struct_ops_autoload`): a struct_ops program that an ops map names loads
/// if such a map is created and the member is still set; any other as its section says.
fn autoload(object: &Object<'_>, ops: &[OpsFate<'_>]) -> Vec<bool> {
    let mut autoload: Vec<bool> =
        object.functions.iter().map(|f| f.entry.as_ref().is_some_and(|entry| entry.autoload)).collect();
    // Who is named, and wanted by one who names it.
    let mut named: HashMap<FuncIdx, bool> = HashMap::new();
    for ((_, value), fate) in object.ops().zip(ops) {
        for (member, fate) in value.members.iter().zip(&fate.members) {
            if let MemberInit::Program(program) = member.value {
                *named.entry(program).or_default() |= object[value.map].autocreate && fate.reaches_kernel();
            }
        }
    }
    for (program, _, entry) in object.programs() {
        if entry.kind == ProgramKind::STRUCT_OPS
            && let Some(&wanted) = named.get(&program)
        {
            autoload[program.0] = wanted;
        }
    }
    autoload
}
