//! Live mode: asks a real kernel, on this machine or in a throwaway guest, and compares.
//!
//! ```text
//! scx-lint --attach ──> supervise ── pipe ──> worker: attach::run      (this machine)
//! scx-lint --vm ──> vm ── QEMU, serial line ──> guest ── pipe ──> worker (one boot for many objects)
//!                                              └─ Observation, as JSON, all the way back ─> agree, text
//! ```
//!
//! Without the feature `live` only the options exist, and what reads a log of the verifier, which needs no kernel.

pub mod args;

#[cfg(feature = "live")]
pub mod agree;
#[cfg(feature = "live")]
pub mod attach;
#[cfg(feature = "live")]
pub mod difference;
#[cfg(feature = "live")]
mod edits;
#[cfg(feature = "live")]
pub mod guest;
#[cfg(feature = "live")]
pub mod initramfs;
#[cfg(feature = "live")]
mod kconfig;
#[cfg(feature = "live")]
mod kmsg;
pub mod observation;
#[cfg(feature = "live")]
mod run;
#[cfg(feature = "live")]
pub mod running;
#[cfg(feature = "live")]
mod runs;
#[cfg(feature = "live")]
pub mod statistics;
#[cfg(feature = "live")]
pub mod supervise;
#[cfg(feature = "live")]
mod sys;
#[cfg(feature = "live")]
mod text;
pub mod verifier;
#[cfg(feature = "live")]
pub mod vm;
#[cfg(feature = "live")]
pub mod wire;
#[cfg(feature = "live")]
mod workload;

#[cfg(feature = "live")]
pub use run::{Asked, Input, Live, check_files, own_role, run};
#[cfg(feature = "live")]
pub use runs::runs;
#[cfg(feature = "live")]
pub use text::{concise, full};

/// What a build without the feature says to `--attach` and `--vm`.
pub const MISSING: &str = "this build cannot ask a kernel (--attach, --vm): it lacks the feature 'live'. Build one with \
    'cargo install scx-lint --features live'; that needs a C compiler, make, pkg-config and the headers of libelf and zlib";

/// The name under which reports know a map: an internal map's section, else the C name. libbpf puts the object's
/// name in front of `.bss`, `.data`, `.rodata` and `.kconfig`; no C name has a dot.
#[cfg(feature = "live")]
fn map_name(name: &str) -> &str {
    name.find('.').map_or(name, |at| &name[at..])
}

/// What an error number of libbpf or the kernel means at a phase, where it means one thing.
#[cfg(feature = "live")]
pub fn meaning(errno: crate::errno::Errno, phase: crate::rule::Phase) -> Option<&'static str> {
    use crate::errno::Errno;
    use crate::rule::Phase::{Attach, Load, Open};
    Some(match (phase, errno) {
        (Attach, Errno::EBUSY) => "another scheduler is enabled, or this one's last detach is not finished",
        (Attach, Errno::EINVAL) => "the kernel refuses the ops; the kernel log may say why",
        (Attach, Errno::E2BIG) => "a value in the ops is too large",
        (Attach, Errno::ENODEV) => "a sub-scheduler needs a root scheduler",
        (Attach, Errno::EOPNOTSUPP) => "the parent scheduler takes no sub-schedulers",
        (Attach, Errno::ENOENT) => "no cgroup has the id in sub_cgroup_id",
        (_, Errno::ENOMEM) => "the kernel is out of memory, or an area that it allocates would be too large",
        (Open, Errno::LIBBPF_ERRNO__FORMAT) => "not a BPF object that libbpf can read",
        (Open, Errno::ENOENT) => "something that the file names is missing from it",
        (Open, Errno::EINVAL) => "libbpf refuses a definition in the file",
        (Open, Errno::EOPNOTSUPP) => "libbpf does not support a definition in the file",
        (Load, Errno::EPERM) => "no permission: loading needs CAP_BPF and CAP_PERFMON",
        (Load, Errno::ESRCH) => "the kernel lacks a type, function or variable that the object needs",
        (Load, Errno::EACCES) => "the verifier refuses an access or call",
        (Load, Errno::E2BIG) => "too large: a program for the verifier, or a map",
        (Load, Errno::EOPNOTSUPP) => "the object's ops type does not fit the kernel's",
        (Load, Errno::ENOTSUPP) => "the kernel does not support an op or a type",
        (Load, Errno::LIBBPF_ERRNO__RELOC) => "libbpf cannot relocate an instruction",
        (Load, Errno::LIBBPF_ERRNO__ENDIAN) => "compiled for the other byte order",
        _ => return None,
    })
}

#[cfg(all(test, feature = "live"))]
mod tests {
    use super::map_name;

    #[test]
    fn internal_maps_go_by_their_section() {
        assert_eq!(map_name("scx_simp.bss"), ".bss");
        assert_eq!(map_name(".data.uei_dump"), ".data.uei_dump");
        assert_eq!(map_name(".rodata.str1.1"), ".rodata.str1.1");
        assert_eq!(map_name("arena"), "arena");
    }
}
