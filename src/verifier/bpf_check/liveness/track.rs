//! Which frame's stack a register may point to, and where (`struct arg_track`).

/// Offsets that are told apart (`MAX_ARG_OFFSETS`).
const MOST: usize = 4;
/// Slots of a stack.
pub const SLOTS: usize = 64;

/// Whose stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Whose {
    /// Nothing leads here.
    #[default]
    Unvisited,
    /// Nobody's: no address of a stack.
    Nobody,
    /// A frame's.
    Frame(u8),
    /// That of one of these frames, by bit.
    Some(u16),
}

/// What a register may point to.
#[derive(Debug, Clone, Copy, Default)]
pub struct Track {
    /// Whose stack.
    pub whose: Whose,
    count: u8,
    offsets: [i16; MOST],
}

impl PartialEq for Track {
    fn eq(&self, other: &Self) -> bool {
        self.whose == other.whose
            && match self.whose {
                Whose::Frame(_) => self.offsets() == other.offsets(),
                _ => true,
            }
    }
}

impl Track {
    /// No address of a stack.
    pub const NONE: Self = Self { whose: Whose::Nobody, count: 0, offsets: [0; MOST] };
    /// Nothing leads here.
    pub const UNVISITED: Self = Self { whose: Whose::Unvisited, count: 0, offsets: [0; MOST] };

    /// An address in a frame's stack.
    pub fn at(frame: u8, offset: i16) -> Self {
        Self { whose: Whose::Frame(frame), count: 1, offsets: [offset, 0, 0, 0] }
    }

    /// Anywhere in the stack of a frame.
    fn anywhere(frame: u8) -> Self {
        Self { whose: Whose::Frame(frame), ..Self::NONE }
    }

    /// Anywhere in the stack of one of these frames.
    pub fn some(mask: u16) -> Self {
        Self { whose: Whose::Some(mask), ..Self::NONE }
    }

    /// Anywhere in the stack of a frame up to this one.
    pub fn any_up_to(depth: u8) -> Self {
        Self::some(((1_u32 << (depth + 1)) - 1) as u16)
    }

    /// Where, from the frame pointer, if that is known.
    pub fn offsets(&self) -> &[i16] {
        &self.offsets[..usize::from(self.count)]
    }

    /// Something leads here.
    pub fn is_visited(&self) -> bool {
        self.whose != Whose::Unvisited
    }

    /// It may point to a stack.
    pub fn is_pointer(&self) -> bool {
        matches!(self.whose, Whose::Frame(_) | Whose::Some(_))
    }

    /// It may point to the stack of the frame itself (`can_be_local_fp`).
    pub fn may_be_own(&self, depth: u8) -> bool {
        match self.whose {
            Whose::Frame(frame) => frame == depth,
            Whose::Some(mask) => mask & 1 << depth != 0,
            _ => false,
        }
    }

    fn frames(&self) -> u16 {
        match self.whose {
            Whose::Frame(frame) => 1 << frame,
            Whose::Some(mask) => mask,
            _ => 0,
        }
    }

    fn joined_offsets(frame: u8, one: &[i16], other: &[i16]) -> Self {
        let mut all: Vec<i16> = one.iter().chain(other).copied().collect();
        all.sort_unstable();
        all.dedup();
        if all.len() > MOST {
            return Self::anywhere(frame);
        }
        let mut offsets = [0; MOST];
        offsets[..all.len()].copy_from_slice(&all);
        Self { whose: Whose::Frame(frame), count: all.len() as u8, offsets }
    }

    /// What is true if either is (`__arg_track_join`).
    pub fn join(self, other: Self) -> Self {
        match (self.whose, other.whose) {
            (_, Whose::Unvisited) => self,
            (Whose::Unvisited, _) => other,
            (Whose::Frame(frame), Whose::Frame(same)) if frame == same => {
                if self == other {
                    self
                } else if self.count == 0 || other.count == 0 {
                    Self::anywhere(frame)
                } else {
                    Self::joined_offsets(frame, self.offsets(), other.offsets())
                }
            }
            (Whose::Nobody, Whose::Nobody) => self,
            // An offset of 0 keeps writes there from being sure ones.
            (Whose::Frame(frame), Whose::Nobody) if self.count == 1 => {
                Self::joined_offsets(frame, self.offsets(), &[0])
            }
            (Whose::Frame(_), Whose::Nobody) => self,
            (Whose::Nobody, Whose::Frame(frame)) if other.count == 1 => {
                Self::joined_offsets(frame, other.offsets(), &[0])
            }
            (Whose::Nobody, Whose::Frame(_)) => other,
            _ => Self::some(self.frames() | other.frames()),
        }
    }

    /// After arithmetic with another register (`arg_track_alu64`).
    pub fn computed_with(self, other: Self) -> Self {
        match (self.whose, other.whose) {
            (Whose::Frame(frame), Whose::Nobody) | (Whose::Nobody, Whose::Frame(frame)) => {
                Self::anywhere(frame)
            }
            (Whose::Frame(frame), Whose::Frame(same)) if frame == same => Self::anywhere(frame),
            (Whose::Nobody, Whose::Nobody) => self,
            _ => Self::some(self.frames() | other.frames()),
        }
    }

    /// After arithmetic that leaves no offset known.
    pub fn without_offset(self) -> Self {
        match self.whose {
            Whose::Frame(frame) => Self::anywhere(frame),
            _ => self,
        }
    }

    /// With something added to it (`arg_padd`).
    pub fn plus(mut self, delta: i64) -> Self {
        let Whose::Frame(frame) = self.whose else { return self };
        for offset in &mut self.offsets[..usize::from(self.count)] {
            match i16::try_from(delta).ok().and_then(|delta| offset.checked_add(delta)) {
                Some(sum) => *offset = sum,
                None => return Self::anywhere(frame),
            }
        }
        self
    }
}

/// The slot at an offset from the frame pointer (`fp_off_to_slot`).
pub fn slot_at(offset: i16) -> Option<usize> {
    let below = -i32::from(offset);
    (below > 0 && below <= 512 && below % 8 == 0).then(|| (below / 8 - 1) as usize)
}
