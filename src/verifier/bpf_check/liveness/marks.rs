//! Which parts of stacks a function reads and writes, and what is live in them (`struct func_instance`).

use super::graph::Graph;

/// Halves of slots of a stack, by bit (`spis_t`).
pub type Halves = u128;

/// The lower half of each slot.
const LOW: Halves = Halves::MAX / 3;

/// Whole slots, of which a half is among these.
pub fn touched_slots(halves: Halves) -> Halves {
    halves | (halves & LOW) << 1 | (halves & !LOW) >> 1
}

/// Whole slots, of which both halves are among these.
pub fn whole_slots(halves: Halves) -> Halves {
    let low = halves & LOW & (halves & !LOW) >> 1;
    low | low << 1
}

/// What an instruction does with a frame's stack.
#[derive(Debug, Clone, Copy, Default)]
pub struct Masks {
    /// What it may read.
    pub reads: Halves,
    /// What it surely writes.
    pub writes: Halves,
    /// What it, or what comes after it, may read.
    pub live: Halves,
}

/// A function as it is called from one place, so many calls deep.
#[derive(Debug, Clone, Default)]
pub struct Instance {
    /// The call, or the function's start where nothing called it.
    pub callsite: usize,
    /// How many calls deep.
    pub depth: u8,
    /// The function.
    pub subprog: usize,
    /// Its first instruction.
    pub start: usize,
    /// Number of its instructions.
    pub len: usize,
    /// By frame, by instruction.
    pub frames: Vec<Option<Vec<Masks>>>,
    /// It was looked at before.
    pub is_complete: bool,
}

impl Instance {
    /// Of which nothing is known yet.
    pub fn new(callsite: usize, depth: u8, subprog: usize, start: usize, len: usize) -> Self {
        let frames = vec![None; usize::from(depth) + 1];
        Self { callsite, depth, subprog, start, len, frames, is_complete: false }
    }

    /// The same, of which nothing is known.
    pub fn fresh(&self) -> Self {
        Self::new(self.callsite, self.depth, self.subprog, self.start, self.len)
    }

    fn masks(&mut self, frame: u8, insn: usize) -> Option<&mut Masks> {
        let len = self.len;
        let masks = self.frames.get_mut(usize::from(frame))?;
        masks.get_or_insert_with(|| vec![Masks::default(); len]).get_mut(insn.checked_sub(self.start)?)
    }

    /// An instruction may read parts of a frame's stack.
    pub fn reads(&mut self, frame: u8, insn: usize, halves: Halves) {
        if let Some(masks) = self.masks(frame, insn) {
            masks.reads |= halves;
        }
    }

    /// An instruction surely writes parts of a frame's stack.
    pub fn writes(&mut self, frame: u8, insn: usize, halves: Halves) {
        if let Some(masks) = self.masks(frame, insn) {
            masks.writes |= halves;
        }
    }

    /// What may be read at an instruction or later; `None` where nothing is known of the frame.
    pub fn live_before(&self, frame: usize, insn: usize) -> Option<Halves> {
        let masks = self.frames.get(frame)?.as_ref()?;
        masks.get(insn.checked_sub(self.start)?).map(|masks| masks.live)
    }

    /// Adds what another look at the same function told (`merge_instances`).
    pub fn merge(&mut self, other: Self) {
        for (mine, theirs) in self.frames.iter_mut().zip(other.frames) {
            match (mine, theirs) {
                (Some(mine), None) => mine.iter_mut().for_each(|masks| masks.writes = 0),
                (mine @ None, Some(mut theirs)) => {
                    theirs.iter_mut().for_each(|masks| masks.writes = 0);
                    *mine = Some(theirs);
                }
                (Some(mine), Some(theirs)) => {
                    for (mine, theirs) in mine.iter_mut().zip(theirs) {
                        mine.reads |= theirs.reads;
                        mine.writes &= theirs.writes;
                    }
                }
                (None, None) => {}
            }
        }
    }

    /// Works out what is live before each instruction (`update_instance`).
    pub fn update(&mut self, graph: &Graph) {
        self.is_complete = true;
        let start = self.start;
        for masks in self.frames.iter_mut().flatten() {
            let mut changed = true;
            while changed {
                changed = false;
                for &at in graph.function(self.subprog) {
                    let mut after = 0;
                    let mut ends = true;
                    for next in graph.successors(at) {
                        ends = false;
                        after |=
                            next.checked_sub(start).and_then(|at| masks.get(at)).map_or(0, |next| next.live);
                    }
                    // An instruction that nothing follows keeps nothing alive.
                    if ends {
                        continue;
                    }
                    let Some(own) = masks.get_mut(at - start) else { continue };
                    let before = (after & !own.writes) | own.reads;
                    changed |= own.live != before;
                    own.live = before;
                }
            }
        }
    }
}
