//! Lists and trees of the program's own objects (`__process_kf_arg_ptr_to_graph_root`, `__process_kf_arg_ptr_to_graph_node`).

use std::rc::Rc;

use super::checker::Checker;
use super::func::CallbackTime;
use super::kfunc::{Call, Meta, Special};
use super::names::register_name;
use super::prog::Link;
use super::record::{Field, FieldKind, Record};
use super::refusal::{Step, Stop, Why};
use super::reg::{Flags, Kind, Reg, TypeRef};
use super::rules::Era;
use super::scalar::Scalar;
use super::state::{LockPlace, RetvalRange};

/// A list or a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Graph {
    /// A list.
    List,
    /// A tree.
    Rbtree,
}

impl Graph {
    fn root(self) -> (FieldKind, &'static str) {
        match self {
            Self::List => (FieldKind::ListHead, "bpf_list_head"),
            Self::Rbtree => (FieldKind::RbRoot, "bpf_rb_root"),
        }
    }

    fn node(self) -> (FieldKind, &'static str) {
        match self {
            Self::List => (FieldKind::ListNode, "bpf_list_node"),
            Self::Rbtree => (FieldKind::RbNode, "bpf_rb_node"),
        }
    }
}

/// An object of the program's that is not owned (`type_is_non_owning_ref`).
pub fn is_non_owning(reg: &Reg) -> bool {
    matches!(reg.kind, Kind::BtfId(_)) && reg.flags.has(Flags::ALLOC.with(Flags::NON_OWN_REF))
}

fn refused<T>(message: impl Into<String>) -> Step<T> {
    Err(Stop::einval(Why::Graph, message))
}

impl Checker<'_, '_> {
    /// An object of the program's (`type_is_ptr_alloc_obj`); from 7.2 on not one whose protection has ended.
    pub fn is_object(&self, reg: &Reg) -> bool {
        let is_live = !reg.flags.has(Flags::UNTRUSTED) || !self.rules.since(Era::V7_2);
        matches!(reg.kind, Kind::BtfId(_)) && reg.flags.has(Flags::ALLOC) && is_live
    }

    /// The special fields of what a register points to (`reg_btf_record`).
    ///
    /// # Errors
    /// They are not known.
    pub fn reg_record(&mut self, reg: &Reg) -> Step<Rc<Record>> {
        match reg.kind {
            Kind::MapValue(map) if reg.flags == Flags::NONE => self.map_record(map),
            Kind::BtfId(ty) if self.is_object(reg) => self.type_record(ty),
            _ => Ok(Rc::new(Record::default())),
        }
    }

    /// The code runs in a callback of a tree, which holds its lock (`in_rbtree_lock_required_cb`).
    pub fn in_rbtree_callback(&self) -> bool {
        let frames = self.state.frames.iter().skip(1).filter(|frame| frame.in_callback);
        frames.into_iter().any(|frame| {
            let Some(slot) = self.prog.slots.get(frame.callsite) else { return false };
            let Link::Kfunc(_, kfunc) = slot.link else { return false };
            let btf = self.kernel.btf_of(kfunc.home);
            let name = btf.get(kfunc.func).map_or("", |func| btf.name(&func));
            Special::of(name).is_some_and(Special::is_rbtree)
        })
    }

    /// What must be locked is (`check_reg_allocation_locked`).
    fn is_locked(&self, reg: &Reg) -> Result<(), Option<String>> {
        let place = match reg.kind {
            Kind::MapValue(map) => LockPlace::Map(map),
            Kind::BtfId(ty) => LockPlace::Object(ty.btf),
            _ => return Err(None),
        };
        if self.state.active_locks == 0 {
            return Err(None);
        }
        let is_held =
            |held: &super::state::Held| held.kind.is_lock() && held.id == reg.id && held.place == Some(place);
        if self.state.held.iter().any(is_held) {
            return Ok(());
        }
        Err(Some("held lock and object are not in the same allocation".to_owned()))
    }

    /// The root of a list or tree as an argument.
    ///
    /// # Errors
    /// It is none, or its lock is not held.
    pub(super) fn process_graph_root(&mut self, graph: Graph, call: &mut Call, register: u8) -> Step {
        let reg = *self.reg(register);
        let is_owned_kind = reg.flags == Flags::ALLOC && matches!(reg.kind, Kind::BtfId(_));
        let in_map = matches!(reg.kind, Kind::MapValue(_)) && reg.flags == Flags::NONE;
        if !(in_map || is_owned_kind) {
            let name = self.argument_name(register);
            return refused(format!("{name} expected pointer to map value or allocated object"));
        }
        if is_owned_kind && !self.is_referenced(&reg) {
            return refused("allocated object must be referenced");
        }
        let (kind, name) = graph.root();
        let Some(off) = reg.offset() else {
            let register = register_name(register);
            return refused(format!(
                "{register} doesn't have constant offset. {name} has to be at the constant offset"
            ));
        };
        let record = self.reg_record(&reg)?;
        let off = off as u32;
        let Some(field) = record.find(off, |found| found == kind) else {
            return refused(format!("{name} not found at offset={off}"));
        };
        if let Err(message) = self.is_locked(&reg) {
            let lock = record.fields.iter().find(|field| field.kind == FieldKind::SpinLock);
            let lock_off = lock.map_or(-22, |lock| i64::from(lock.offset));
            let message =
                message.unwrap_or_else(|| format!("bpf_spin_lock at off={lock_off} must be held for {name}"));
            return refused(message);
        }
        if call.root.is_some() {
            return Err(Stop::unmodelled("two roots of lists or trees in a call"));
        }
        call.root = Some(field);
        Ok(())
    }

    /// A node of a list or tree as an argument.
    ///
    /// # Errors
    /// It is none, or not one that the list or tree holds.
    pub(super) fn process_graph_node(
        &mut self,
        graph: Graph,
        meta: &Meta,
        nonown_allowed: bool,
        call: &mut Call,
        register: u8,
    ) -> Step {
        let reg = *self.reg(register);
        let is_owned_kind = reg.flags == Flags::ALLOC && matches!(reg.kind, Kind::BtfId(_));
        match graph {
            Graph::List if nonown_allowed && is_non_owning(&reg) && !self.is_referenced(&reg) => {}
            Graph::Rbtree if !meta.is(Special::RbtreeAdd) => self.check_removed_node(meta, &reg)?,
            _ if !is_owned_kind => {
                let name = self.argument_name(register);
                return refused(format!("{name} expected pointer to allocated object"));
            }
            _ if !self.is_referenced(&reg) => return refused("allocated object must be referenced"),
            _ => {}
        }
        let (kind, name) = graph.node();
        let Some(off) = reg.offset() else {
            let register = register_name(register);
            return refused(format!(
                "{register} doesn't have constant offset. {name} has to be at the constant offset"
            ));
        };
        let off = off as u32;
        if self.reg_record(&reg)?.find(off, |found| found == kind).is_none() {
            return refused(format!("{name} not found at offset={off}"));
        }
        let (Some(root), Kind::BtfId(ty)) = (call.root, reg.kind) else {
            return Err(Stop::unmodelled("a node without a root"));
        };
        let Some(target) = root.target else { return Err(Stop::unmodelled("a root of nothing")) };
        if !self.match_struct(ty, 0, target, true, false)?.is_yes() {
            let (root_name, wanted, found) =
                (graph.root().1, self.name_of_type(target), self.name_of_type(ty));
            return refused(format!(
                "operation on {root_name} expects arg#1 {name} at offset={} in struct {wanted}, but arg is at offset={off} in struct {found}",
                root.node_offset
            ));
        }
        call.object = Some(ty);
        if off != root.node_offset {
            let wanted = self.name_of_type(target);
            return refused(format!(
                "arg#1 offset={off}, but expected {name} at offset={} in struct {wanted}",
                root.node_offset
            ));
        }
        Ok(())
    }

    fn check_removed_node(&self, meta: &Meta, reg: &Reg) -> Step {
        if self.rules.since(Era::V6_16) {
            if !is_non_owning(reg) && !self.is_referenced(reg) {
                let name = &meta.name;
                return refused(format!("{name} can only take non-owning or refcounted bpf_rb_node pointer"));
            }
            if self.in_rbtree_callback() {
                return refused(format!("{} not allowed in rbtree cb", meta.name));
            }
            return Ok(());
        }
        if !is_non_owning(reg) || self.is_referenced(reg) {
            return refused("rbtree_remove node input must be non-owning ref");
        }
        if self.in_rbtree_callback() {
            return refused("rbtree_remove not allowed in rbtree cb");
        }
        Ok(())
    }

    /// A pointer to a node of what a root holds (`mark_reg_graph_node`).
    pub(super) fn graph_node(&self, root: Field) -> Step<Reg> {
        let Some(target) = root.target else { return Err(Stop::unmodelled("a root of nothing")) };
        let mut node = Reg::new(Kind::BtfId(target), Flags::ALLOC);
        node.value = Scalar::known(root.node_offset.into());
        Ok(node)
    }

    /// The flags of a pointer that is not owned (`ref_set_non_owning`).
    pub(super) fn non_owning_flags(&mut self, ty: TypeRef) -> Step<Flags> {
        let counts = self.type_record(ty)?.has(|kind| kind == FieldKind::Refcount);
        Ok(if counts { Flags::NON_OWN_REF.with(Flags::RCU) } else { Flags::NON_OWN_REF })
    }

    /// What a reference was of is in a list or tree now: nobody owns it (`ref_convert_owning_non_owning`).
    ///
    /// # Errors
    /// Its special fields are not known.
    pub(super) fn convert_to_non_owning(&mut self, id: u32) -> Step {
        if id == 0 || self.state.active_locks == 0 {
            return Err(Stop::unmodelled("a node that nobody owns"));
        }
        self.forget_reference(id);
        let mut types = Vec::new();
        for reg in self.state.all_regs() {
            if let Kind::BtfId(ty) = reg.kind
                && reg.ref_obj_id == id
                && !types.contains(&ty)
            {
                types.push(ty);
            }
        }
        let later = self.rules.since(Era::V7_2);
        for ty in types {
            let flags = self.non_owning_flags(ty)?;
            let is_meant = |reg: &Reg| reg.ref_obj_id == id && reg.kind == Kind::BtfId(ty);
            self.state.change_regs(is_meant, |reg| {
                reg.ref_obj_id = 0;
                if later {
                    reg.id = 0;
                }
                reg.flags = reg.flags.with(flags);
            });
        }
        Ok(())
    }

    /// The comparison that `bpf_rbtree_add` calls (`set_rbtree_add_callback_state`).
    ///
    /// # Errors
    /// It is refused, or not modelled.
    pub(super) fn push_rbtree_callback(&mut self, call: &Call) -> Step {
        let (Some(subprog), Some(root)) = (call.callback, call.root) else {
            return Err(Stop::unmodelled("a tree without a comparison"));
        };
        let mut node = self.graph_node(root)?;
        if let Kind::BtfId(ty) = node.kind {
            node.flags = node.flags.with(self.non_owning_flags(ty)?);
        }
        self.push_callback(subprog as usize, CallbackTime::Now, |_, _, callee| {
            callee.regs[1] = node;
            callee.regs[2] = node;
            Ok(RetvalRange { min: 0, max: 1, wide: true })
        })
    }
}
