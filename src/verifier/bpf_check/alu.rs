//! Arithmetic (`check_alu_op`, `adjust_reg_min_max_vals`, `adjust_ptr_min_max_vals`).

use super::checker::Checker;
use super::names::type_name;
use super::refusal::{Step, Stop, Why};
use super::reg::{Flags, Kind, Linked, MAX_VAR_OFF, Reg};
use super::rules::Era;
use super::scalar::{self, Scalar, Swap};
use crate::insn::{AluOp, Op, Operand, Width};
use crate::object::MapType;

/// The operator as messages show it (`bpf_alu_string`).
fn symbol(op: AluOp) -> &'static str {
    match op {
        AluOp::Add => "+=",
        AluOp::Sub => "-=",
        AluOp::Mul => "*=",
        AluOp::Div | AluOp::SDiv => "/=",
        AluOp::Or => "|=",
        AluOp::And => "&=",
        AluOp::Lsh => "<<=",
        AluOp::Rsh => ">>=",
        AluOp::Mod | AluOp::SMod => "%=",
        AluOp::Xor => "^=",
        AluOp::Arsh => "s>>=",
    }
}

/// No bit above the lower half is set.
fn fits_u32(value: &Scalar) -> bool {
    value.umax() <= u64::from(u32::MAX)
}

impl Checker<'_, '_> {
    /// An arithmetic instruction.
    ///
    /// # Errors
    /// It is refused, or not modelled.
    pub fn check_alu(&mut self, op: Op) -> Step {
        match op {
            Op::Mov { wide, dst, src, sign } => self.check_mov(wide, dst, src, sign),
            Op::AddrSpaceCast { dst, src, spaces } => self.check_cast(dst, src, spaces),
            Op::Neg { wide, dst } => self.check_unary(dst, |value, rules| scalar::neg(wide, value, rules)),
            Op::Swap { dst, bits } => {
                let insn = self.slot().insn;
                let how = match (insn.class(), insn.takes_register()) {
                    (crate::insn::Class::Alu64, _) => Swap::Always,
                    (_, true) => Swap::ToBig,
                    (_, false) => Swap::ToLittle,
                };
                self.check_unary(dst, |value, rules| scalar::swap(how, bits, value, rules))
            }
            Op::Alu { op, wide, dst, src } => self.check_binary(op, wide, dst, src),
            _ => Err(Stop::unmodelled("arithmetic")),
        }
    }

    fn check_unary(&mut self, dst: u8, change: impl FnOnce(Scalar, &scalar::ScalarRules) -> Scalar) -> Step {
        self.read(dst)?;
        self.may_write(dst)?;
        let reg = *self.reg(dst);
        if !reg.is_scalar() {
            *self.reg_mut(dst) = Reg::unknown();
            return Ok(());
        }
        let value = change(reg.value, &self.rules.scalar);
        let reg = self.reg_mut(dst);
        reg.value = value;
        if self.rules.since(Era::V6_17) {
            return Ok(());
        }
        // Before, the register was marked as written, with nothing known of it.
        *self.reg_mut(dst) = Reg::unknown();
        Ok(())
    }

    fn check_cast(&mut self, dst: u8, src: u8, spaces: i32) -> Step {
        if !self.has_arena() {
            let message = "addr_space_cast insn can only be used in a program that has an associated arena";
            return Err(Stop::einval(Why::Arena, message));
        }
        self.read(src)?;
        self.may_write(dst)?;
        *self.reg_mut(dst) =
            if spaces == 1 { Reg { kind: Kind::Arena, ..Reg::unknown() } } else { Reg::unknown() };
        Ok(())
    }

    /// The program uses an arena (`prog->aux->arena`).
    pub fn has_arena(&self) -> bool {
        let program = self.prog.subprogs.first().map(|entry| entry.function);
        let maps = program.map_or(&[][..], |program| self.object.maps_of(program));
        maps.iter().any(|used| self.object[used.map].map_type == MapType::ARENA)
    }

    fn check_mov(&mut self, wide: bool, dst: u8, src: Operand, sign: Option<Width>) -> Step {
        self.read_operand(src)?;
        self.may_write(dst)?;
        let from = match src {
            Operand::Reg(from) => from,
            Operand::Imm(imm) => {
                let value =
                    if wide { i64::from(imm).cast_unsigned() } else { u64::from(imm.cast_unsigned()) };
                *self.reg_mut(dst) = Reg::known(value);
                return Ok(());
            }
        };
        let reg = *self.reg(from);
        let rules = self.rules.scalar;
        if let Some(width) = sign {
            if !reg.is_scalar() {
                *self.reg_mut(dst) = Reg::unknown();
                return Ok(());
            }
            let keeps = reg.value.umax() < 1 << (8 * u32::from(width.bytes()) - 1);
            if keeps {
                self.give_id(from);
            }
            let mut made = *self.reg(from);
            if !keeps {
                made.clear_id();
            }
            made.value = made.value.mov_sign_extended(width.bytes(), wide, &rules);
            *self.reg_mut(dst) = made;
            return Ok(());
        }
        if wide {
            self.give_id(from);
            *self.reg_mut(dst) = *self.reg(from);
            return Ok(());
        }
        if !reg.is_scalar() {
            *self.reg_mut(dst) = Reg::scalar(Scalar::unknown().mov32(&rules));
            return Ok(());
        }
        let keeps = fits_u32(&reg.value);
        if keeps {
            self.give_id(from);
        }
        let mut made = *self.reg(from);
        if !keeps {
            made.clear_id();
        }
        made.value = made.value.mov32(&rules);
        *self.reg_mut(dst) = made;
        Ok(())
    }

    fn check_binary(&mut self, op: AluOp, wide: bool, dst: u8, src: Operand) -> Step {
        self.read_operand(src)?;
        self.read(dst)?;
        if let Operand::Imm(imm) = src {
            let is_division = matches!(op, AluOp::Div | AluOp::SDiv | AluOp::Mod | AluOp::SMod);
            if is_division && imm == 0 {
                return Err(Stop::einval(Why::Division, "div by zero"));
            }
            let is_shift = matches!(op, AluOp::Lsh | AluOp::Rsh | AluOp::Arsh);
            if is_shift && !(0..if wide { 64 } else { 32 }).contains(&imm) {
                return Err(Stop::einval(Why::Instruction, format!("invalid shift {imm}")));
            }
        }
        self.may_write(dst)?;
        let left = *self.reg(dst);
        let right = match src {
            Operand::Reg(register) => *self.reg(register),
            Operand::Imm(imm) => Reg::known(i64::from(imm).cast_unsigned()),
        };
        // A number with an arena pointer on its right gives one since 7.1, which was brought back to 6.12.
        let on_right = self.rules.since(Era::V7_1) || self.rules.era == Era::V6_12;
        if left.kind == Kind::Arena || right.kind == Kind::Arena && on_right {
            if left.kind != Kind::Arena {
                *self.reg_mut(dst) = right;
            }
            return if wide { self.arena_mix(true) } else { Ok(()) };
        }
        if wide && self.rules.since(Era::V7_3) {
            self.arena_mix(false)?;
        }
        match (left.is_scalar(), right.is_scalar(), src) {
            (false, false, _) => {
                if op == AluOp::Sub {
                    *self.reg_mut(dst) = Reg::unknown();
                    return Ok(());
                }
                let message = format!("R{dst} pointer {} pointer prohibited", symbol(op));
                Err(Stop::eacces(Why::PointerArithmetic, message))
            }
            (true, false, _) => {
                self.mark_precise(dst)?;
                self.pointer_plus(op, wide, dst, &right, &left, false)
            }
            (false, true, Operand::Reg(register)) => {
                self.mark_precise(register)?;
                self.pointer_plus(op, wide, dst, &left, &right, true)
            }
            (false, true, Operand::Imm(_)) => self.pointer_plus(op, wide, dst, &left, &right, true),
            (true, true, _) => {
                if left.precise
                    && let Operand::Reg(register) = src
                {
                    self.mark_precise(register)?;
                }
                self.numbers(op, wide, dst, left, right, src)
            }
        }
    }

    /// One instruction may not compute with arena pointers on one path and with others on another (7.3).
    fn arena_mix(&mut self, arena: bool) -> Step {
        if !self.rules.since(Era::V7_3) || !arena && !self.has_arena() {
            return Ok(());
        }
        let insn = self.insn;
        if *self.aux[insn].with_arena.get_or_insert(arena) != arena {
            let message = "same insn cannot be used with and without arena pointer";
            return Err(Stop::einval(Why::Arena, message));
        }
        Ok(())
    }

    /// Two numbers.
    fn numbers(&mut self, op: AluOp, wide: bool, dst: u8, left: Reg, right: Reg, src: Operand) -> Step {
        let rules = self.rules.scalar;
        let mut left = left;
        if let Some((here, there)) = scalar::fork(op, &left.value, &right.value, &rules) {
            let mut other = self.state.clone();
            other.frame_mut().regs[usize::from(dst)].value = there;
            let after = usize::from(rules.forks == scalar::Forks::After);
            self.push(other, self.insn + after)?;
            left.value = here;
        }
        let mut made = left;
        made.value = scalar::alu(op, wide, left.value, right.value, &rules);
        let later = self.rules.since(Era::V7_0);
        let constant = if wide { right.value.constant() } else { right.value.constant32().map(u64::from) };
        let same = src == Operand::Reg(dst);
        let is_sum = op == AluOp::Add || op == AluOp::Sub && later;
        match constant {
            Some(value) if is_sum && made.id != 0 && !same && (wide || later) => {
                let delta = if later {
                    let fits = if wide {
                        i32::try_from(value.cast_signed()).ok()
                    } else {
                        Some(value as u32 as i32)
                    };
                    let fits = fits.filter(|_| wide || fits_u32(&left.value));
                    if op == AluOp::Sub { fits.and_then(i32::checked_neg) } else { fits }
                } else {
                    i32::try_from(value).ok()
                };
                match delta {
                    Some(delta) if made.linked == Linked::Equal => {
                        made.linked = if wide { Linked::Add64(delta) } else { Linked::Add32(delta) };
                    }
                    _ => made.clear_id(),
                }
            }
            _ => made.clear_id(),
        }
        *self.reg_mut(dst) = made;
        Ok(())
    }

    /// A number is added to a pointer, or subtracted from it (`adjust_ptr_min_max_vals`); `left` says that the pointer is on the left.
    fn pointer_plus(
        &mut self,
        op: AluOp,
        wide: bool,
        dst: u8,
        pointer: &Reg,
        number: &Reg,
        left: bool,
    ) -> Step {
        let refuse = |message: String| Err(Stop::eacces(Why::PointerArithmetic, message));
        let kind = type_name(pointer.kind, pointer.flags);
        if number.value.is_ill_formed() {
            *self.reg_mut(dst) = Reg::unknown();
            return Ok(());
        }
        if !wide {
            if op == AluOp::Sub {
                *self.reg_mut(dst) = Reg::unknown();
                return Ok(());
            }
            return refuse(format!("R{dst} 32-bit pointer arithmetic prohibited"));
        }
        if pointer.may_be_null() {
            let message = format!("R{dst} pointer arithmetic on {kind} prohibited, null-check it first");
            return Err(Stop::eacces(Why::NullDereference, message));
        }
        let constant = number.constant();
        let allowed = match pointer.kind {
            Kind::Ctx
            | Kind::MapValue(_)
            | Kind::MapKey(_)
            | Kind::Stack(_)
            | Kind::TpBuffer
            | Kind::BtfId(_)
            | Kind::Mem(_)
            | Kind::Buf
            | Kind::Func(_)
            | Kind::Dynptr(_) => true,
            Kind::Packet => return Err(Stop::unmodelled("pointers to packets")),
            Kind::MapPtr(_) => constant == Some(0) && op == AluOp::Add,
            _ => false,
        };
        if !allowed {
            return refuse(format!("R{dst} pointer arithmetic on {kind} prohibited"));
        }
        let mut made = *pointer;
        if !left && !self.rules.since(Era::V7_1) && self.rules.era != Era::V6_12 {
            // Only since 7.1, and where that was brought back to 6.12, the number's register gets the reference too.
            made.ref_obj_id = 0;
        }
        if matches!(pointer.kind, Kind::Mem(_))
            && pointer.flags.has(Flags::UNTRUSTED)
            && self.rules.since(Era::V6_17)
        {
            *self.reg_mut(dst) = made;
            return Ok(());
        }
        self.sane_number(number, &kind)?;
        self.sane_offset(&pointer.value, &kind)?;
        let rules = self.rules.scalar;
        made.value = match op {
            AluOp::Add => pointer.value.offset_plus(&number.value, &rules),
            AluOp::Sub if !left => return refuse(format!("R{dst} tried to subtract pointer from scalar")),
            AluOp::Sub if matches!(pointer.kind, Kind::Stack(_)) => {
                return refuse(format!("R{dst} subtraction from stack pointer prohibited"));
            }
            AluOp::Sub => pointer.value.offset_minus(&number.value, &rules),
            AluOp::And | AluOp::Or | AluOp::Xor => {
                return refuse(format!("R{dst} bitwise operator {} on pointer prohibited", symbol(op)));
            }
            _ => {
                return refuse(format!("R{dst} pointer arithmetic with {} operator prohibited", symbol(op)));
            }
        };
        self.sane_offset(&made.value, &kind)?;
        made.value = made.value.in_sync(&rules);
        *self.reg_mut(dst) = made;
        Ok(())
    }

    /// A number that is added to a pointer is small (`check_reg_sane_offset_scalar`).
    fn sane_number(&self, number: &Reg, kind: &str) -> Step {
        let refuse = |message: String| Err(Stop::einval(Why::PointerArithmetic, message));
        if let Some(value) = number.constant().map(u64::cast_signed)
            && !(-MAX_VAR_OFF + 1..MAX_VAR_OFF).contains(&value)
        {
            return refuse(format!("math between {kind} pointer and {value} is not allowed"));
        }
        let smin = number.value.smin();
        if smin == i64::MIN {
            return refuse(format!(
                "math between {kind} pointer and register with unbounded min value is not allowed"
            ));
        }
        if !(-MAX_VAR_OFF + 1..MAX_VAR_OFF).contains(&smin) {
            return refuse(format!("value {smin} makes {kind} pointer be out of bounds"));
        }
        Ok(())
    }

    /// What was added to a pointer is small (`check_reg_sane_offset_ptr`).
    fn sane_offset(&self, offset: &Scalar, kind: &str) -> Step {
        let refuse = |message: String| Err(Stop::einval(Why::PointerArithmetic, message));
        let is_small = |value: i64| (-MAX_VAR_OFF + 1..MAX_VAR_OFF).contains(&value);
        if let Some(value) = offset.constant().map(u64::cast_signed)
            && !is_small(value)
        {
            return refuse(format!("{kind} pointer offset {value} is not allowed"));
        }
        let smin = offset.smin();
        if is_small(smin) {
            return Ok(());
        }
        if self.rules.since(Era::V7_1) {
            return refuse(format!("{kind} pointer offset {smin} is not allowed"));
        }
        if smin == i64::MIN {
            return refuse(format!(
                "math between {kind} pointer and register with unbounded min value is not allowed"
            ));
        }
        refuse(format!("value {smin} makes {kind} pointer be out of bounds"))
    }
}
