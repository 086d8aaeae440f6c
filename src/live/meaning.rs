//! What error numbers mean.

use crate::errno::Errno;

/// What an error number of libbpf or the kernel means at a phase, where it means one thing.
pub fn meaning(errno: Errno, phase: &str) -> Option<&'static str> {
    Some(match (phase, errno) {
        ("attach", Errno::EBUSY) => "another scheduler is enabled, or this one's last detach is not finished",
        ("attach", Errno::EINVAL) => "the kernel refuses the ops; the kernel log may say why",
        ("attach", Errno::E2BIG) => "a value in the ops is too large",
        ("attach", Errno::ENODEV) => "a sub-scheduler needs a root scheduler",
        ("attach", Errno::EOPNOTSUPP) => "the parent scheduler takes no sub-schedulers",
        ("attach", Errno::ENOENT) => "no cgroup has the id in sub_cgroup_id",
        (_, Errno::ENOMEM) => "the kernel is out of memory, or an area that it allocates would be too large",
        ("open", Errno::LIBBPF_ERRNO__FORMAT) => "not a BPF object that libbpf can read",
        ("open", Errno::ENOENT) => "something that the file names is missing from it",
        ("open", Errno::EINVAL) => "libbpf refuses a definition in the file",
        ("open", Errno::EOPNOTSUPP) => "libbpf does not support a definition in the file",
        ("load", Errno::EPERM) => "no permission: loading needs CAP_BPF and CAP_PERFMON",
        ("load", Errno::ESRCH) => "the kernel lacks a type, function or variable that the object needs",
        ("load", Errno::EACCES) => "the verifier refuses an access or call",
        ("load", Errno::E2BIG) => "too large: a program for the verifier, or a map",
        ("load", Errno::EOPNOTSUPP) => "the object's ops type does not fit the kernel's",
        ("load", Errno::ENOTSUPP) => "the kernel does not support an op or a type",
        ("load", Errno::LIBBPF_ERRNO__RELOC) => "libbpf cannot relocate an instruction",
        ("load", Errno::LIBBPF_ERRNO__ENDIAN) => "compiled for the other byte order",
        _ => return None,
    })
}
