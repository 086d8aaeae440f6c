//! What is refused by the look of the code, before and after it is walked.

mod fastcall;
mod fields;
mod stack_depth;

use super::checker::Checker;
use super::liveness::{Liveness, Points};
use super::prog::{Link, Slot, Subprog};
use super::refusal::{Step, Stop, Why};
use super::rules::Era;
use crate::insn::{Callee, Op};
use crate::kernel::helpers;

/// What is kept of a function over all paths (`struct bpf_subprog_info`).
#[derive(Debug, Clone, Copy, Default)]
pub struct SubprogInfo {
    /// The most stack that a path used in it, bytes (`stack_depth`).
    pub stack_depth: i64,
    /// It was given to be called back (`is_cb`).
    pub is_cb: bool,
    /// It was given to be called back later, or is the exception callback (`is_async_cb`).
    pub is_async_cb: bool,
    /// It is the exception callback.
    pub is_exception_cb: bool,
    /// It makes tail calls, by its code.
    pub has_tail_call: bool,
    /// It loads from packets, by its code.
    pub has_ld_abs: bool,
    /// The offset that spills around inlined calls stay below (`fastcall_stack_off`).
    pub fastcall_off: i32,
    /// Something else needs those slots (`keep_fastcall_stack`).
    pub keeps_fastcall: bool,
}

impl Checker<'_, '_> {
    /// Subprograms, fields of instructions, the flow of control (`check_subprogs`, `resolve_pseudo_ldimm64`, `check_cfg`).
    ///
    /// # Errors
    /// It is refused.
    pub fn check_code(&mut self) -> Step {
        if self.prog.is_empty() {
            return Err(Stop::unmodelled("a program without instructions"));
        }
        self.check_subprogs()?;
        self.check_insns()?;
        self.liveness = Liveness::of_points(Points::visit(self)?);
        if let Some(callback) = self.exception_callback() {
            let info = &mut self.subprogs[callback];
            (info.is_cb, info.is_async_cb, info.is_exception_cb) = (true, true, true);
        }
        self.mark_fastcall_patterns();
        Ok(())
    }

    /// The function that exceptions end in, if the program names one.
    pub fn exception_callback(&self) -> Option<usize> {
        let btf = self.object.btf.as_ref()?;
        let program = &self.object[self.prog.subprogs.first()?.function].name;
        let mut tags = btf.decl_tags().filter_map(|(target, _, text)| {
            let callback = text.strip_prefix("exception_callback:")?;
            let is_own = btf.get(target).is_some_and(|ty| btf.name(&ty) == *program);
            is_own.then_some(callback)
        });
        let callback = tags.next()?;
        self.prog.subprogs.iter().position(|subprog| self.object[subprog.function].name == callback)
    }

    /// Jumps stay in their function, and each function ends (`check_subprogs`).
    fn check_subprogs(&mut self) -> Step {
        let tables = self.rules.since(Era::V6_19);
        for (number, subprog) in self.prog.subprogs.iter().enumerate() {
            for at in subprog.start..subprog.end {
                let slot = &self.prog.slots[at];
                match slot.op {
                    Op::Call(Callee::Helper(helpers::TAIL_CALL)) if !matches!(slot.link, Link::Poison(_)) => {
                        self.subprogs[number].has_tail_call = true;
                    }
                    Op::LoadPacket { .. } => self.subprogs[number].has_ld_abs = true,
                    _ => {}
                }
                if let Some(distance) = slot.op.distance() {
                    let to = at as i64 + 1 + i64::from(distance);
                    if to < subprog.start as i64 || to >= subprog.end as i64 {
                        let message = format!("jump out of range from insn {at} to {to}");
                        return Err(Stop::einval(Why::Flow, message));
                    }
                }
                let ends = match slot.op {
                    Op::Exit | Op::Jump(_) => true,
                    Op::JumpTable { .. } => tables,
                    _ => false,
                };
                if at + 1 == subprog.end && !ends {
                    return Err(Stop::einval(Why::Flow, "last insn is not an exit or jmp"));
                }
            }
        }
        Ok(())
    }

    /// What is looked at once all paths were walked (`check_max_stack_depth`, fixups).
    ///
    /// # Errors
    /// It is refused.
    pub fn check_afterwards(&mut self) -> Step {
        self.remove_fastcall_spills();
        self.check_max_stack_depth()?;
        self.check_addresses()
    }

    /// Functions that are never walked are removed. The address of one, where another takes its place, is that one's; behind the last
    /// there is none, and the kernel finds no function to compile (`jit_subprogs`), unless the program is left with one function.
    fn check_addresses(&self) -> Step {
        let walked = |subprog: &Subprog| self.aux[subprog.start..subprog.end].iter().any(|aux| aux.seen);
        let left = self.prog.subprogs.iter().filter(|subprog| walked(subprog)).count();
        let last = self.prog.subprogs.iter().rposition(walked).unwrap_or(0);
        let taken = self.prog.slots.iter().zip(&self.aux).filter(|(_, aux)| aux.seen);
        let lost = |slot: &Slot| {
            slot.insn.is_ld_imm64() && matches!(slot.link, Link::Subprog(subprog) if subprog > last)
        };
        if left > 1 && taken.into_iter().any(|(slot, _)| lost(slot)) {
            return Err(Stop::unmodelled("the address of a function that is removed"));
        }
        Ok(())
    }
}
