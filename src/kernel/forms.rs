//! The two forms of schedulers, by CPU and by cid.

/// The cpu-form name of a callback; the two forms share their slots in the kernel.
pub fn cpu_name(member: &str) -> &str {
    match member {
        "select_cid" => "select_cpu",
        "set_cmask" => "set_cpumask",
        "cid_online" => "cpu_online",
        "cid_offline" => "cpu_offline",
        "dump_cid" => "dump_cpu",
        "cpuctl_init" => "cgroup_init",
        "cpuctl_exit" => "cgroup_exit",
        "cpuctl_prep_move" => "cgroup_prep_move",
        "cpuctl_move" => "cgroup_move",
        "cpuctl_cancel_move" => "cgroup_cancel_move",
        "cpuctl_set_weight" => "cgroup_set_weight",
        "cpuctl_set_bandwidth" => "cgroup_set_bandwidth",
        "cpuctl_set_idle" => "cgroup_set_idle",
        other => other,
    }
}
