//! Section names to program types, by the table `section_defs` of libbpf.

use crate::libbpf::Libbpf;
use crate::object::kind::ProgramKind;

/// Patterns that every release knows; a trailing `+` stands for the bare name or the name, a slash and anything.
const DEFS: &[(&str, &str)] = &[
    ("socket", "socket_filter"),
    ("sk_reuseport/migrate", "sk_reuseport"),
    ("sk_reuseport", "sk_reuseport"),
    ("kprobe+", "kprobe"),
    ("uprobe+", "kprobe"),
    ("uprobe.s+", "kprobe"),
    ("kretprobe+", "kprobe"),
    ("uretprobe+", "kprobe"),
    ("uretprobe.s+", "kprobe"),
    ("kprobe.multi+", "kprobe"),
    ("kretprobe.multi+", "kprobe"),
    ("kprobe.session+", "kprobe"),
    ("uprobe.multi+", "kprobe"),
    ("uretprobe.multi+", "kprobe"),
    ("uprobe.session+", "kprobe"),
    ("uprobe.multi.s+", "kprobe"),
    ("uretprobe.multi.s+", "kprobe"),
    ("uprobe.session.s+", "kprobe"),
    ("ksyscall+", "kprobe"),
    ("kretsyscall+", "kprobe"),
    ("usdt+", "kprobe"),
    ("usdt.s+", "kprobe"),
    ("tc/ingress", "sched_cls"),
    ("tc/egress", "sched_cls"),
    ("tcx/ingress", "sched_cls"),
    ("tcx/egress", "sched_cls"),
    ("tc", "sched_cls"),
    ("classifier", "sched_cls"),
    ("action", "sched_act"),
    ("netkit/primary", "sched_cls"),
    ("netkit/peer", "sched_cls"),
    ("tracepoint+", "tracepoint"),
    ("tp+", "tracepoint"),
    ("raw_tracepoint+", "raw_tracepoint"),
    ("raw_tp+", "raw_tracepoint"),
    ("raw_tracepoint.w+", "raw_tracepoint_writable"),
    ("raw_tp.w+", "raw_tracepoint_writable"),
    ("tp_btf+", "tracing"),
    ("fentry+", "tracing"),
    ("fmod_ret+", "tracing"),
    ("fexit+", "tracing"),
    ("fentry.s+", "tracing"),
    ("fmod_ret.s+", "tracing"),
    ("fexit.s+", "tracing"),
    ("fsession+", "tracing"),
    ("fsession.s+", "tracing"),
    ("freplace+", "ext"),
    ("lsm+", "lsm"),
    ("lsm.s+", "lsm"),
    ("lsm_cgroup+", "lsm"),
    ("iter+", "tracing"),
    ("iter.s+", "tracing"),
    ("syscall", "syscall"),
    ("xdp.frags/devmap", "xdp"),
    ("xdp/devmap", "xdp"),
    ("xdp.frags/cpumap", "xdp"),
    ("xdp/cpumap", "xdp"),
    ("xdp.frags", "xdp"),
    ("xdp", "xdp"),
    ("perf_event", "perf_event"),
    ("lwt_in", "lwt_in"),
    ("lwt_out", "lwt_out"),
    ("lwt_xmit", "lwt_xmit"),
    ("lwt_seg6local", "lwt_seg6local"),
    ("sockops", "sock_ops"),
    ("sk_skb/stream_parser", "sk_skb"),
    ("sk_skb/stream_verdict", "sk_skb"),
    ("sk_skb/verdict", "sk_skb"),
    ("sk_skb", "sk_skb"),
    ("sk_msg", "sk_msg"),
    ("lirc_mode2", "lirc_mode2"),
    ("flow_dissector", "flow_dissector"),
    ("cgroup_skb/ingress", "cgroup_skb"),
    ("cgroup_skb/egress", "cgroup_skb"),
    ("cgroup/skb", "cgroup_skb"),
    ("cgroup/sock_create", "cgroup_sock"),
    ("cgroup/sock_release", "cgroup_sock"),
    ("cgroup/sock", "cgroup_sock"),
    ("cgroup/post_bind4", "cgroup_sock"),
    ("cgroup/post_bind6", "cgroup_sock"),
    ("cgroup/bind4", "cgroup_sock_addr"),
    ("cgroup/bind6", "cgroup_sock_addr"),
    ("cgroup/connect4", "cgroup_sock_addr"),
    ("cgroup/connect6", "cgroup_sock_addr"),
    ("cgroup/connect_unix", "cgroup_sock_addr"),
    ("cgroup/sendmsg4", "cgroup_sock_addr"),
    ("cgroup/sendmsg6", "cgroup_sock_addr"),
    ("cgroup/sendmsg_unix", "cgroup_sock_addr"),
    ("cgroup/recvmsg4", "cgroup_sock_addr"),
    ("cgroup/recvmsg6", "cgroup_sock_addr"),
    ("cgroup/recvmsg_unix", "cgroup_sock_addr"),
    ("cgroup/getpeername4", "cgroup_sock_addr"),
    ("cgroup/getpeername6", "cgroup_sock_addr"),
    ("cgroup/getpeername_unix", "cgroup_sock_addr"),
    ("cgroup/getsockname4", "cgroup_sock_addr"),
    ("cgroup/getsockname6", "cgroup_sock_addr"),
    ("cgroup/getsockname_unix", "cgroup_sock_addr"),
    ("cgroup/sysctl", "cgroup_sysctl"),
    ("cgroup/getsockopt", "cgroup_sockopt"),
    ("cgroup/setsockopt", "cgroup_sockopt"),
    ("cgroup/dev", "cgroup_device"),
    ("struct_ops+", "struct_ops"),
    ("struct_ops.s+", "struct_ops"),
    ("sk_lookup", "sk_lookup"),
    ("netfilter", "netfilter"),
];

/// Patterns that came with 1.8. None of them matches what one of the older ones matches.
const SINCE_1_8: &[(&str, &str)] = &[
    ("tracepoint.s+", "tracepoint"),
    ("tp.s+", "tracepoint"),
    ("raw_tracepoint.s+", "raw_tracepoint"),
    ("raw_tp.s+", "raw_tracepoint"),
    ("tp_btf.s+", "tracing"),
    ("fentry.multi+", "tracing"),
    ("fentry.multi.s+", "tracing"),
    ("fexit.multi+", "tracing"),
    ("fexit.multi.s+", "tracing"),
    ("fsession.multi+", "tracing"),
    ("fsession.multi.s+", "tracing"),
];

/// What a section name says of the programs in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Class {
    pub(super) kind: ProgramKind,
    pub(super) sleepable: bool,
    /// The first release that knows the name.
    pub(super) since: Libbpf,
}

/// What a section name (its `?` already dropped) says to a release of libbpf.
pub(super) fn classify(section: &str, libbpf: Libbpf) -> Class {
    let matches = |pattern: &str| match pattern.strip_suffix('+') {
        Some(name) => section.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')),
        None => pattern == section,
    };
    let tables = [(DEFS, Libbpf::V1_7), (SINCE_1_8, Libbpf::V1_8)];
    let found = tables.into_iter().find_map(|(defs, since)| {
        let (pattern, kind) = defs.iter().find(|(pattern, _)| matches(pattern))?;
        Some((*pattern, *kind, since))
    });
    let Some((pattern, kind, since)) = found else {
        return Class { kind: ProgramKind::UNSPEC, sleepable: false, since: Libbpf::V1_7 };
    };
    if since > libbpf {
        return Class { kind: ProgramKind::UNSPEC, sleepable: false, since };
    }
    Class { kind: ProgramKind(kind), sleepable: pattern.ends_with(".s+") || kind == "syscall", since }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_after_a_slash_are_free_and_others_are_not() {
        let of = |section| {
            let class = classify(section, Libbpf::default());
            (class.kind, class.sleepable)
        };
        assert_eq!(of("struct_ops"), (ProgramKind::STRUCT_OPS, false));
        assert_eq!(of("struct_ops/enqueue"), (ProgramKind::STRUCT_OPS, false));
        assert_eq!(of("struct_ops.s/init"), (ProgramKind::STRUCT_OPS, true));
        assert_eq!(of("struct_opsx/init"), (ProgramKind::UNSPEC, false));
        assert_eq!(of("syscall"), (ProgramKind::SYSCALL, true));
        assert_eq!(of("syscall/x"), (ProgramKind::UNSPEC, false));
        assert_eq!(of("fentry.s/do_exit").0.as_str(), "tracing");
    }

    #[test]
    fn sleepable_tracepoints_and_multi_programs_came_with_1_8() {
        for (section, kind, sleepable) in [
            ("tp.s/syscalls/sys_enter_nanosleep", "tracepoint", true),
            ("tracepoint.s", "tracepoint", true),
            ("raw_tp.s/sys_enter", "raw_tracepoint", true),
            ("raw_tracepoint.s/sys_enter", "raw_tracepoint", true),
            ("tp_btf.s/sys_enter", "tracing", true),
            ("fentry.multi/bpf_*", "tracing", false),
            ("fexit.multi.s", "tracing", true),
            ("fsession.multi", "tracing", false),
        ] {
            let new = classify(section, Libbpf::V1_8);
            assert_eq!((new.kind.as_str(), new.sleepable, new.since), (kind, sleepable, Libbpf::V1_8));
            let old = classify(section, Libbpf::V1_7);
            assert_eq!((old.kind, old.since), (ProgramKind::UNSPEC, Libbpf::V1_8), "{section}");
        }
        for section in ["tp.sx", "tp.w/x", "fentry.multix", "fmod_ret.multi"] {
            assert_eq!(classify(section, Libbpf::V1_8).kind, ProgramKind::UNSPEC, "{section}");
        }
        // A pattern of the newer table would be found too late if an older one took its names.
        for (pattern, _) in SINCE_1_8 {
            let name = pattern.trim_end_matches('+');
            assert_eq!(classify(name, Libbpf::V1_8).since, Libbpf::V1_8, "{name}");
        }
    }
}
