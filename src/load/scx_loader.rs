//! What scx's loaders do to an ops variable between open and load: `SCX_OPS_OPEN` and `SCX_OPS_LOAD` of the C headers,
//! `scx_ops_open!` and `scx_ops_load!` of scx_utils.

/// Members that they clear where the kernel lacks them (`SCX_OPS_OPEN`; scx_ops_open! for the last).
const CLEARED: [&str; 5] =
    ["cgroup_set_bandwidth", "cgroup_set_idle", "sub_attach", "sub_detach", "sub_cgroup_id"];

/// Members that they write every time.
const REPLACED: [&str; 2] = ["hotplug_seq", "exit_dump_len"];

/// Is a member cleared where the kernel lacks it.
pub fn clears(member: &str) -> bool {
    CLEARED.contains(&member)
}

/// Is a member written whatever the file says.
pub fn replaces(member: &str) -> bool {
    REPLACED.contains(&member)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::builtin::LATEST;
    use crate::kernel::{Kernel, Lookup, target};

    #[test]
    fn members_are_those_of_the_newest_kernel() {
        let target = target::load(LATEST).unwrap().remove(0);
        let kernel = Kernel::new(&target).unwrap();
        let Lookup::Found(ops) = kernel.ops_type("sched_ext_ops") else { panic!() };
        for member in CLEARED.iter().chain(&REPLACED) {
            assert!(ops.member(member).is_some(), "{member}");
        }
    }
}
