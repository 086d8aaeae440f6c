//! Where a value came from: back along the path that was walked, for people.

use super::checker::Checker;
use super::names::register_named;
use super::prog::Link;
use super::refusal::{Came, Origin};
use crate::insn::{Callee, Op, Operand};
use crate::kernel::helpers;

/// Instructions that are looked at on the way back at most.
const MOST_STEPS: u32 = 100_000;

/// What is followed back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Followed {
    /// A register of a frame.
    Reg { frame: usize, reg: u8 },
    /// A slot of a frame's stack.
    Slot { frame: u8, slot: u8 },
}

/// One instruction back.
enum Back {
    /// The value was there before.
    On,
    /// It was made by the instruction.
    Made(Came),
}

impl Checker<'_, '_> {
    /// Where the value came from that a refusal at the current instruction is about; `None` where it is about no register, or its
    /// way is not known.
    pub fn origin(&self, message: &str) -> Option<Origin> {
        let reg = self.register_in_question(message)?;
        let mut depth = self.state.current();
        let mut followed = Followed::Reg { frame: depth, reg };
        let (mut trace, mut insn, mut next) = (&self.trace, self.insn, usize::MAX);
        let mut left = trace.jumps.len();
        for step in 0..MOST_STEPS {
            if step > 0 {
                match self.step_back(
                    trace.noted_at(left, insn).and_then(|jump| jump.slot),
                    insn,
                    next,
                    &mut depth,
                    &mut followed,
                )? {
                    Back::On => {}
                    Back::Made(came) => return Some(Origin { at: self.prog.slots.get(insn)?.at, came }),
                }
            }
            next = insn;
            insn = match trace.before(insn, &mut left) {
                Some(Some(before)) => before,
                Some(None) => return self.argument(followed, insn),
                None => {
                    let node = trace.parent.map(|parent| self.checkpoints.get(parent));
                    let Some(node) = node.filter(|node| node.trace.last != usize::MAX) else {
                        return self.argument(followed, insn);
                    };
                    trace = &node.trace;
                    left = trace.jumps.len();
                    trace.last
                }
            };
        }
        None
    }

    /// What came into the first instruction of the program, or of a global function.
    fn argument(&self, followed: Followed, insn: usize) -> Option<Origin> {
        match followed {
            Followed::Reg { frame: 0, reg: reg @ 1..=5 } => {
                Some(Origin { at: self.prog.slots.get(insn)?.at, came: Came::Argument(reg) })
            }
            _ => None,
        }
    }

    /// The register that the words of a refusal are about: the one that they name, an argument of the call, or the address or operand
    /// of the instruction.
    fn register_in_question(&self, message: &str) -> Option<u8> {
        let named = register_named(message).and_then(|number| u8::try_from(number).ok());
        let op = self.prog.slots.get(self.insn)?.op;
        named.filter(|reg| *reg < 10).or_else(|| match op {
            Op::Alu { src: Operand::Reg(src), .. } => Some(src),
            op => op.memory().map(|memory| memory.base).filter(|base| *base < 10),
        })
    }

    /// Follows the value over one instruction back. `touched` is the slot that it loads from or stores to, `next` the instruction
    /// walked after it.
    fn step_back(
        &self,
        touched: Option<(u8, u8)>,
        insn: usize,
        next: usize,
        depth: &mut usize,
        followed: &mut Followed,
    ) -> Option<Back> {
        let slot = self.prog.slots.get(insn)?;
        let is = |reg: u8| *followed == Followed::Reg { frame: *depth, reg };
        let here = |reg: u8| Followed::Reg { frame: *depth, reg };
        Some(match slot.op {
            Op::Mov { dst, src, .. } if is(dst) => match src {
                Operand::Reg(src) => {
                    *followed = here(src);
                    Back::On
                }
                Operand::Imm(_) => Back::Made(Came::Constant),
            },
            Op::AddrSpaceCast { dst, src, .. } if is(dst) => {
                *followed = here(src);
                Back::On
            }
            Op::LoadImm64 { dst, .. } if is(dst) => Back::Made(Came::Constant),
            Op::Alu { dst, src: Operand::Reg(_), .. } if is(dst) => Back::Made(Came::Computed),
            Op::Load { dst, .. } if is(dst) => match touched {
                Some((frame, slot)) => {
                    *followed = Followed::Slot { frame, slot };
                    Back::On
                }
                None => Back::Made(Came::Loaded),
            },
            Op::Store { value, .. } => match (touched, *followed, value) {
                (Some((frame, slot)), Followed::Slot { frame: of, slot: is }, value)
                    if (frame, slot) == (of, is) =>
                {
                    match value {
                        Operand::Reg(value) => {
                            *followed = here(value);
                            Back::On
                        }
                        Operand::Imm(_) => Back::Made(Came::Constant),
                    }
                }
                _ => Back::On,
            },
            Op::Atomic { fetch: true, operand, .. } if is(operand) => Back::Made(Came::Loaded),
            Op::Exit => {
                // Out of a function that the program called, back into it.
                let call = next.checked_sub(1).and_then(|at| self.prog.slots.get(at));
                let returns =
                    call.is_some_and(|call| matches!((call.op, &call.link), (Op::Call(_), Link::Subprog(_))));
                if returns && is(0) {
                    *followed = Followed::Reg { frame: *depth + 1, reg: 0 };
                }
                *depth += 1;
                Back::On
            }
            Op::Call(callee) => return self.called_back(callee, insn, next, depth, followed),
            _ => Back::On,
        })
    }

    /// The same over a call: into the caller, or over what was called.
    fn called_back(
        &self,
        callee: Callee,
        insn: usize,
        next: usize,
        depth: &mut usize,
        followed: &mut Followed,
    ) -> Option<Back> {
        let slot = self.prog.slots.get(insn)?;
        let enters = match slot.link {
            Link::Subprog(subprog) => !self.prog.subprogs.get(subprog)?.is_global,
            _ => self.liveness.calls_callback(insn) && insn.wrapping_add(1) != next,
        };
        if enters {
            let own = *depth;
            *depth = depth.checked_sub(1)?;
            return match *followed {
                Followed::Reg { frame, reg: 1..=5 }
                    if frame == own && !matches!(slot.link, Link::Subprog(_)) =>
                {
                    Some(Back::Made(Came::Callback))
                }
                Followed::Reg { frame, reg: reg @ 1..=5 } if frame == own => {
                    *followed = Followed::Reg { frame: *depth, reg };
                    Some(Back::On)
                }
                Followed::Reg { frame, .. } if frame == own => None,
                _ => Some(Back::On),
            };
        }
        Some(match *followed {
            Followed::Reg { frame, reg: 0 } if frame == *depth => {
                Back::Made(Came::Returned(self.called_name(callee, insn)))
            }
            Followed::Reg { frame, reg: 1..=5 } if frame == *depth => Back::Made(Came::Clobbered),
            _ => Back::On,
        })
    }

    /// The name of what a call calls.
    fn called_name(&self, callee: Callee, insn: usize) -> String {
        let link = self.prog.slots.get(insn).map(|slot| &slot.link);
        match (link, callee) {
            (Some(Link::Subprog(subprog)), _) => {
                let function = self.prog.subprogs.get(*subprog).map(|subprog| subprog.function);
                function.map_or_else(String::new, |function| self.object[function].name.to_string())
            }
            (Some(Link::Kfunc(external, _)), _) => self.object[*external].name.to_string(),
            (_, Callee::Helper(number)) => {
                helpers::get(number).map_or_else(String::new, helpers::Helper::full_name)
            }
            _ => String::new(),
        }
    }
}
