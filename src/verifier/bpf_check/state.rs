//! The state of a path (`struct bpf_verifier_state`, `struct bpf_func_state`).

use super::reg::{Kind, Reg, Slot};
use std::ops::{Deref, DerefMut, Index, IndexMut};
use std::rc::Rc;

/// Most frames on the call stack (`MAX_CALL_FRAMES`).
pub const MAX_CALL_FRAMES: usize = crate::kernel::MAX_CALL_FRAMES;
/// Bytes of stack of a frame (`MAX_BPF_STACK`).
pub const MAX_STACK: i64 = 512;

/// Numbers between two bounds, both included (`struct bpf_retval_range`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetvalRange {
    /// The least.
    pub min: i32,
    /// The greatest.
    pub max: i32,
    /// All 64 bits of the register are compared.
    pub wide: bool,
}

/// A frame of the call stack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// r0 to r10.
    pub regs: [Reg; 11],
    /// Its stack; the first slot is the one below r10.
    pub stack: Stack,
    /// The subprogram.
    pub subprog: usize,
    /// The instruction that called; `usize::MAX` for the program itself.
    pub callsite: usize,
    /// What a callback may return.
    pub callback_range: Option<RetvalRange>,
    /// It is a callback that the helper calls before it returns.
    pub in_callback: bool,
    /// It is a callback that runs later.
    pub in_async_callback: bool,
    /// It is the exception callback.
    pub in_exception_callback: bool,
    /// How often a callback of the next frame was walked.
    pub callback_depth: u32,
    /// Counts asynchronous callbacks, which tells loops over them apart.
    pub async_entry: u32,
}

impl Frame {
    /// A frame in which nothing holds a value but the frame pointer (`init_func_state`).
    pub fn new(subprog: usize, callsite: usize, number: usize) -> Self {
        let mut regs = [Reg::not_init(); 11];
        regs[10] = Reg::new(Kind::Stack(number as u8), super::reg::Flags::NONE);
        Self {
            regs,
            stack: Stack::default(),
            subprog,
            callsite,
            callback_range: None,
            in_callback: false,
            in_async_callback: false,
            in_exception_callback: false,
            callback_depth: 0,
            async_entry: 0,
        }
    }

    /// Bytes of stack that were touched (`allocated_stack`).
    pub fn allocated(&self) -> i64 {
        self.stack.len() as i64 * 8
    }

    /// Its registers, and registers in its stack.
    pub fn all_regs(&self) -> impl Iterator<Item = &Reg> {
        let spilled = self.stack.iter().filter(|slot| slot.is_spilled());
        self.regs.iter().chain(spilled.map(|slot| &slot.reg))
    }

    /// Has the stack at least so many bytes (`grow_stack_state`).
    pub fn grow(&mut self, bytes: i64) {
        let slots = usize::try_from((bytes + 7) / 8).unwrap_or(0);
        if slots > self.stack.len() {
            self.stack.resize(slots, Slot::invalid());
        }
    }
}

/// What kind of thing is held (`enum ref_state_type`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HeldKind {
    /// A reference.
    Pointer,
    /// Saved interrupt flags.
    Irq,
    /// A `bpf_spin_lock`.
    Lock,
    /// A `bpf_res_spin_lock`.
    ResLock,
    /// A `bpf_res_spin_lock` with interrupts off.
    ResLockIrq,
}

impl HeldKind {
    /// It is a lock.
    pub fn is_lock(self) -> bool {
        matches!(self, Self::Lock | Self::ResLock | Self::ResLockIrq)
    }
}

/// Where a lock lies: what tells two pointers to it apart (`reg->map_ptr` or `reg->btf`, and the id).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LockPlace {
    /// In the value of a map.
    Map(super::reg::MapRef),
    /// In an object of a BTF.
    Object(super::reg::BtfOf),
}

/// Something that is held (`struct bpf_reference_state`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// What kind of thing.
    pub kind: HeldKind,
    /// Its id.
    pub id: u32,
    /// The instruction that took it.
    pub insn: usize,
    /// The reference that it is part of (7.3), 0 is none.
    pub parent_id: u32,
    /// Where a lock lies.
    pub place: Option<LockPlace>,
}

/// The state of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// The call stack.
    pub frames: Frames,
    /// What is held.
    pub held: Vec<Held>,
    /// How many locks are held.
    pub active_locks: u32,
    /// How often preemption is off.
    pub active_preempt_locks: u32,
    /// How often an RCU read lock is held.
    pub active_rcu_locks: u32,
    /// The innermost saved interrupt flags, 0 is none.
    pub active_irq_id: u32,
    /// The innermost lock: its id and place.
    pub active_lock: Option<(u32, LockPlace)>,
    /// It may sleep.
    pub in_sleepable: bool,
    /// How deep the walk is below the first state (`dfs_depth`).
    pub dfs_depth: u32,
    /// How often callbacks were walked again.
    pub callback_unroll_depth: u32,
    /// How often a `may_goto` was passed.
    pub may_goto_depth: u32,
    /// The path depends on a value that user space may set.
    pub on_knob: bool,
}

impl State {
    /// A path that begins in a frame.
    pub fn new(frame: Frame, in_sleepable: bool) -> Self {
        Self {
            frames: Frames::from(frame),
            held: Vec::new(),
            active_locks: 0,
            active_preempt_locks: 0,
            active_rcu_locks: 0,
            active_irq_id: 0,
            active_lock: None,
            in_sleepable,
            dfs_depth: 0,
            callback_unroll_depth: 0,
            may_goto_depth: 0,
            on_knob: false,
        }
    }

    /// The number of the current frame.
    pub fn current(&self) -> usize {
        self.frames.len() - 1
    }

    /// The current frame.
    pub fn frame(&self) -> &Frame {
        // SANITY: a state is made with a frame, and the last one is never taken off.
        &self.frames[self.frames.len() - 1]
    }

    /// The current frame, to be changed.
    pub fn frame_mut(&mut self) -> &mut Frame {
        let last = self.frames.len() - 1;
        &mut self.frames[last]
    }

    /// A reference of that id is held.
    pub fn holds(&self, id: u32) -> bool {
        id != 0 && self.held.iter().any(|held| held.id == id && held.kind == HeldKind::Pointer)
    }

    /// How many references are held (`acquired_refs` counts them with locks and flags).
    pub fn references(&self) -> usize {
        self.held.iter().filter(|held| held.kind == HeldKind::Pointer).count()
    }

    /// Changes registers, and registers in the stack, of every frame (`bpf_for_each_reg_in_vstate`): those that the first function
    /// picks. Frames without one stay shared with other states.
    pub fn change_regs(&mut self, picks: impl Fn(&Reg) -> bool, mut change: impl FnMut(&mut Reg)) {
        for number in 0..self.frames.len() {
            if !self.frames[number].all_regs().any(&picks) {
                continue;
            }
            let frame = &mut self.frames[number];
            frame.regs.iter_mut().filter(|reg| picks(reg)).for_each(&mut change);
            let is_meant = |slot: &Slot| slot.is_spilled() && picks(&slot.reg);
            if frame.stack.iter().any(is_meant) {
                for slot in frame.stack.iter_mut().filter(|slot| is_meant(slot)) {
                    change(&mut slot.reg);
                }
            }
        }
    }

    /// The registers, and registers in the stack, of every frame.
    pub fn all_regs(&self) -> impl Iterator<Item = &Reg> {
        self.frames.iter().flat_map(Frame::all_regs)
    }

    /// Calls a function for each slot that holds a register, dynptr or iterator too.
    pub fn each_slot(&mut self, mut change: impl FnMut(&mut Slot)) {
        for frame in &mut self.frames {
            frame.stack.iter_mut().for_each(&mut change);
        }
    }
}

/// The stack of a frame; the first slot is the one below r10.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stack(Rc<Vec<Slot>>);

impl Deref for Stack {
    type Target = Vec<Slot>;

    fn deref(&self) -> &Vec<Slot> {
        &self.0
    }
}

impl DerefMut for Stack {
    fn deref_mut(&mut self) -> &mut Vec<Slot> {
        Rc::make_mut(&mut self.0)
    }
}

impl<'s> IntoIterator for &'s Stack {
    type Item = &'s Slot;
    type IntoIter = std::slice::Iter<'s, Slot>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl<'s> IntoIterator for &'s mut Stack {
    type Item = &'s mut Slot;
    type IntoIter = std::slice::IterMut<'s, Slot>;

    fn into_iter(self) -> Self::IntoIter {
        Rc::make_mut(&mut self.0).iter_mut()
    }
}

/// Frames, the outermost first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Frames(Vec<Rc<Frame>>);

impl Frames {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// There is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// One of them.
    pub fn get(&self, number: usize) -> Option<&Frame> {
        self.0.get(number).map(Rc::as_ref)
    }

    /// One of them, to be changed.
    pub fn get_mut(&mut self, number: usize) -> Option<&mut Frame> {
        self.0.get_mut(number).map(Rc::make_mut)
    }

    /// All of them.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Frame> + ExactSizeIterator {
        self.0.iter().map(Rc::as_ref)
    }

    /// One more is called.
    pub fn push(&mut self, frame: Frame) {
        self.0.push(Rc::new(frame));
    }

    /// The innermost one returns.
    pub fn pop(&mut self) {
        self.0.pop();
    }

    /// None is left.
    pub fn clear(&mut self) {
        self.0 = Vec::new();
    }
}

impl From<Frame> for Frames {
    fn from(frame: Frame) -> Self {
        Self(vec![Rc::new(frame)])
    }
}

impl Index<usize> for Frames {
    type Output = Frame;

    fn index(&self, number: usize) -> &Frame {
        &self.0[number]
    }
}

impl IndexMut<usize> for Frames {
    fn index_mut(&mut self, number: usize) -> &mut Frame {
        Rc::make_mut(&mut self.0[number])
    }
}

impl<'f> IntoIterator for &'f Frames {
    type Item = &'f Frame;
    type IntoIter = std::iter::Map<std::slice::Iter<'f, Rc<Frame>>, fn(&'f Rc<Frame>) -> &'f Frame>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter().map(Rc::as_ref)
    }
}

impl<'f> IntoIterator for &'f mut Frames {
    type Item = &'f mut Frame;
    type IntoIter =
        std::iter::Map<std::slice::IterMut<'f, Rc<Frame>>, fn(&'f mut Rc<Frame>) -> &'f mut Frame>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter_mut().map(Rc::make_mut)
    }
}
