//! The walk itself: one instruction after the other, one path after the other (`do_check_common`, `do_check`).

use std::collections::BTreeSet;

use super::code::SubprogInfo;
use super::hook::Hook;
use super::liveness::Liveness;
use super::prog::{Link, Prog, Slot};
use super::record::Records;
use super::refusal::{Outcome, Refusal, Step, Stop, Unwalked, Verification, Why};
use super::reg::{Flags, Kind, Reg};
use super::rules::{Era, Rules};
use super::state::{Frame, State};
use super::states::{Checkpoints, Trace};
use crate::btf::Kind as TypeKind;
use crate::errno::Errno;
use crate::insn::{Callee, Op, Operand};
use crate::kernel::{Kernel, Reason};
use crate::load::{Knowledge, Load};
use crate::object::{FuncIdx, MapIdx, MapOrigin, Object};

/// Most instructions that a verifier walks (`BPF_COMPLEXITY_LIMIT_INSNS`).
pub const MAX_INSNS: u32 = 1_000_000;
/// Most instructions that are walked once a value was read that user space may set: then it is better asked with the file's values.
pub const MAX_ON_VALUES: u32 = 20_000;
/// Most instructions that are walked once something was asked of the machine that is not known: more than any kernel walks then.
pub const MAX_ON_MACHINE: u32 = 200_000;
/// Most branches that wait (`BPF_COMPLEXITY_LIMIT_JMP_SEQ`).
pub const MAX_PENDING: usize = 8192;

/// Where the walk goes after an instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// To the slot after it.
    Falls,
    /// To this slot.
    To(usize),
    /// The path has come to its end.
    Ends,
}

/// A branch that waits.
#[derive(Debug)]
pub struct Pending {
    /// The state there.
    pub state: State,
    /// How the path came there from its checkpoint.
    pub trace: Trace,
    /// The instruction to walk.
    pub insn: usize,
    /// The one before it.
    pub prev: usize,
}

/// What is kept of an instruction over all paths (`struct bpf_insn_aux_data`).
#[derive(Debug, Clone, Default)]
pub struct Aux {
    /// The kind of pointer that it goes through (`ptr_type`), to notice paths that disagree.
    pub pointer: Option<(Kind, Flags)>,
    /// The map of a helper call on all paths; `Some(None)` where paths disagree.
    pub map: Option<Option<super::reg::MapRef>>,
    /// The key of a map that the helper was called with (`map_key_state`), for callers that need it.
    pub key: Option<Option<u64>>,
    /// It computed with a pointer to an arena, or with none.
    pub with_arena: Option<bool>,
    /// It was walked.
    pub seen: bool,
    /// It is a spill or fill around a call that may be inlined (`fastcall_pattern`).
    pub is_fastcall: bool,
    /// A call: pairs of a spill and a fill around it that may be taken out (`fastcall_spills_num`).
    pub fastcall_pairs: u8,
    /// The function that `bpf_loop` calls where it may be put in line; `Some(None)` where it may not.
    pub loop_callback: Option<Option<usize>>,
}

/// The verifier at work on one program.
pub struct Checker<'a, 'd> {
    /// The object and the kernel.
    pub load: &'a Load<'a, 'd>,
    /// The object.
    pub object: &'a Object<'d>,
    /// The kernel.
    pub kernel: &'a Kernel<'a>,
    /// What is known before the program runs.
    pub knowledge: &'a Knowledge,
    /// What this kernel's verifier does.
    pub rules: Rules,
    /// The program.
    pub prog: Prog,
    /// What kind of program it is.
    pub hook: Hook,
    /// Special fields of types.
    pub records: Records,
    /// What is live where, and where paths are compared.
    pub liveness: Liveness,
    /// The state of the path.
    pub state: State,
    /// How it came here from its checkpoint.
    pub trace: Trace,
    /// The instruction.
    pub insn: usize,
    /// The one walked before; `usize::MAX` at the start.
    pub prev: usize,
    /// Branches that wait, the next one last.
    pub pending: Vec<Pending>,
    /// States that were kept.
    pub checkpoints: Checkpoints,
    /// What is kept of each instruction.
    pub aux: Vec<Aux>,
    /// What is kept of each function.
    pub subprogs: Vec<SubprogInfo>,
    /// The last id that was given.
    pub last_id: u32,
    /// How many instructions were walked.
    pub processed: u32,
    /// How many jumps were walked (`jmps_processed`).
    pub jumps: u32,
    /// Global functions that were called, by subprogram; where they may sleep, and where not.
    pub called: Vec<[bool; 2]>,
    /// Global functions that are called whatever user space sets, by subprogram.
    pub called_surely: Vec<bool>,
    /// A value was read that is not known before the load: what. Refusals of paths that depend on one are not sure.
    pub knob: Option<Reason>,
    /// How many instructions are walked at most, for that reason.
    pub most: u32,
    /// What was read of maps that user space fills before the load.
    pub reads: BTreeSet<(MapIdx, u64, u8)>,
    /// Kfuncs that were looked at.
    pub kfuncs: super::kfunc::Kfuncs,
}

impl<'a, 'd> Checker<'a, 'd> {
    /// A verifier that has walked nothing.
    ///
    /// # Errors
    /// What is refused, or not known, before anything is walked.
    pub fn new(
        load: &'a Load<'a, 'd>,
        kernel: &'a Kernel<'a>,
        knowledge: &'a Knowledge,
        program: FuncIdx,
    ) -> Step<Self> {
        let prog = Prog::link(load, knowledge, program);
        let rules = Rules::of(kernel);
        // Where it attaches is looked at after the code's form.
        let (hook, unattached) = match Hook::of(load, kernel, &rules, program) {
            Ok(hook) => (hook, None),
            Err(stop @ Stop::Refused { .. }) => (Hook::bare(load), Some(stop)),
            Err(stop) => return Err(stop),
        };
        let aux = vec![Aux::default(); prog.len()];
        let subprogs = vec![SubprogInfo::default(); prog.subprogs.len()];
        let called = vec![[false; 2]; prog.subprogs.len()];
        let called_surely = vec![false; prog.subprogs.len()];
        let state = State::new(Frame::new(0, usize::MAX, 0), hook.sleepable);
        let mut checker = Self {
            load,
            object: load.object,
            kernel,
            knowledge,
            rules,
            prog,
            hook,
            records: Records::default(),
            liveness: Liveness::default(),
            state,
            trace: Trace::default(),
            insn: 0,
            prev: usize::MAX,
            pending: Vec::new(),
            checkpoints: Checkpoints::default(),
            aux,
            subprogs,
            last_id: 0,
            processed: 0,
            jumps: 0,
            called,
            called_surely,
            knob: None,
            most: MAX_INSNS,
            reads: BTreeSet::new(),
            kfuncs: super::kfunc::Kfuncs::default(),
        };
        match unattached {
            None => Ok(checker),
            Some(stop) => Err(match checker.check_code() {
                Err(form @ Stop::Refused { .. }) => form,
                _ => stop,
            }),
        }
    }

    /// Walks the program (`bpf_check` from the look at its flow on).
    pub fn run(mut self) -> Verification {
        let result = self.check();
        let at = self.prog.slots.get(self.insn).map(|slot| slot.at);
        let outcome = match (result, self.knob.take().filter(|_| self.state.on_knob)) {
            (Ok(()), _) => Outcome::Accepted,
            // Where instructions are not counted as exactly as the kernel counts them, its limit is not ours.
            (Err(Stop::Refused { why: Why::TooComplex, message, .. }), _) if !self.rules.since(Era::V7_2) => {
                let reason = format!("the walk comes near the kernel's limits: {message}").into();
                Outcome::Unknown(Unwalked { at, reason, otherwise: None })
            }
            (Err(Stop::Refused { why, errno, message }), None) => {
                let origin = self.origin(&message);
                Outcome::Refused(Refusal { at, errno, message, why, origin })
            }
            (Err(Stop::Refused { message, .. }), Some(reason)) => {
                Outcome::Unknown(Unwalked { at, reason, otherwise: Some(message) })
            }
            (Err(Stop::Unknown(reason)), _) => Outcome::Unknown(Unwalked { at, reason, otherwise: None }),
        };
        Verification { outcome, insns: self.processed, reads: self.reads.into_iter().collect() }
    }

    /// The path depends on something that is not known before the load; so many instructions are walked at most.
    pub fn depends_on(&mut self, what: impl FnOnce() -> Reason, most: u32) {
        self.knob.get_or_insert_with(what);
        self.most = self.most.min(most);
        self.state.on_knob = true;
    }

    fn check(&mut self) -> Step {
        self.check_kfuncs()?;
        self.check_program_maps()?;
        self.check_code()?;
        self.liveness = Liveness::compute(self)?;
        self.check_subprog(0, self.hook.sleepable)?;
        self.check_global_subprogs()?;
        self.check_afterwards()?;
        // A BTF that the kernel does not take is done without only where nothing needs it.
        let needs_btf = !self.object.struct_ops.is_empty()
            || self.object.maps.iter().any(|map| map.origin == MapOrigin::Declared);
        if needs_btf && !self.rules.since(Era::V6_16) && self.has_uptr() {
            self.type_records()?;
        }
        Ok(())
    }

    /// A type of the object has a pointer to user memory, whose tag is the only one that 6.12 does not know.
    fn has_uptr(&self) -> bool {
        self.object.btf.as_ref().is_some_and(|btf| {
            btf.types().any(|(_, ty)| ty.kind() == TypeKind::TypeTag && btf.name(&ty) == "uptr")
        })
    }

    /// Walks a function by itself (`do_check_common`).
    pub fn check_subprog(&mut self, subprog: usize, sleepable: bool) -> Step {
        let start = self.prog.subprogs[subprog].start;
        self.state = State::new(Frame::new(subprog, usize::MAX, 0), sleepable);
        // What is called only where user space sets a value so is walked only then.
        self.state.on_knob = subprog > 0 && !self.called_surely[subprog];
        self.trace = Trace::start(start);
        self.checkpoints.clear();
        self.pending.clear();
        self.insn = start;
        self.prev = usize::MAX;
        self.enter(subprog)?;
        loop {
            match self.step()? {
                Next::Falls => self.insn += 1,
                Next::To(slot) => self.insn = slot,
                Next::Ends => {
                    self.path_ends()?;
                    let Some(next) = self.pending.pop() else { return Ok(()) };
                    self.state = next.state;
                    self.trace = next.trace;
                    self.insn = next.insn;
                    self.prev = next.prev;
                }
            }
        }
    }

    /// Walks one instruction, after looking whether the path needs to be walked on.
    fn step(&mut self) -> Step<Next> {
        if self.insn >= self.prog.len() {
            return Err(Stop::unmodelled("the walk left the program"));
        }
        self.processed += 1;
        if self.processed > MAX_INSNS {
            let message = format!("BPF program is too large. Processed {} insn", self.processed);
            return Err(Stop::refused(Why::TooComplex, Errno::E2BIG, message));
        }
        if let Some(reason) = self.knob.as_ref().filter(|_| self.processed > self.most) {
            return Err(Stop::Unknown(reason.clone()));
        }
        self.trace.reached(self.prev);
        if self.liveness.is_prune_point(self.insn) && self.is_state_visited()? {
            return Ok(Next::Ends);
        }
        if self.liveness.is_jump_point(self.insn) {
            self.push_jump();
        }
        self.check_walked_fields()?;
        self.aux[self.insn].seen = true;
        self.prev = self.insn;
        let grows = matches!(
            self.prog.slots[self.insn].op,
            Op::Load { .. } | Op::Store { .. } | Op::Atomic { .. } | Op::Call(_) | Op::LoadPacket { .. }
        );
        let next = self.execute();
        if grows {
            self.note_stack_depth();
        }
        next
    }

    /// What an instruction does (`do_check_insn`).
    fn execute(&mut self) -> Step<Next> {
        let slot = &self.prog.slots[self.insn];
        let op = slot.op;
        match op {
            Op::Alu { .. } | Op::Neg { .. } | Op::Mov { .. } | Op::AddrSpaceCast { .. } | Op::Swap { .. } => {
                self.check_alu(op)?;
                Ok(Next::Falls)
            }
            Op::Load { .. } | Op::Store { .. } | Op::Atomic { .. } => {
                self.check_memory(op)?;
                Ok(Next::Falls)
            }
            Op::LoadImm64 { dst, .. } => {
                self.check_load_imm(dst)?;
                Ok(Next::To(self.insn + 2))
            }
            Op::LoadPacket { .. } => self.check_load_packet(op),
            Op::Jump(distance) => {
                self.jumps += 1;
                Ok(Next::To((self.insn + 1).wrapping_add_signed(distance as isize)))
            }
            Op::JumpTable { to } => self.check_indirect_jump(to),
            Op::Branch { .. } | Op::MayGoto(_) => {
                self.jumps += 1;
                self.check_branch(op)
            }
            Op::Call(callee) => {
                self.jumps += 1;
                self.check_call(callee)
            }
            Op::Exit => {
                self.jumps += 1;
                self.check_exit()
            }
            Op::Unknown => {
                Err(Stop::einval(Why::Instruction, format!("unknown opcode {:02x}", slot.insn.opcode())))
            }
        }
    }

    fn check_call(&mut self, callee: Callee) -> Step<Next> {
        self.check_call_under_lock(callee)?;
        let link = self.prog.slots[self.insn].link.clone();
        match (callee, link) {
            (_, Link::Unknown(reason)) => Err(Stop::Unknown(reason)),
            (_, Link::Subprog(subprog)) => self.check_func_call(subprog),
            (_, Link::Kfunc(index, kfunc)) => self.check_kfunc_call(index, kfunc),
            (_, Link::Poison(number)) => {
                let why =
                    if number == crate::btf::core::POISON_IMM { Why::Poison } else { Why::MissingKfunc };
                Err(Stop::einval(why, format!("invalid func unknown#{number}")))
            }
            (Callee::Helper(number), _) => self.check_helper_call(number),
            _ => Err(Stop::unmodelled("a call of something that is not known")),
        }
    }

    /// The most stack that each function uses.
    fn note_stack_depth(&mut self) {
        for frame in &self.state.frames {
            if let Some(info) = self.subprogs.get_mut(frame.subprog) {
                info.stack_depth = info.stack_depth.max(frame.allocated());
            }
        }
    }

    /// A new id.
    pub fn new_id(&mut self) -> u32 {
        self.last_id += 1;
        self.last_id
    }

    /// The registers of the current frame.
    pub fn regs(&mut self) -> &mut [Reg; 11] {
        &mut self.state.frame_mut().regs
    }

    /// A register of the current frame.
    pub fn reg(&self, number: u8) -> &Reg {
        &self.state.frame().regs[usize::from(number)]
    }

    /// A register of the current frame, to be changed.
    pub fn reg_mut(&mut self, number: u8) -> &mut Reg {
        &mut self.state.frame_mut().regs[usize::from(number)]
    }

    /// A register is read (`check_reg_arg` with `SRC_OP`).
    ///
    /// # Errors
    /// It holds nothing.
    pub fn read(&self, number: u8) -> Step {
        if number > 10 {
            return Err(Stop::einval(Why::Instruction, format!("R{number} is invalid")));
        }
        if !self.reg(number).is_init() {
            return Err(Stop::eacces(Why::UninitializedRegister, format!("R{number} !read_ok")));
        }
        Ok(())
    }

    /// An operand is read.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn read_operand(&self, operand: Operand) -> Step {
        operand.reg().map_or(Ok(()), |number| self.read(number))
    }

    /// A register may be written to (`check_reg_arg` with `DST_OP_NO_MARK`).
    ///
    /// # Errors
    /// It is the frame pointer.
    pub fn may_write(&self, number: u8) -> Step {
        match number {
            0..=9 => Ok(()),
            10 => Err(Stop::eacces(Why::Instruction, "frame pointer is read only")),
            _ => Err(Stop::einval(Why::Instruction, format!("R{number} is invalid"))),
        }
    }

    /// A branch will be walked later (`push_stack`).
    ///
    /// # Errors
    /// Too many wait.
    pub fn push(&mut self, state: State, insn: usize) -> Step {
        let trace = self.branch_trace();
        self.pending.push(Pending { state, trace, insn, prev: self.insn });
        if self.pending.len() > MAX_PENDING {
            let message = format!("The sequence of {} jumps is too complex.", self.pending.len());
            return Err(Stop::refused(Why::TooComplex, Errno::E2BIG, message));
        }
        Ok(())
    }

    /// The slot being walked.
    pub fn slot(&self) -> &Slot {
        &self.prog.slots[self.insn]
    }
}
