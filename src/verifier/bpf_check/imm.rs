//! 64-bit immediates (`check_ld_imm`) and loads from packets.

use super::checker::{Checker, Next};
use super::prog::{Link, map_ref};
use super::refusal::{Step, Stop, Why};
use super::reg::{Flags, Kind, Reg};
use crate::insn::Op;
use crate::object::MapType;

impl Checker<'_, '_> {
    /// A 64-bit immediate.
    ///
    /// # Errors
    /// It is refused, or not modelled.
    pub fn check_load_imm(&mut self, dst: u8) -> Step {
        self.may_write(dst)?;
        let slot = self.slot();
        let number = u64::from(slot.high.cast_unsigned()) << 32 | u64::from(slot.insn.imm.cast_unsigned());
        let made = match slot.link.clone() {
            Link::None => Reg::known(number),
            Link::Null => Reg::known(0),
            Link::Map(map) => Reg::new(Kind::MapPtr(map_ref(map)), Flags::NONE),
            Link::MapValue(map, _) if self.object[map].map_type == MapType::ARENA => Reg::unknown(),
            Link::MapValue(map, off) => Reg {
                value: super::scalar::Scalar::known(off),
                ..Reg::new(Kind::MapValue(map_ref(map)), Flags::NONE)
            },
            Link::Variable(home, id) | Link::KernelFunction(home, id) => self.kernel_variable(home, id)?,
            Link::Subprog(subprog) => {
                if self.prog.subprogs[subprog].is_global {
                    return Err(Stop::einval(Why::Instruction, "callback function not static"));
                }
                Reg::new(Kind::Func(subprog as u32), Flags::NONE)
            }
            Link::JumpTable { .. } => return Err(Stop::unmodelled("jump tables")),
            Link::Unknown(reason) => return Err(Stop::Unknown(reason)),
            Link::Kfunc(..) | Link::Poison(_) => return Err(Stop::unmodelled("the address of a kfunc")),
        };
        *self.reg_mut(dst) = made;
        Ok(())
    }

    /// A load from a packet.
    ///
    /// # Errors
    /// It is not modelled.
    pub fn check_load_packet(&mut self, _op: Op) -> Step<Next> {
        Err(Stop::unmodelled("loads from packets"))
    }
}
