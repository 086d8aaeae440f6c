//! A function of the program that a helper or kfunc is given to call.

/// When the verifier walks a callback, and with what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallbackKind {
    /// If r1 may be above 0.
    Loop,
    /// Always; it gets the key and the value of a map's element as its second and third argument.
    Element,
    /// Always.
    Plain,
}

/// The callback that a call takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Callback {
    /// The register that holds its address.
    pub register: u8,
    /// When it is walked.
    pub kind: CallbackKind,
    /// It runs some time later, not before the call returns (kernel `is_async_callback_calling_function`,
    /// `is_async_callback_calling_kfunc`).
    pub later: bool,
}

impl Callback {
    /// One that is called before the call returns.
    pub(super) const fn now(register: u8, kind: CallbackKind) -> Self {
        Self { register, kind, later: false }
    }

    /// One that is called some time later.
    pub(super) const fn later(register: u8, kind: CallbackKind) -> Self {
        Self { register, kind, later: true }
    }
}
