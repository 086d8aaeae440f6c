//! What kernels enforce in more than one way.

/// Which arena rule a kernel enforces for cid-form schedulers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KernelArenaRule {
    /// It has no cid-form schedulers.
    None,
    /// Exactly one arena (7.2, 7.3).
    One,
    /// Exactly one arena, created with the flag of this value.
    Always(u32),
}

impl KernelArenaRule {
    /// The word used in JSON and in texts.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::One => "one",
            Self::Always(_) => "always",
        }
    }
}

/// How a kernel keeps a kfunc to the callbacks that may call it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KfuncGate {
    /// A mask in the task, checked when the kfunc runs: the scheduler is ejected (6.12 to 7.0).
    RunTime,
    /// A filter of the verifier: the program does not load (7.1 and later).
    Verifier,
}
