//! What one instruction does to what the verifier knows (kernel `do_check`).

use std::cell::RefCell;
use std::collections::HashMap;

use super::code::{Body, Note};
use super::model::{self, Returns};
use super::reached::Reached;
use super::state::FuncState;
use super::value::{
    Null, Origin, PointsTo, RegState, Scalar, Ways, arithmetic, compare, negated, refined, sign_extended,
};
use crate::btf::{Kind, TypeId};
use crate::insn::{AtomicOp, Insn, LoadMode, Memory, Op, Operand, Successors};
use crate::kernel::callback::{Callback as Takes, CallbackKind};
use crate::kernel::{helpers, kfuncs};
use crate::load::{CoreFact, ExternFact, Knowledge};
use crate::object::{ExternIdx, ExternKind, FuncIdx, MapIdx, MapOrigin, MapType, Object, ProgramKind};

/// Where control goes after an instruction.
#[derive(Debug)]
pub(super) enum Control {
    Next(usize),
    /// To the first slot if taken, else to the second.
    Branch(usize, usize, Ways),
    /// Into a function of the program, and back to the slot.
    Call(FuncIdx, usize),
    Exit,
    /// The verifier refuses here; what stands at the slot is not looked at.
    Refused(usize),
    /// Somewhere.
    Lost,
}

/// A function that a helper calls back.
#[derive(Debug)]
pub(super) struct CalledBack {
    pub function: FuncIdx,
    pub reached: Reached,
    pub state: FuncState,
}

/// What an argument of a callback of the kernel is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Argument {
    Number,
    Object(Null),
    Other,
}

/// The verifier, as far as it is modelled, for one program.
#[derive(Debug)]
pub(super) struct Machine<'a, 'd> {
    pub object: &'a Object<'d>,
    pub knowledge: &'a Knowledge,
    kind: ProgramKind,
    arguments: Vec<Argument>,
    /// What was read from `.rodata` maps: map, offset, number of bytes.
    reads: RefCell<HashMap<(MapIdx, u64, u8), Option<u64>>>,
}

impl<'a, 'd> Machine<'a, 'd> {
    pub(super) fn new(object: &'a Object<'d>, knowledge: &'a Knowledge, program: FuncIdx) -> Self {
        let kind = object[program].entry.as_ref().map_or(ProgramKind::UNSPEC, |entry| entry.kind);
        Self {
            object,
            knowledge,
            kind,
            arguments: arguments(object, knowledge, program),
            reads: RefCell::default(),
        }
    }

    /// What was read from `.rodata` maps so far: map, offset, number of bytes, value.
    pub(super) fn reads(&self) -> impl Iterator<Item = ((MapIdx, u64, u8), Option<u64>)> {
        let reads: Vec<_> = self.reads.borrow().iter().map(|(read, value)| (*read, *value)).collect();
        reads.into_iter()
    }

    /// The state in which a program starts.
    pub(super) fn entry(&self) -> FuncState {
        let mut state = FuncState::new();
        state.put(1, RegState::pointer(PointsTo::Context, Null::Unsure, Origin::NONE));
        state
    }

    /// The state in which a global function is looked at, on its own.
    pub(super) fn global_entry(&self, function: FuncIdx, base: u32) -> FuncState {
        let mut state = unknown_entry();
        for (index, argument) in
            prototype(self.object, &self.object[function].name).into_iter().enumerate().take(5)
        {
            let at = base.wrapping_add(1).wrapping_add(index as u32) | 1 << 31;
            let value = match argument {
                Argument::Number => RegState::Scalar(Scalar::unknown(8, Origin::new(at))),
                _ => RegState::Top,
            };
            state.put(index as u8 + 1, value);
        }
        state
    }

    /// Does it matter which value CO-RE puts into the instruction. Into a load or store it puts an offset into a struct
    /// of the kernel's, of which nothing is known here in any case.
    pub(super) fn minds_value(insn: Insn) -> bool {
        insn.op().memory().is_none()
    }

    pub(super) fn step(
        &self,
        code: &Body,
        at: usize,
        state: &mut FuncState,
        callbacks: &mut Vec<CalledBack>,
    ) -> Control {
        let (insn, mut op, note) = code.slot(at);
        let mark = code.base.wrapping_add(at as u32).wrapping_add(1);
        let next = code.after(at);
        let mut vague = false;
        match note {
            Note::Core(CoreFact::Poison) | Note::MissingMap(_) => {
                state.put(insn.dst, RegState::Top);
                return Control::Refused(next);
            }
            Note::Core(CoreFact::Value(value)) => match &mut op {
                Op::Alu { src: Operand::Imm(imm), .. } | Op::Mov { src: Operand::Imm(imm), .. } => {
                    *imm = value as i32;
                }
                Op::LoadImm64 { dst, .. } => {
                    state.put(*dst, RegState::known(value));
                    return Control::Next(next);
                }
                // The offset is one of a struct of the kernel's, and nothing here depends on it.
                _ => vague = op.memory().is_some(),
            },
            Note::Core(CoreFact::Unknown) => vague = true,
            _ => {}
        }
        match op {
            Op::LoadImm64 { dst, pseudo, .. } => {
                let value = self.load_immediate(code, at, pseudo, note, vague);
                state.put(dst, value);
            }
            Op::LoadPacket { .. } => state.clobber(),
            Op::Load { dst, mode: LoadMode::Acquire, .. } => state.assign(dst, RegState::Top, mark),
            Op::Load { dst, from, mode } => {
                let value = self.load(from, mode == LoadMode::SignExtend, vague, mark, state);
                state.assign(dst, value, mark);
            }
            Op::Store { to, value, release } => {
                let value = match value {
                    // What is released is not followed.
                    _ if release => RegState::Top,
                    Operand::Imm(imm) => {
                        RegState::known(i64::from(imm) as u64 & super::value::ones(to.width.bytes()))
                    }
                    Operand::Reg(src) => state.get(src),
                };
                Self::store(to, value, vague, state);
            }
            Op::Atomic { at, op, operand, fetch } => {
                let memory = matches!(
                    state.get(at.base),
                    RegState::Pointer { place: PointsTo::Value(_) | PointsTo::Arena, .. }
                );
                Self::store(at, RegState::Top, vague, state);
                let old = RegState::Scalar(if memory && !vague {
                    Scalar::unknown(at.width.bytes(), Origin::new(mark))
                } else {
                    Scalar::vague(8)
                });
                match op {
                    AtomicOp::CmpXchg => state.assign(0, old, mark),
                    _ if fetch => state.assign(operand, old, mark),
                    _ => {}
                }
            }
            Op::Alu { dst, .. }
            | Op::Neg { dst, .. }
            | Op::Mov { dst, .. }
            | Op::AddrSpaceCast { dst, .. }
            | Op::Swap { dst, .. } => {
                let value = Self::compute(op, vague, mark, state);
                state.assign(dst, value, mark);
            }
            Op::Call(_) => return self.call(insn, note, mark, next, state, callbacks),
            Op::Jump(_) | Op::JumpTable { .. } | Op::MayGoto(_) | Op::Branch { .. } | Op::Exit => {
                return match code.successors(at) {
                    Successors::Exit => Control::Exit,
                    Successors::Jump(target) | Successors::Next(target) => Control::Next(target),
                    Successors::MayGoto { falls, taken } => {
                        Control::Branch(taken, falls, (Reached::Certain, Reached::Certain))
                    }
                    Successors::Branch { falls, taken } => {
                        Control::Branch(taken, falls, Self::decide(op, state))
                    }
                    Successors::Table => Control::Lost,
                };
            }
            Op::Unknown => {}
        }
        Control::Next(next)
    }

    fn load_immediate(&self, code: &Body, at: usize, pseudo: u8, note: Note, vague: bool) -> RegState {
        let pointer = |place, null| RegState::pointer(place, null, Origin::NONE);
        match note {
            Note::Map(map, None) => pointer(PointsTo::Map(Some(map)), Null::Unsure),
            Note::Map(map, Some(_)) if self.object[map].map_type == MapType::ARENA => {
                pointer(PointsTo::Arena, Null::Unsure)
            }
            Note::Map(map, Some(offset)) => RegState::Pointer {
                place: PointsTo::Value(Some(map)),
                offset: i32::try_from(offset).ok(),
                null: Null::No,
                origin: Origin::NONE,
            },
            Note::Extern(index) => self.extern_address(index),
            Note::Function(Some(function)) => pointer(PointsTo::Function(function), Null::Unsure),
            Note::Function(None) | Note::Other => RegState::Top,
            _ if vague => RegState::Scalar(Scalar::vague(8)),
            _ if pseudo == 0 => {
                let half = |at: usize| code.insns.get(at).map_or(0, |(half, ..)| half.imm as u32);
                RegState::known(u64::from(half(at)) | u64::from(half(at + 1)) << 32)
            }
            _ => RegState::Top,
        }
    }

    fn extern_fact(&self, index: ExternIdx) -> &ExternFact {
        self.knowledge.externs.get(index.0).unwrap_or(&ExternFact::Unknown)
    }

    /// The address of an extern. A strong one has one, or nothing is loaded at all.
    fn extern_address(&self, index: ExternIdx) -> RegState {
        let external = &self.object[index];
        if external.kind == ExternKind::Kconfig {
            return RegState::pointer(PointsTo::Config(index), Null::No, Origin::NONE);
        }
        let present = match self.extern_fact(index) {
            ExternFact::Null => return RegState::known(0),
            ExternFact::Resolved => true,
            _ => !external.weak,
        };
        match (present, external.kind) {
            // `PTR_TO_MEM`, which is never NULL.
            (true, ExternKind::Kfunc) => RegState::pointer(PointsTo::Kernel, Null::No, Origin::NONE),
            (true, _) => RegState::pointer(PointsTo::Kernel, Null::Unsure, Origin::NONE),
            (false, _) => RegState::Word { null: false, exact: false, origin: Origin::NONE },
        }
    }

    fn load(&self, from: Memory, signed: bool, vague: bool, mark: u32, state: &FuncState) -> RegState {
        let bytes = from.width.bytes();
        let base = state.get(from.base);
        let fresh = |bytes: u8| {
            let value = RegState::Scalar(Scalar::unknown(bytes, Origin::new(mark)));
            if signed { sign_extended(value, bytes, true, mark) } else { value }
        };
        let word = |null| RegState::Word { null, exact: true, origin: Origin::new(mark) };
        let unknown = if bytes == 8 { RegState::Top } else { RegState::Scalar(Scalar::vague(8)) };
        let place = match base {
            RegState::Pointer { place: PointsTo::Stack, offset, .. } => {
                let offset =
                    offset.filter(|_| !vague).map(|offset| offset.saturating_add(i32::from(from.off)));
                return state.load(offset, bytes, signed, mark);
            }
            RegState::Pointer { place, .. } => place,
            RegState::Word { .. } => PointsTo::Kernel,
            _ => return unknown,
        };
        match place {
            PointsTo::Context if vague => RegState::Top,
            PointsTo::Context => self.argument(from, signed, mark),
            // CO-RE may widen the access.
            PointsTo::Kernel if vague && bytes < 8 => RegState::Scalar(Scalar::unknown(8, Origin::new(mark))),
            PointsTo::Kernel if bytes < 8 => fresh(bytes),
            PointsTo::Kernel => word(false),
            PointsTo::Arena => fresh(bytes),
            PointsTo::Value(_) | PointsTo::Config(_) if vague => unknown,
            PointsTo::Config(index) => self.configured(base, index, from, signed),
            PointsTo::Value(map) => match self.frozen(base, map, from, signed) {
                Some(value) => value,
                None if bytes == 8 => word(true),
                None => fresh(bytes),
            },
            PointsTo::Outer => unknown,
            PointsTo::Stack | PointsTo::Map(_) | PointsTo::Function(_) => unknown,
        }
    }

    /// A load from a map that cannot change any more (kernel `bpf_map_direct_read`); `None` for other maps.
    fn frozen(&self, base: RegState, map: Option<MapIdx>, from: Memory, signed: bool) -> Option<RegState> {
        let (map, bytes) = (map?, from.width.bytes());
        let unknown = RegState::Scalar(Scalar::vague(if signed { 8 } else { bytes }));
        match self.object[map].origin {
            MapOrigin::Rodata => {}
            MapOrigin::Kconfig => return Some(unknown),
            _ if self.object[map].flags & crate::object::F_RDONLY_PROG != 0 => return Some(unknown),
            _ => return None,
        }
        let RegState::Pointer { offset: Some(offset), .. } = base else { return Some(unknown) };
        let raw = i64::from(offset) + i64::from(from.off);
        let read = |at| {
            let known = || self.knowledge.rodata_value(self.object, map, at, bytes);
            *self.reads.borrow_mut().entry((map, at, bytes)).or_insert_with(known)
        };
        let Some(raw) = u64::try_from(raw).ok().and_then(read) else { return Some(unknown) };
        let value = RegState::known(raw);
        Some(if signed { sign_extended(value, bytes, true, 0) } else { value })
    }

    /// A load of a kernel configuration value; the map that holds it is frozen too.
    fn configured(&self, base: RegState, index: ExternIdx, from: Memory, signed: bool) -> RegState {
        let bytes = from.width.bytes();
        let at = match base {
            RegState::Pointer { offset: Some(offset), .. } => {
                usize::try_from(i64::from(offset) + i64::from(from.off)).ok()
            }
            _ => None,
        };
        let raw = match self.extern_fact(index) {
            ExternFact::Value(value) => at.and_then(|at| value.get(at..at.checked_add(usize::from(bytes))?)),
            _ => None,
        };
        match raw {
            Some(raw) => {
                let value = RegState::known(crate::load::number(raw, self.object.elf.byte_order));
                if signed { sign_extended(value, bytes, true, 0) } else { value }
            }
            None => RegState::Scalar(Scalar::vague(if signed { 8 } else { bytes })),
        }
    }

    /// A load from the context.
    fn argument(&self, from: Memory, signed: bool, mark: u32) -> RegState {
        let bytes = from.width.bytes();
        let number = RegState::Scalar(Scalar::unknown(bytes, Origin::new(mark)));
        if self.kind == ProgramKind::SYSCALL && !signed {
            return number;
        }
        let index =
            usize::try_from(from.off).ok().filter(|off| off % 8 == 0 && bytes == 8).map(|off| off / 8);
        match index.and_then(|index| self.arguments.get(index)) {
            Some(Argument::Number) => number,
            Some(Argument::Object(null)) => RegState::pointer(PointsTo::Kernel, *null, Origin::new(mark)),
            _ => RegState::Top,
        }
    }

    /// What is known of the stack after a store.
    fn store(to: Memory, value: RegState, vague: bool, state: &mut FuncState) {
        let offset = match state.get(to.base) {
            RegState::Pointer { place: PointsTo::Stack, offset, .. } => {
                offset.map(|offset| offset.saturating_add(i32::from(to.off)))
            }
            // For all that is known it may be the stack.
            RegState::Top => None,
            _ => return,
        };
        state.store(offset.filter(|_| !vague), to.width.bytes(), value);
    }

    fn compute(op: Op, vague: bool, mark: u32, state: &FuncState) -> RegState {
        let operand = |src: Operand| match src {
            Operand::Reg(src) => state.get(src),
            Operand::Imm(_) if vague => RegState::Scalar(Scalar::vague(8)),
            Operand::Imm(imm) => RegState::known(i64::from(imm) as u64),
        };
        let unknown = |wide| RegState::Scalar(Scalar::vague(if wide { 8 } else { 4 }));
        let half = |value: RegState| match value {
            RegState::Scalar(scalar) => RegState::Scalar(scalar.low()),
            RegState::Word { exact: true, origin, .. } => RegState::Scalar(Scalar::unknown(4, origin)),
            _ => RegState::Scalar(Scalar::vague(4)),
        };
        match op {
            Op::AddrSpaceCast { spaces: 1, .. } => {
                RegState::pointer(PointsTo::Arena, Null::Unsure, Origin::NONE)
            }
            Op::AddrSpaceCast { .. } => RegState::Scalar(Scalar::unknown(8, Origin::new(mark))),
            Op::Mov { wide, src, sign: Some(sign), .. } => {
                sign_extended(operand(src), sign.bytes(), wide, mark)
            }
            Op::Mov { wide: true, src, .. } => operand(src),
            Op::Mov { src, .. } => half(operand(src)),
            // Byte swaps, division and remainder: only new kernels follow them.
            Op::Alu { op, wide, .. } if op.has_signed_form() => unknown(wide),
            Op::Swap { .. } => unknown(true),
            Op::Alu { op, wide, dst, src } => arithmetic(op, wide, state.get(dst), operand(src), mark),
            Op::Neg { wide, dst } => negated(wide, state.get(dst), mark),
            _ => RegState::Top,
        }
    }

    fn operands(left: u8, right: Operand, state: &FuncState) -> (RegState, RegState) {
        let right = match right {
            Operand::Reg(src) => state.get(src),
            Operand::Imm(imm) => RegState::known(i64::from(imm) as u64),
        };
        (state.get(left), right)
    }

    fn decide(op: Op, state: &FuncState) -> Ways {
        let vague = (Reached::Possible, Reached::Possible);
        let Op::Branch { condition, wide, left, right, .. } = op else { return vague };
        // Newer kernels see that a register equals itself.
        if right.reg() == Some(left) {
            return vague;
        }
        let (a, b) = Self::operands(left, right, state);
        compare(condition, wide, a, b)
    }

    /// What is known on one way of a branch.
    pub(super) fn refine(op: Op, taken: bool, state: &mut FuncState) {
        let Op::Branch { condition, wide, left, right, .. } = op else { return };
        let (a, b) = Self::operands(left, right, state);
        let new_a = refined(condition, taken, wide, a, b, right.reg().is_none());
        let new_b = right.reg().map(|right| (right, refined(condition, taken, wide, b, a, false)));
        state.refine(a, new_a);
        state.put(left, new_a);
        if let Some((right, new_b)) = new_b {
            state.refine(b, new_b);
            state.put(right, new_b);
        }
    }

    fn call(
        &self,
        insn: Insn,
        note: Note,
        mark: u32,
        next: usize,
        state: &mut FuncState,
        callbacks: &mut Vec<CalledBack>,
    ) -> Control {
        let finish = |state: &mut FuncState, value: RegState| {
            state.forget_origin(mark);
            state.put(0, value);
            Control::Next(next)
        };
        match note {
            Note::Function(Some(function)) => return Control::Call(function, next),
            Note::Extern(index) => {
                if *self.extern_fact(index) == ExternFact::Null {
                    state.clobber();
                    return Control::Refused(next);
                }
                let name = crate::btf::essential_name(self.object[index].name);
                if name == kfuncs::THROW {
                    return Control::Exit;
                }
                let callback = kfuncs::callback(name);
                self.call_back(callback, state, callbacks);
                let outputs = self.outputs(index, state);
                let arena = name == kfuncs::ARENA_ALLOC_PAGES;
                state.forget_passed_stack(callback.is_some());
                for (offset, len) in outputs {
                    state.scribble(offset, len);
                }
                state.clobber();
                let value = match model::kfunc_returns(name) {
                    Some(returns) => self.returned(returns, mark, None),
                    None if arena => RegState::pointer(PointsTo::Arena, Null::Unsure, Origin::NONE),
                    None => self.kfunc_result(index, mark),
                };
                return finish(state, value);
            }
            Note::Function(None) => {
                state.clobber();
                state.forget_stack(None);
                state.put(0, RegState::Top);
                return Control::Refused(next);
            }
            _ => {}
        }
        let Some(id) = insn.helper() else {
            state.forget_passed_stack(true);
            state.clobber();
            state.put(0, RegState::Top);
            return Control::Next(next);
        };
        let helper = helpers::get(id);
        let callback = helper.and_then(helpers::Helper::callback);
        self.call_back(callback, state, callbacks);
        let map = match state.get(1) {
            RegState::Pointer { place: PointsTo::Map(map), .. } => map,
            _ => None,
        };
        let written = match (state.get(1), state.get(2).constant()) {
            (RegState::Pointer { place: PointsTo::Stack, offset: Some(offset), .. }, Some(len))
                if helper.is_some_and(model::fills) =>
            {
                i32::try_from(len).ok().map(|len| (offset, len))
            }
            _ => None,
        };
        state.forget_passed_stack(callback.is_some());
        if let Some((offset, len)) = written {
            state.scribble(offset, len);
        }
        state.clobber();
        finish(state, self.returned(helper.map_or(Returns::Anything, model::returns), mark, map))
    }

    fn returned(&self, returns: Returns, mark: u32, map: Option<MapIdx>) -> RegState {
        let origin = Origin::new(mark);
        match returns {
            Returns::Number => RegState::Scalar(Scalar::unknown(8, origin)),
            Returns::SomeNumber => RegState::Scalar(Scalar::vague(8)),
            Returns::Looked => {
                let array =
                    |map: MapIdx| matches!(self.object[map].map_type, MapType::ARRAY | MapType::PERCPU_ARRAY);
                let null = if map.is_none_or(array) { Null::Elided } else { Null::Maybe };
                let plain = map.is_some_and(|map| !self.object[map].map_type.is_map_in_map());
                RegState::pointer(
                    if plain { PointsTo::Value(None) } else { PointsTo::Map(None) },
                    null,
                    origin,
                )
            }
            Returns::Memory => RegState::pointer(PointsTo::Value(None), Null::Maybe, origin),
            Returns::Object => RegState::pointer(PointsTo::Kernel, Null::Unsure, origin),
            Returns::ObjectOrNull => RegState::pointer(PointsTo::Kernel, Null::Maybe, origin),
            Returns::Anything => RegState::Word { null: false, exact: false, origin: Origin::NONE },
        }
    }

    /// What a kfunc returns, by the prototype in the object.
    fn kfunc_result(&self, index: ExternIdx, mark: u32) -> RegState {
        let result = self.object.btf.as_ref().and_then(|btf| {
            let proto = btf.get(btf.get(self.object[index].type_id)?.target())?.func_proto()?;
            Some(btf.resolve(proto.ret())?.1.kind())
        });
        match result {
            Some(Kind::Int | Kind::Enum | Kind::Enum64) => self.returned(Returns::Number, mark, None),
            Some(Kind::Ptr) => self.returned(Returns::Object, mark, None),
            _ => self.returned(Returns::Anything, mark, None),
        }
    }

    /// Numbers on the stack that a kfunc is given to write: `bool *`, `u64 *`.
    fn outputs(&self, index: ExternIdx, state: &FuncState) -> Vec<(i32, i32)> {
        let Some(btf) = &self.object.btf else { return Vec::new() };
        let proto = btf.get(self.object[index].type_id).and_then(|ty| btf.get(ty.target())?.func_proto());
        let params = proto.into_iter().flat_map(|proto| proto.params());
        params
            .take(5)
            .enumerate()
            .filter_map(|(i, param)| {
                let RegState::Pointer { place: PointsTo::Stack, offset: Some(offset), .. } =
                    state.get(i as u8 + 1)
                else {
                    return None;
                };
                let (_, pointer) = btf.resolve(param.ty).filter(|(_, ty)| ty.kind() == Kind::Ptr)?;
                // A typedef is no hindrance, `const` is: such memory may be read only.
                let mut id = pointer.target();
                for _ in 0..8 {
                    let ty = btf.get(id)?;
                    match ty.kind() {
                        Kind::Typedef => id = ty.target(),
                        Kind::Int => return Some((offset, i32::try_from(ty.size()).ok()?)),
                        _ => return None,
                    }
                }
                None
            })
            .collect()
    }

    /// The function that a call is given to call back.
    fn call_back(&self, callback: Option<Takes>, state: &FuncState, callbacks: &mut Vec<CalledBack>) {
        for register in 1..6 {
            let RegState::Pointer { place: PointsTo::Function(function), .. } = state.get(register) else {
                continue;
            };
            let mut entry = unknown_entry();
            let mut reached = Reached::Possible;
            if let Some(callback) = callback.filter(|callback| callback.register == register) {
                reached = match callback.kind {
                    CallbackKind::Loop => match state.get(1) {
                        RegState::Scalar(s) if s.constant() == Some(0) => Reached::Never,
                        RegState::Scalar(s) if s.exact || s.value != 0 => Reached::Certain,
                        RegState::Word { exact: true, .. } => Reached::Certain,
                        _ => Reached::Possible,
                    },
                    _ => Reached::Certain,
                };
                if callback.kind == CallbackKind::Element {
                    let memory = RegState::pointer(PointsTo::Value(None), Null::No, Origin::NONE);
                    entry.put(2, memory);
                    entry.put(3, memory);
                }
            }
            callbacks.push(CalledBack { function, reached, state: entry });
        }
    }
}

/// A frame whose arguments nothing is known of.
pub(super) fn unknown_entry() -> FuncState {
    let mut state = FuncState::new();
    for register in 1..6 {
        state.put(register, RegState::Top);
    }
    state
}

/// The arguments of a callback, from the type of the ops member that the program is put into.
fn arguments(object: &Object<'_>, knowledge: &Knowledge, program: FuncIdx) -> Vec<Argument> {
    let mut found: Option<Vec<Argument>> = None;
    for (index, ops) in object.ops() {
        for (at, member) in ops.members.iter().enumerate() {
            if !matches!(member.value, crate::object::MemberInit::Program(used) if used == program) {
                continue;
            }
            let nullable = knowledge.nullable_argument(index, at, member.name);
            let these = member_arguments(object, object[ops.map].type_id, member.name, nullable);
            if found.as_ref().is_some_and(|known| *known != these) {
                return Vec::new();
            }
            found = Some(these);
        }
    }
    found.unwrap_or_default()
}

fn member_arguments(object: &Object<'_>, ops: TypeId, name: &str, nullable: Option<usize>) -> Vec<Argument> {
    let Some(btf) = &object.btf else { return Vec::new() };
    let member = btf
        .resolve(ops)
        .and_then(|(_, ty)| ty.composite())
        .and_then(|ops| ops.members().find(|member| btf.str(member.name) == name));
    let proto = member.and_then(|member| {
        let (_, pointer) = btf.resolve(member.ty)?;
        btf.resolve(pointer.target())?.1.func_proto()
    });
    let params = proto.into_iter().flat_map(|proto| proto.params());
    let kind = |(index, ty): (usize, TypeId)| {
        let Some((_, ty)) = btf.resolve(ty) else { return Argument::Other };
        match ty.kind() {
            Kind::Int | Kind::Enum | Kind::Enum64 => Argument::Number,
            Kind::Ptr => match btf.resolve(ty.target()).map(|(_, ty)| (ty.kind(), btf.name(&ty))) {
                Some((Kind::Struct | Kind::Fwd, "task_struct")) if nullable == Some(index) => {
                    Argument::Object(Null::Maybe)
                }
                Some((Kind::Struct | Kind::Fwd, "task_struct")) => Argument::Object(Null::No),
                Some((Kind::Struct, _)) => Argument::Object(Null::Unsure),
                _ => Argument::Other,
            },
            _ => Argument::Other,
        }
    };
    params.map(|param| param.ty).enumerate().map(kind).collect()
}

/// The arguments of a function of the object.
fn prototype(object: &Object<'_>, name: &str) -> Vec<Argument> {
    let Some(btf) = &object.btf else { return Vec::new() };
    let proto =
        btf.names().find(name, Kind::Func).and_then(|id| btf.get(btf.get(id)?.target())?.func_proto());
    let kind = |ty| match btf.resolve(ty).map(|(_, ty)| ty.kind()) {
        Some(Kind::Int | Kind::Enum | Kind::Enum64) => Argument::Number,
        _ => Argument::Other,
    };
    proto.into_iter().flat_map(|proto| proto.params()).map(|param| kind(param.ty)).collect()
}
