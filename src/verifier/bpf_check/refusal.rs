//! What comes of a walk: accepted, refused with the kernel's words, or unknown with a reason.

use crate::errno::Errno;
use crate::kernel::Reason;
use crate::object::{FuncIdx, InsnIdx, MapIdx};

/// What a kernel's verifier makes of one program, loaded alone with its object's maps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verification {
    /// Whether it loads.
    pub outcome: Outcome,
    /// Instructions processed until then, as the kernel counts them (`insn_processed`).
    pub insns: u32,
    /// What the walk read of maps that user space fills before the load: the map, the first byte, how many.
    pub reads: Vec<(MapIdx, u64, u8)>,
}

/// Whether a kernel's verifier takes a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Every path was walked to its end within the kernel's own limits, and nothing on the way was opaque.
    Accepted,
    /// That kernel refuses for certain.
    Refused(Refusal),
    /// It was not walked to the end: why, and where.
    Unknown(Unwalked),
}

/// A refusal of the kernel's verifier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The instruction; `None` for what is refused as a whole.
    pub at: Option<(FuncIdx, InsnIdx)>,
    /// What the load returns.
    pub errno: Errno,
    /// The first line of the log that says why.
    pub message: String,
    /// What kind of mistake it is.
    pub why: Why,
    /// Where the value came from that it is about, where that is known.
    pub origin: Option<Origin>,
}

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The instruction that made it; of an argument the first instruction of the function.
    pub at: (FuncIdx, InsnIdx),
    /// How it was made.
    pub came: Came,
}

/// How a value was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Came {
    /// It was passed to the program, or to a global function: in r1 to r5.
    Argument(u8),
    /// It was passed to a callback.
    Callback,
    /// A function returned it: its name.
    Returned(String),
    /// It was loaded from memory.
    Loaded,
    /// It is a constant.
    Constant,
    /// It was computed from others.
    Computed,
    /// A call was made, which leaves nothing in r1 to r5.
    Clobbered,
}

/// Why a walk did not come to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unwalked {
    /// The instruction; `None` where nothing was walked.
    pub at: Option<(FuncIdx, InsnIdx)>,
    /// What is not modelled, or not known.
    pub reason: Reason,
    /// With what words the kernel refuses if values that are not known lead to where the walk ended.
    pub otherwise: Option<String>,
}

/// What ends a walk early.
#[derive(Debug, Clone)]
pub enum Stop {
    /// The kernel refuses.
    Refused {
        /// What kind of mistake it is.
        why: Why,
        /// What the load returns.
        errno: Errno,
        /// The first line of the log that says why.
        message: String,
    },
    /// Something is not modelled, or not known.
    Unknown(Reason),
}

/// What a step of the walk gives, unless it ends the walk.
pub type Step<T = ()> = Result<T, Stop>;

impl Stop {
    /// The kernel refuses with EACCES, as it does most often.
    pub fn eacces(why: Why, message: impl Into<String>) -> Self {
        Self::Refused { why, errno: Errno::EACCES, message: message.into() }
    }

    /// The kernel refuses with EINVAL.
    pub fn einval(why: Why, message: impl Into<String>) -> Self {
        Self::Refused { why, errno: Errno::EINVAL, message: message.into() }
    }

    /// The kernel refuses with another error.
    pub fn refused(why: Why, errno: Errno, message: impl Into<String>) -> Self {
        Self::Refused { why, errno, message: message.into() }
    }

    /// Something is not modelled.
    pub fn unmodelled(what: impl Into<String>) -> Self {
        Self::Unknown(Reason::from(what.into()))
    }
}

/// The kinds of mistakes that the verifier refuses. A rule claims one or more of them; the rest is `refused-by-verifier`'s.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Why {
    /// A register is read that holds no value.
    UninitializedRegister,
    /// Stack is read that holds no value.
    UninitializedStack,
    /// A pointer that may be NULL is dereferenced or computed with.
    NullDereference,
    /// A pointer that may be NULL is passed where NULL is not taken.
    NullArgument,
    /// A number is used as a pointer.
    NumberAsPointer,
    /// Memory is accessed out of its bounds, or an index has none.
    OutOfBounds,
    /// Arithmetic that pointers do not allow.
    PointerArithmetic,
    /// A pointer is stored on the stack, or loaded from there, otherwise than as a whole.
    Spill,
    /// A pointer is not trusted where that is asked for.
    UntrustedPointer,
    /// An argument is of another type.
    WrongArgument,
    /// A reference is not given back.
    UnreleasedReference,
    /// Something is given back that is not owned.
    UnownedRelease,
    /// A lock is held, or not held, where it must not be.
    Lock,
    /// An RCU section that is not ended, or missing.
    Rcu,
    /// A section without preemption that is not ended.
    Preemption,
    /// A section without interrupts that is not ended.
    Interrupts,
    /// An iterator that is not made, not given back, or used otherwise.
    Iterator,
    /// A dynptr that is not made, not given back, or used otherwise.
    Dynptr,
    /// A number that is returned, or that a callback returns.
    ReturnValue,
    /// An access to the context.
    Context,
    /// A write to what may only be read.
    ReadOnly,
    /// A field of a kernel struct.
    KernelField,
    /// A map that does not go with the program or the helper.
    Map,
    /// A helper that the program may not call.
    Helper,
    /// A kfunc that the program may not call.
    Kfunc,
    /// A call that may sleep where nothing may.
    Sleep,
    /// A call of a global function, or its prototype.
    GlobalFunction,
    /// A limit of the verifier: instructions, branches, states.
    TooComplex,
    /// A loop without an end.
    EndlessLoop,
    /// The flow of control.
    Flow,
    /// An instruction that the kernel does not know.
    Instruction,
    /// Too much stack, or too many frames.
    StackDepth,
    /// A kptr.
    Kptr,
    /// A node or root of a list or tree.
    Graph,
    /// A timer, work queue or task work.
    Timer,
    /// An exception.
    Exception,
    /// An arena.
    Arena,
    /// An address that is not aligned.
    Misaligned,
    /// A CO-RE relocation that found nothing.
    Poison,
    /// A kfunc that the kernel lacks.
    MissingKfunc,
    /// A division by the number 0.
    Division,
    /// What a program attaches to.
    Attach,
    /// The license.
    License,
    /// An atomic operation.
    Atomic,
}

impl Why {
    /// All of them.
    pub const ALL: [Self; 44] = [
        Self::UninitializedRegister,
        Self::UninitializedStack,
        Self::NullDereference,
        Self::NullArgument,
        Self::NumberAsPointer,
        Self::OutOfBounds,
        Self::PointerArithmetic,
        Self::Spill,
        Self::UntrustedPointer,
        Self::WrongArgument,
        Self::UnreleasedReference,
        Self::UnownedRelease,
        Self::Lock,
        Self::Rcu,
        Self::Preemption,
        Self::Interrupts,
        Self::Iterator,
        Self::Dynptr,
        Self::ReturnValue,
        Self::Context,
        Self::ReadOnly,
        Self::KernelField,
        Self::Map,
        Self::Helper,
        Self::Kfunc,
        Self::Sleep,
        Self::GlobalFunction,
        Self::TooComplex,
        Self::EndlessLoop,
        Self::Flow,
        Self::Instruction,
        Self::StackDepth,
        Self::Kptr,
        Self::Graph,
        Self::Timer,
        Self::Exception,
        Self::Arena,
        Self::Misaligned,
        Self::Poison,
        Self::MissingKfunc,
        Self::Division,
        Self::Attach,
        Self::License,
        Self::Atomic,
    ];
}

impl Stop {
    /// What comes of a program that is not walked at all.
    pub fn into_outcome(self) -> Outcome {
        match self {
            Self::Refused { why, errno, message } => {
                Outcome::Refused(Refusal { at: None, errno, message, why, origin: None })
            }
            Self::Unknown(reason) => Outcome::Unknown(Unwalked { at: None, reason, otherwise: None }),
        }
    }
}
