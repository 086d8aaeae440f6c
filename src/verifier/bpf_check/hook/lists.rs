//! What no BTF shows of the places that programs attach to.
//!
//! Learned from kernel/bpf/bpf_lsm.c, btf.c and the iterators of 6.12, 7.2 and 7.3. What changed between is answered only for the ends.

use crate::verifier::bpf_check::rules::{Era, Rules};

/// Functions whose results programs may change, and whether those may sleep (`register_btf_fmodret_id_set`).
pub(super) static MODIFIABLE: [(&str, bool); 4] = [
    ("bpf_modify_return_test", false),
    ("bpf_modify_return_test2", false),
    ("bpf_modify_return_test_tp", false),
    ("bpf_fentry_test1", true),
];

/// Functions that no program traces, each in some configurations.
pub(super) static UNTRACEABLE: [&str; 8] = [
    "___migrate_enable",
    "migrate_disable",
    "migrate_enable",
    "rcu_read_unlock_strict",
    "preempt_count_add",
    "preempt_count_sub",
    "__rcu_read_lock",
    "__rcu_read_unlock",
];

/// Functions that do not return.
pub(super) static NO_RETURN: [&str; 11] = [
    "__ia32_sys_exit",
    "__ia32_sys_exit_group",
    "__kunit_abort",
    "kunit_try_catch_throw",
    "__module_put_and_kthread_exit",
    "__x64_sys_exit",
    "__x64_sys_exit_group",
    "do_exit",
    "do_group_exit",
    "kthread_complete_and_exit",
    "make_task_dead",
];

/// Functions whose names begin as those of the hooks do, and that are none.
pub(super) static NO_LSM_HOOKS: [&str; 7] = [
    "bpf_lsm_find_cgroup_shim",
    "bpf_lsm_func_proto",
    "bpf_lsm_get_retval_range",
    "bpf_lsm_hook_returns_errno",
    "bpf_lsm_is_sleepable_hook",
    "bpf_lsm_is_trusted",
    "bpf_lsm_verify_prog",
];

/// What an iterator hands out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Handed {
    /// An object, or NULL.
    Object,
    /// A trusted object, or NULL.
    TrustedObject,
    /// A buffer, or NULL.
    Buffer,
    /// A buffer that may only be read, or NULL.
    ReadOnlyBuffer,
}

/// Iterators, with those of their arguments that are handed out in a way of their own (`struct bpf_iter_reg`).
pub(super) static ITERATORS: &[(&str, &[(usize, Handed)])] = &[
    ("bpf_link", &[(1, Handed::Object)]),
    ("bpf_map", &[(1, Handed::TrustedObject)]),
    ("bpf_map_elem", &[(2, Handed::ReadOnlyBuffer), (3, Handed::Buffer)]),
    ("bpf_prog", &[(1, Handed::Object)]),
    ("bpf_sk_storage_map", &[(2, Handed::Object), (3, Handed::Buffer)]),
    ("cgroup", &[(1, Handed::TrustedObject)]),
    ("dmabuf", &[(1, Handed::Object)]),
    ("ipv6_route", &[(1, Handed::Object)]),
    ("kmem_cache", &[(1, Handed::TrustedObject)]),
    ("ksym", &[(1, Handed::Object)]),
    ("netlink", &[(1, Handed::Object)]),
    ("sockmap", &[(2, Handed::ReadOnlyBuffer), (3, Handed::Object)]),
    ("task", &[(1, Handed::TrustedObject)]),
    ("task_file", &[(1, Handed::Object), (3, Handed::Object)]),
    ("task_vma", &[(1, Handed::Object), (2, Handed::Object)]),
    ("tcp", &[(1, Handed::TrustedObject)]),
    ("udp", &[(1, Handed::TrustedObject)]),
    ("unix", &[(1, Handed::Object)]),
];

/// Arguments of tracepoints that may be NULL: their numbers, and the tracepoints.
static NULLABLE: &[(&[usize], &[&str])] = &[
    (
        &[0],
        &[
            "afs_protocol_error",
            "cachefiles_io_error",
            "cachefiles_lookup",
            "cachefiles_mark_active",
            "cachefiles_mark_failed",
            "cachefiles_mark_inactive",
            "cachefiles_ondemand_close",
            "cachefiles_ondemand_copen",
            "cachefiles_ondemand_cread",
            "cachefiles_ondemand_fd_release",
            "cachefiles_ondemand_fd_write",
            "cachefiles_ondemand_open",
            "cachefiles_ondemand_read",
            "cachefiles_prep_read",
            "cachefiles_rename",
            "cachefiles_unlink",
            "cachefiles_vfs_error",
            "mm_collapse_huge_page_isolate",
            "mm_page_alloc",
            "mm_page_alloc_zone_locked",
            "mm_page_pcpu_drain",
            "rxrpc_recvdata",
            "sched_process_wait",
            "tmigr_update_events",
            "xs_stream_read_data",
        ],
    ),
    (&[0, 1], &["tcp_send_reset"]),
    (
        &[1],
        &[
            "afs_flock_ev",
            "afs_make_fs_call",
            "afs_make_fs_call1",
            "afs_make_fs_call2",
            "afs_make_fs_calli",
            "break_lease_block",
            "break_lease_noblock",
            "break_lease_unblock",
            "device_pm_callback_start",
            "ext4_mballoc_discard",
            "ext4_mballoc_free",
            "fcntl_setlk",
            "flock_lock_inode",
            "folio_wait_writeback",
            "generic_delete_lease",
            "locks_remove_posix",
            "mm_khugepaged_collapse_file",
            "mm_khugepaged_scan_file",
            "mm_khugepaged_scan_pmd",
            "netfs_failure",
            "posix_lock_inode",
            "rxrpc_resend",
            "sched_pi_setprio",
            "time_out_leases",
            "writeback_dirty_folio",
            "xprt_get_cong",
            "xprt_put_cong",
            "xprt_release_cong",
            "xprt_reserve_cong",
        ],
    ),
    (&[2], &["fib_table_lookup", "sched_stick_numa", "sched_swap_numa", "tegra_dma_tx_status"]),
    (&[3], &["kfree_skb", "qdisc_dequeue"]),
    (&[4], &["host1x_cdma_push_gather"]),
];

/// The same for those that kernels know of since some release after 6.12.
static NULLABLE_LATER: &[(&[usize], &[&str])] = &[
    (
        &[0],
        &[
            "amdgpu_vm_bo_map",
            "amdgpu_vm_bo_unmap",
            "netfs_folioq",
            "nfs4_setup_sequence",
            "nfsd_dirent",
            "nfsd_file_cons_err",
            "nfsd_file_insert_err",
            "rxrpc_client",
            "xfs_blockgc_flush_all",
            "xfs_blockgc_start",
            "xfs_blockgc_stop",
            "xfs_blockgc_worker",
            "xfs_defer_add_item",
            "xfs_defer_cancel_item",
            "xfs_defer_cancel_list",
            "xfs_defer_create_intent",
            "xfs_defer_finish_item",
            "xfs_defer_isolate_paused",
            "xfs_defer_item_pause",
            "xfs_defer_item_unpause",
            "xfs_defer_pending_abort",
            "xfs_defer_pending_finish",
            "xfs_defer_relog_intent",
            "xfs_fs_sync_fs",
            "xfs_inodegc_flush",
            "xfs_inodegc_push",
            "xfs_inodegc_queue",
            "xfs_inodegc_start",
            "xfs_inodegc_stop",
            "xfs_inodegc_throttle",
        ],
    ),
    (&[0, 1], &["cfg80211_scan_done"]),
    (&[0, 3], &["nfsd_file_acquire"]),
    (
        &[1],
        &[
            "coda_dec_pic_done",
            "coda_dec_pic_run",
            "hugetlbfs_alloc_inode",
            "neigh_update",
            "rdev_set_coalesce",
            "rxrpc_tq",
            "spufs_context",
            "wiphy_work_cancel",
            "wiphy_work_flush",
            "wiphy_work_queue",
            "wiphy_work_run",
            "xchk_nlinks_live_update",
            "xfs_blockgc_free_space",
            "xfs_ioc_free_eofblocks",
        ],
    ),
    (
        &[2],
        &[
            "amdtp_packet",
            "binder_transaction",
            "btree_path_free",
            "cfg80211_inform_bss_frame",
            "cfg80211_report_wowlan_wakeup",
            "dpu_crtc_setup_mixer",
            "kvm_page_fault_enter",
            "tcp_sendmsg_locked",
            "xchk_metapath_lookup",
            "xfs_btree_overlapped_query_range",
            "xfs_btree_updkeys",
        ],
    ),
    (&[3], &["hfi1_sdma_progress", "iptfs_ingress_postq_event", "xfs_iomap_alloc", "xfs_iomap_found"]),
    (
        &[4],
        &[
            "cfg80211_michael_mic_failure",
            "pnfs_mds_fallback_pg_get_mirror_count",
            "pnfs_mds_fallback_pg_init_read",
            "pnfs_mds_fallback_pg_init_write",
            "pnfs_mds_fallback_read_done",
            "pnfs_mds_fallback_read_pagelist",
            "pnfs_mds_fallback_write_done",
            "pnfs_mds_fallback_write_pagelist",
            "pnfs_update_layout",
            "xfs_map_blocks_alloc",
            "xfs_map_blocks_found",
        ],
    ),
];

/// Arguments of tracepoints that may hold an error in the place of a pointer.
static ERRORS: &[(&[usize], &[&str])] = &[
    (&[1], &["signal_deliver", "signal_generate"]),
    (&[2], &["cachefiles_lookup"]),
    (&[3], &["mr_integ_alloc"]),
];

/// The same for those that kernels know of since some release after 6.12.
static ERRORS_LATER: &[(&[usize], &[&str])] =
    &[(&[2], &["nfs4_inode_callback_event", "nfs4_inode_stateid_callback_event"])];

/// Hooks of the LSM whose programs may sleep, in 6.12 as in 7.3.
static SLEEPABLE_HOOKS: &[&str] = &[
    "bpf",
    "bpf_map",
    "bpf_map_create",
    "bpf_map_free",
    "bpf_prog",
    "bpf_prog_load",
    "bpf_token_capable",
    "bpf_token_cmd",
    "bpf_token_create",
    "bpf_token_free",
    "bprm_check_security",
    "bprm_committed_creds",
    "bprm_committing_creds",
    "bprm_creds_for_exec",
    "bprm_creds_from_file",
    "capget",
    "capset",
    "cred_prepare",
    "file_ioctl",
    "file_lock",
    "file_open",
    "file_post_open",
    "file_receive",
    "inode_create",
    "inode_free_security",
    "inode_getattr",
    "inode_getxattr",
    "inode_mknod",
    "inode_need_killpriv",
    "inode_post_setxattr",
    "inode_readlink",
    "inode_rename",
    "inode_rmdir",
    "inode_setattr",
    "inode_setxattr",
    "inode_symlink",
    "inode_unlink",
    "kernel_module_request",
    "kernel_read_file",
    "kernfs_init_security",
    "mmap_file",
    "netlink_send",
    "path_chmod",
    "path_chown",
    "path_link",
    "path_mkdir",
    "path_notify",
    "path_rename",
    "path_rmdir",
    "path_symlink",
    "path_truncate",
    "path_unlink",
    "release_secctx",
    "sb_alloc_security",
    "sb_eat_lsm_opts",
    "sb_kern_mount",
    "sb_mount",
    "sb_remount",
    "sb_set_mnt_opts",
    "sb_show_options",
    "sb_statfs",
    "sb_umount",
    "settime",
    "socket_accept",
    "socket_bind",
    "socket_connect",
    "socket_create",
    "socket_getpeername",
    "socket_getpeersec_dgram",
    "socket_getsockname",
    "socket_getsockopt",
    "socket_listen",
    "socket_post_create",
    "socket_recvmsg",
    "socket_sendmsg",
    "socket_shutdown",
    "socket_socketpair",
    "syslog",
    "task_alloc",
    "task_prctl",
    "task_setscheduler",
    "userns_create",
];

/// Hooks of the LSM that no program attaches to.
static DISABLED_HOOKS: &[&str] = &[
    "audit_rule_match",
    "getprocattr",
    "getselfattr",
    "inode_copy_up_xattr",
    "inode_getsecurity",
    "inode_listsecurity",
    "inode_need_killpriv",
    "ismaclabel",
    "key_getsecurity",
    "setprocattr",
    "vm_enough_memory",
    "xfrm_decode_session",
];

/// Hooks of the LSM whose arguments are not trusted.
static UNTRUSTED_HOOKS: &[&str] = &[
    "bpf_map_free",
    "bpf_prog_free",
    "file_alloc_security",
    "file_free_security",
    "sk_alloc_security",
    "sk_free_security",
    "task_free",
];

/// What is known of a list that changed between 6.12 and 7.2; `None` where the kernel is between.
fn changed(rules: &Rules, before: bool, since: bool) -> Option<bool> {
    match rules.era {
        Era::V6_12 => Some(before),
        Era::V7_2 | Era::V7_3 => Some(since),
        _ => None,
    }
}

/// Programs of a hook of the LSM may sleep.
pub(super) fn sleepable_lsm_hook(name: &str, rules: &Rules) -> Option<bool> {
    let hook = name.strip_prefix("bpf_lsm_").unwrap_or(name);
    match hook {
        "current_getsecid_subj" | "task_getsecid_obj" => changed(rules, true, false),
        "inode_post_removexattr" | "inode_removexattr" | "bdev_alloc_security" | "bdev_setintegrity" => {
            changed(rules, false, true)
        }
        _ => Some(SLEEPABLE_HOOKS.contains(&hook)),
    }
}

/// No program attaches to a hook of the LSM.
pub(super) fn disabled_lsm_hook(name: &str, rules: &Rules) -> Option<bool> {
    let hook = name.strip_prefix("bpf_lsm_").unwrap_or(name);
    match hook {
        "file_alloc_security" => changed(rules, false, true),
        _ => Some(DISABLED_HOOKS.contains(&hook)),
    }
}

/// The arguments of a hook of the LSM are trusted (`bpf_lsm_is_trusted`).
pub(super) fn trusted_lsm_hook(name: &str, rules: &Rules) -> Option<bool> {
    let hook = name.strip_prefix("bpf_lsm_").unwrap_or(name);
    match hook {
        "bdev_alloc_security" | "bdev_free_security" => changed(rules, true, false),
        _ => Some(!UNTRUSTED_HOOKS.contains(&hook)),
    }
}

/// What a hook of the LSM that returns something may return (`bpf_lsm_get_retval_range`).
pub(super) fn lsm_range(name: &str) -> (i32, i32) {
    match name {
        "bpf_lsm_inode_xattr_skipcap" | "bpf_lsm_audit_rule_known" | "bpf_lsm_xfrm_state_pol_flow_match" => {
            (0, 1)
        }
        _ => (-4095, 0),
    }
}

/// What is known of a tracepoint's argument apart from its type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct EventArgument {
    /// It may be NULL.
    pub(super) nullable: bool,
    /// It may be an error.
    pub(super) error: bool,
    /// The tracepoint is on the list.
    pub(super) listed: bool,
}

/// Argument of a tracepoint; `None` where it is not known whether this kernel's list has it.
pub(super) fn event_argument(name: &str, number: usize, rules: &Rules) -> Option<EventArgument> {
    // Noted late, and brought to older kernels at some time: guests of 6.12 and 7.1 do not have them, sources of 6.12 do.
    let is_late =
        matches!((name, number), ("sched_process_wait", 0) | ("signal_generate" | "signal_deliver", 1));
    if is_late && !rules.since(Era::V7_2) {
        return None;
    }
    let in_table = |table: &[(&[usize], &[&str])]| {
        let row = table.iter().find(|(_, names)| names.contains(&name));
        row.map(|(numbers, _)| numbers.contains(&number))
    };
    let of = |null: Option<bool>, error: Option<bool>| EventArgument {
        nullable: null == Some(true),
        error: error == Some(true),
        listed: null.is_some() || error.is_some(),
    };
    let known = of(in_table(NULLABLE), in_table(ERRORS));
    let later = of(in_table(NULLABLE_LATER), in_table(ERRORS_LATER));
    if known.listed || !later.listed {
        return Some(known);
    }
    match rules.era {
        Era::V6_12 => Some(known),
        Era::V7_2 | Era::V7_3 => Some(later),
        _ => None,
    }
}
