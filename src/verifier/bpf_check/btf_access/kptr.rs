//! Kptrs in values of maps (`check_map_kptr_access`).

use crate::btf::Kind as BtfKind;
use crate::insn::{LoadMode, Op, Operand};
use crate::verifier::bpf_check::args::Argument;
use crate::verifier::bpf_check::checker::Checker;
use crate::verifier::bpf_check::mem::Access;
use crate::verifier::bpf_check::record::{Field, FieldKind};
use crate::verifier::bpf_check::refusal::{Step, Stop, Why};
use crate::verifier::bpf_check::reg::{BtfOf, Flags, Kind, Reg, TypeRef};

/// Kernel objects that RCU protects for as long as they are in a map (`rcu_protected_types`).
const RCU_PROTECTED: [&str; 6] =
    ["prog_test_ref_kfunc", "cgroup", "bpf_cpumask", "task_struct", "bpf_crypto_ctx", "bpf_ksock"];

impl Checker<'_, '_> {
    /// A load or store at a kptr in a map's value (`check_map_kptr_access`).
    ///
    /// # Errors
    /// It is refused, or not modelled.
    pub fn check_kptr_access(&mut self, field: Field, access: Access) -> Step {
        let refused = |message: &str| Err(Stop::eacces(Why::Kptr, message));
        let value = match self.slot().op {
            Op::Load { mode: LoadMode::Plain, .. } => None,
            Op::Store { value, release: false, .. } => Some(value),
            Op::Load { .. } | Op::Store { .. } | Op::Atomic { .. } => {
                return refused("kptr in map can only be accessed using BPF_MEM instruction mode");
            }
            _ => return Err(Stop::unmodelled("a kptr that is accessed by a call")),
        };
        let Some(target) = field.target else { return Err(Stop::unmodelled("a kptr to what is not known")) };
        let Some(value) = value else {
            if let Some(register) = access.value {
                *self.reg_mut(register) = self.loaded_kptr(field.kind, target)?;
            }
            return Ok(());
        };
        match field.kind {
            FieldKind::KptrRef | FieldKind::KptrPercpu => {
                return refused("store to referenced kptr disallowed");
            }
            FieldKind::Uptr => return refused("store to uptr disallowed"),
            _ => {}
        }
        match value {
            Operand::Imm(0) => Ok(()),
            Operand::Imm(_) => {
                let off = field.offset;
                refused(&format!("BPF_ST imm must be 0 when storing to kptr at off={off}"))
            }
            Operand::Reg(register) if self.reg(register).is_null() => self.mark_precise(register),
            Operand::Reg(register) => {
                let reg = *self.reg(register);
                // The caller of the comparison answers for it with an error of its own.
                self.match_kptr(field, Argument::in_register(register, &reg)).map_err(|stop| match stop {
                    Stop::Refused { why, message, .. } => Stop::eacces(why, message),
                    other => other,
                })
            }
        }
    }

    /// What a kptr that is loaded is (`btf_ld_kptr_type`).
    fn loaded_kptr(&mut self, kind: FieldKind, target: TypeRef) -> Step<Reg> {
        let id = self.new_id();
        if kind == FieldKind::Uptr {
            let size = self.in_btf(target.btf, |btf| btf.get(target.id).map_or(0, |ty| ty.size()))?;
            return Ok(Reg { id, ..Reg::new(Kind::Mem(size), Flags::MAYBE_NULL) });
        }
        let local = target.btf == BtfOf::Object;
        let protected = local || self.is_rcu_protected(target)?;
        let safe = kind == FieldKind::KptrPercpu || kind == FieldKind::KptrRef && protected;
        let mut flags = Flags::MAYBE_NULL;
        if safe && self.in_rcu() {
            flags = flags.with(Flags::RCU);
            if kind == FieldKind::KptrPercpu {
                flags = flags.with(Flags::PERCPU);
            } else if local {
                flags = flags.with(Flags::ALLOC);
            }
            let record = self.type_record(target)?;
            if record.has(|kind| matches!(kind, FieldKind::ListNode | FieldKind::RbNode)) {
                flags = flags.with(Flags::NON_OWN_REF);
            }
        } else {
            flags = flags.with(Flags::UNTRUSTED);
        }
        Ok(Reg { id, ..Reg::new(Kind::BtfId(target), flags) })
    }

    fn is_rcu_protected(&self, target: TypeRef) -> Step<bool> {
        self.in_btf(target.btf, |btf| {
            btf.get(target.id)
                .is_some_and(|ty| ty.kind() == BtfKind::Struct && RCU_PROTECTED.contains(&btf.name(&ty)))
        })
    }
}
