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

macro_rules! whys {
    ($(#[$attribute:meta])* pub enum $name:ident { $(#[doc = $doc:literal] $why:ident,)+ }) => {
        $(#[$attribute])*
        pub enum $name { $(#[doc = $doc] $why,)+ }

        impl $name {
            /// Every kind.
            pub const ALL: &[Self] = &[$(Self::$why),+];

            /// What it is, in a sentence.
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$why => $doc.trim_ascii(),)+ }
            }
        }
    };
}

whys! {
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
        /// A pointer is computed with as pointers must not be.
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
        /// A lock is held where it must not be, or not held where it must.
        Lock,
        /// An RCU section is not ended, or missing.
        Rcu,
        /// A section without preemption is not ended, or was not begun.
        Preemption,
        /// A section without interrupts is not ended, or was not begun.
        Interrupts,
        /// An iterator is not made, or used otherwise than it may be.
        Iterator,
        /// A dynptr is not made, or used otherwise than it may be.
        Dynptr,
        /// A number is returned that the kernel, or who calls the callback, does not take.
        ReturnValue,
        /// The context is accessed where the program type has nothing, or otherwise than it allows.
        Context,
        /// Memory is written to that may only be read, or accessed against the flags of its map.
        ReadOnly,
        /// An access does not fit a kernel struct, or is not allowed there.
        KernelField,
        /// A map does not go with the program or the helper.
        Map,
        /// A helper is called that the program may not call.
        Helper,
        /// A kfunc is called that the program may not call, or not so.
        Kfunc,
        /// A call may sleep where nothing may.
        Sleep,
        /// A global function has a prototype that the verifier does not take, or is called with what does not fit it.
        GlobalFunction,
        /// A limit of the verifier is reached: instructions, branches or states.
        TooComplex,
        /// A loop has no end that the verifier sees.
        EndlessLoop,
        /// Control flows where it must not: past the end, into code that no path leads to, or out of a callback.
        Flow,
        /// An instruction is one that the kernel does not know.
        Instruction,
        /// The stack is too small, or calls are nested too deep.
        StackDepth,
        /// A kptr, or another special field, is accessed otherwise than it may be.
        Kptr,
        /// A node or root of a list or tree is used without its lock, without owning it, or in another place.
        Graph,
        /// A timer, work queue or task work is not where it must be, or belongs to another map.
        Timer,
        /// An exception is thrown where it cannot be, or its callback is another than allowed.
        Exception,
        /// An arena is used by a program that has none, or otherwise than it may be.
        Arena,
        /// An address is not aligned.
        Misaligned,
        /// A CO-RE relocation found nothing, and its instruction is reached.
        Poison,
        /// A kfunc is called that the kernel lacks.
        MissingKfunc,
        /// Something is divided by the number 0.
        Division,
        /// The program cannot attach to what it names, or not so.
        Attach,
        /// The license is not compatible with the GPL, and what is used asks for that.
        License,
        /// An atomic instruction is one that the memory or the kernel does not take.
        Atomic,
}
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
