//! What a kernel enforces and its BTF does not show, with where each fact comes from.
//!
//! Even here the question is put to marks in the BTF where there are any; a release string is never
//! compared.

use super::{Kernel, Lookup, cpu_name};

/// Callbacks that every kernel from 6.12 on lets sleep (`bpf_scx_check_member`; 6.12, 6.17 and 6.18 source, 6.16 and
/// 7.0 machine code).
const SLEEPABLE: [&str; 8] = [
    "init_task",
    "cgroup_init",
    "cgroup_exit",
    "cgroup_prep_move",
    "cpu_online",
    "cpu_offline",
    "init",
    "exit",
];

/// May a callback be loaded as sleepable.
///
/// `sub_attach` and `sub_detach` came with their list entries (7.1), `init_cids` too (7.3). `cgroup_set_bandwidth` is
/// announced by a function that exists for that alone (7.3).
pub fn may_sleep(kernel: &Kernel<'_>, member: &str) -> Lookup<bool> {
    Lookup::Found(match cpu_name(member) {
        "sub_attach" | "sub_detach" | "init_cids" => true,
        "cgroup_set_bandwidth" => {
            kernel.function("scx_compat_marker_cgroup_set_bandwidth_may_sleep") == Lookup::Found(())
        }
        name => SLEEPABLE.contains(&name),
    })
}

/// Callbacks that stand in the struct for its layout alone: `check_struct_ops_btf_id` finds no cfi stub and refuses. In
/// 7.3 the two of cid-form sub-schedulers, in cpu-form.
pub fn is_stubless(_kernel: &Kernel<'_>, ops: &str, member: &str) -> bool {
    ops == "sched_ext_ops" && matches!(member, "sub_caps_updated" | "sub_ecaps_updated")
}

/// Helpers that 6.12 lacks in `bpf_scx_get_func_proto` and the later ones have in `bpf_base_func_proto` (6.17 source):
/// get_current_uid_gid, current_task_under_cgroup, get_cgroup_classid, get_current_comm, copy_from_user(_task),
/// perf_event_read_value, perf_event_read, send_signal(_thread), get_task_stack, get_branch_snapshot, find_vma.
/// Task storage is in both.
const LATER_HELPERS: [i32; 13] = [15, 16, 17, 22, 37, 55, 109, 117, 141, 148, 176, 180, 191];

/// May a callback of a scheduler call a helper that is in the list of some kernel. The list grew when
/// `bpf_scx_get_func_proto` went away.
pub fn offers_helper(kernel: &Kernel<'_>, helper: i32) -> bool {
    kernel.function("bpf_scx_get_func_proto") != Lookup::Found(()) || !LATER_HELPERS.contains(&helper)
}

/// Sleepable programs may use maps of this type (`check_map_prog_compatibility`).
///
/// Hash and array kinds, ring buffers, queues, local storage and arenas everywhere; insn_array with the type itself
/// (6.19); prog_array from 7.0 (6.19 source refuses, a guest of 7.0.13 takes it), marked by a kfunc variant that came with
/// that release; lpm_trie and rhash with the type rhash (7.2).
pub fn sleepable_map(kernel: &Kernel<'_>, map_type: u32) -> Lookup<bool> {
    const ALWAYS: [u32; 17] = [1, 2, 5, 6, 9, 10, 12, 13, 22, 23, 24, 27, 28, 29, 31, 32, 33];
    match map_type {
        3 => Lookup::Found(kernel.function("bpf_arena_alloc_pages_non_sleepable") == Lookup::Found(())),
        34 => Lookup::Found(true),
        11 | 35 => kernel.map_types().map(|types| types > 35),
        other => Lookup::Found(ALWAYS.contains(&other)),
    }
}
