//! Why a command cannot be done: the exit status is 2.

use std::io;

use crate::kernel::target;
#[cfg(not(feature = "live"))]
use crate::live;

#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0}: {1}")]
    Output(String, io::Error),
    #[error("an input is the empty string; is a variable unset?")]
    EmptyInput,
    #[error("'-' is named more than once; standard input can be read once")]
    SeveralStandardInputs,
    #[error("--output {0}: is an input too, the report would overwrite it")]
    OutputIsInput(String),
    #[error("--output {0}: is an object, a program or a kernel, which would be overwritten; remove it first")]
    OutputIsBinary(String),
    #[error("--kconfig is the configuration of kernels, and none is named; --kernel names one")]
    KconfigOfNoKernel,
    #[error("unknown rule '{0}'{1}; 'scx-lint rules' lists all")]
    UnknownRule(String, String),
    #[error("unknown level '{0}', expected allow, note, warn or deny")]
    UnknownLevel(String),
    #[error(transparent)]
    Target(#[from] target::Error),
    #[error("kernel '{0}': {1}")]
    Snapshot(String, crate::kernel::snapshot::Error),
    #[error(
        "kernel '{0}' is a snapshot, or a built-in release, which is one: take the snapshot from the kernel itself"
    )]
    SnapshotOfSnapshot(String),
    #[error("'{0}' names several kernels, expected one")]
    SeveralKernels(String),
    #[error("kernel '{0}': {1}")]
    Kernel(String, crate::btf::Error),
    #[error(transparent)]
    Config(#[from] crate::config::Error),
    #[error("{0}")]
    Setting(String),
    #[error("--level {0}: expected RULE=LEVEL")]
    Level(String),
    #[cfg(not(feature = "live"))]
    #[error("{}", live::MISSING)]
    NoLive,
}
