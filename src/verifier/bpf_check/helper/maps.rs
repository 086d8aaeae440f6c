//! Which helpers go with which maps (`check_map_func_compatibility`, `record_func_map`, `record_func_key`).

use super::super::checker::Checker;
use super::super::refusal::{Step, Stop, Why};
use super::super::reg::MapRef;
use super::meta::Meta;
use super::offer::{Attach, Caller};
use crate::kernel::helpers::{self, Helper};
use crate::object::{F_RDONLY_PROG, MapType};

/// Helpers that a map's type is kept for: no other takes one.
fn takers(map_type: MapType) -> Option<&'static [&'static str]> {
    Some(match map_type {
        MapType::PROG_ARRAY => &["tail_call"],
        MapType::PERF_EVENT_ARRAY => {
            &["perf_event_read", "perf_event_output", "skb_output", "perf_event_read_value", "xdp_output"]
        }
        MapType::RINGBUF => &[
            "ringbuf_output",
            "ringbuf_reserve",
            "ringbuf_query",
            "ringbuf_reserve_dynptr",
            "ringbuf_submit_dynptr",
            "ringbuf_discard_dynptr",
        ],
        MapType::USER_RINGBUF => &["user_ringbuf_drain"],
        MapType::STACK_TRACE => &["get_stackid"],
        MapType::CGROUP_ARRAY => &["skb_under_cgroup", "current_task_under_cgroup"],
        MapType::CGROUP_STORAGE | MapType::PERCPU_CGROUP_STORAGE => &["get_local_storage"],
        MapType::DEVMAP | MapType::DEVMAP_HASH | MapType::XSKMAP => &["redirect_map", "map_lookup_elem"],
        MapType::CPUMAP => &["redirect_map"],
        MapType::ARRAY_OF_MAPS | MapType::HASH_OF_MAPS => &["map_lookup_elem"],
        MapType::SOCKMAP => &[
            "sk_redirect_map",
            "sock_map_update",
            "msg_redirect_map",
            "sk_select_reuseport",
            "map_lookup_elem",
        ],
        MapType::SOCKHASH => &[
            "sk_redirect_hash",
            "sock_hash_update",
            "msg_redirect_hash",
            "sk_select_reuseport",
            "map_lookup_elem",
        ],
        MapType::REUSEPORT_SOCKARRAY => &["sk_select_reuseport"],
        MapType::QUEUE | MapType::STACK => &["map_peek_elem", "map_pop_elem", "map_push_elem"],
        MapType::SK_STORAGE => &["sk_storage_get", "sk_storage_delete", "kptr_xchg"],
        MapType::INODE_STORAGE => &["inode_storage_get", "inode_storage_delete", "kptr_xchg"],
        MapType::TASK_STORAGE => &["task_storage_get", "task_storage_delete", "kptr_xchg"],
        MapType::CGRP_STORAGE => &["cgrp_storage_get", "cgrp_storage_delete", "kptr_xchg"],
        MapType::BLOOM_FILTER => &["map_peek_elem", "map_push_elem"],
        MapType::INSN_ARRAY => &[],
        _ => return None,
    })
}

/// Maps that a helper takes, if not any.
fn wanted(helper: &Helper) -> Option<&'static [MapType]> {
    Some(match helper.name {
        "tail_call" => &[MapType::PROG_ARRAY],
        "perf_event_read" | "perf_event_output" | "perf_event_read_value" | "skb_output" | "xdp_output" => {
            &[MapType::PERF_EVENT_ARRAY]
        }
        "ringbuf_output"
        | "ringbuf_reserve"
        | "ringbuf_query"
        | "ringbuf_reserve_dynptr"
        | "ringbuf_submit_dynptr"
        | "ringbuf_discard_dynptr" => &[MapType::RINGBUF],
        "user_ringbuf_drain" => &[MapType::USER_RINGBUF],
        "get_stackid" => &[MapType::STACK_TRACE],
        "current_task_under_cgroup" | "skb_under_cgroup" => &[MapType::CGROUP_ARRAY],
        "redirect_map" => &[MapType::DEVMAP, MapType::DEVMAP_HASH, MapType::CPUMAP, MapType::XSKMAP],
        "sk_redirect_map" | "msg_redirect_map" | "sock_map_update" => &[MapType::SOCKMAP],
        "sk_redirect_hash" | "msg_redirect_hash" | "sock_hash_update" => &[MapType::SOCKHASH],
        "get_local_storage" => &[MapType::CGROUP_STORAGE, MapType::PERCPU_CGROUP_STORAGE],
        "sk_select_reuseport" => &[MapType::REUSEPORT_SOCKARRAY, MapType::SOCKMAP, MapType::SOCKHASH],
        "map_pop_elem" => &[MapType::QUEUE, MapType::STACK],
        "map_peek_elem" | "map_push_elem" => &[MapType::QUEUE, MapType::STACK, MapType::BLOOM_FILTER],
        "map_lookup_percpu_elem" => &[MapType::PERCPU_ARRAY, MapType::PERCPU_HASH, MapType::LRU_PERCPU_HASH],
        "sk_storage_get" | "sk_storage_delete" => &[MapType::SK_STORAGE],
        "inode_storage_get" | "inode_storage_delete" => &[MapType::INODE_STORAGE],
        "task_storage_get" | "task_storage_delete" => &[MapType::TASK_STORAGE],
        "cgrp_storage_get" | "cgrp_storage_delete" => &[MapType::CGRP_STORAGE],
        _ => return None,
    })
}

/// Helpers whose map is noted at the call.
const NOTED: [&str; 10] = [
    "tail_call",
    "map_lookup_elem",
    "map_update_elem",
    "map_delete_elem",
    "map_push_elem",
    "map_pop_elem",
    "map_peek_elem",
    "for_each_map_elem",
    "redirect_map",
    "map_lookup_percpu_elem",
];

impl Checker<'_, '_> {
    /// The helper goes with its map.
    ///
    /// # Errors
    /// It does not.
    pub(super) fn check_map_and_helper(&self, meta: &Meta) -> Step {
        let Some((map, _)) = meta.map else { return Ok(()) };
        let map_type = self.map(map)?.map_type;
        let helper = meta.helper;
        let error = |message: String| Err(Stop::einval(Why::Map, message));
        let mismatch = || {
            error(format!("cannot pass map_type {} into func bpf_{}#{}", map_type.0, helper.name, helper.id))
        };
        if takers(map_type).is_some_and(|takers| !takers.contains(&helper.name)) {
            let sockets = matches!(map_type, MapType::SOCKMAP | MapType::SOCKHASH);
            if sockets && matches!(helper.name, "map_update_elem" | "map_delete_elem") {
                // Others than these may on some kernels, and are not modelled.
                if meta.caller != Caller::Tracing(Attach::Iter) {
                    return error("cannot update sockmap in this context".to_owned());
                }
            } else {
                return mismatch();
            }
        }
        if wanted(helper).is_some_and(|wanted| !wanted.contains(&map_type)) {
            return mismatch();
        }
        if helper.id == helpers::TAIL_CALL && self.prog.subprogs.len() > 1 {
            let arch = self.kernel.arch_or_usual();
            if arch != crate::kernel::Arch::X86_64 {
                return Err(Stop::unmodelled("tail calls beside functions on this machine"));
            }
        }
        Ok(())
    }

    /// The map of a call is noted, for what is looked at afterwards (`record_func_map`).
    ///
    /// # Errors
    /// The call would write to a map that programs may not write to.
    pub(super) fn note_map(&mut self, meta: &Meta) -> Step {
        if !NOTED.contains(&meta.helper.name) {
            return Ok(());
        }
        let Some((map, _)) = meta.map else { return Err(Stop::unmodelled("a helper without its map")) };
        let writes = ["map_delete_elem", "map_update_elem", "map_push_elem", "map_pop_elem"]
            .contains(&meta.helper.name);
        if writes && self.map(map)?.flags & F_RDONLY_PROG != 0 {
            return Err(Stop::eacces(Why::ReadOnly, "write into map forbidden"));
        }
        let noted: &mut Option<Option<MapRef>> = &mut self.aux[self.insn].map;
        *noted = match *noted {
            None => Some(Some(map)),
            Some(known) if known == Some(map) => Some(known),
            Some(_) => Some(None),
        };
        Ok(())
    }

    /// The key of a tail call is noted (`record_func_key`).
    ///
    /// # Errors
    /// Its map holds no programs.
    pub(super) fn note_key(&mut self, meta: &Meta) -> Step {
        if meta.helper.id != helpers::TAIL_CALL {
            return Ok(());
        }
        let Some((map, _)) = meta.map else { return Err(Stop::unmodelled("a helper without its map")) };
        let found = self.map(map)?;
        if found.map_type != MapType::PROG_ARRAY {
            let message = match self.rules.since(super::super::rules::Era::V7_2) {
                true => "expected prog array map for tail call",
                false => "kernel subsystem misconfigured verifier",
            };
            return Err(Stop::einval(Why::Map, message));
        }
        let max = u64::from(found.max_entries);
        let key = match self.reg(3).constant() {
            Some(key) if key < max => {
                self.mark_precise(3)?;
                Some(key)
            }
            _ => None,
        };
        let noted = &mut self.aux[self.insn].key;
        *noted = match *noted {
            None => Some(key),
            Some(known) if known == key => Some(known),
            Some(_) => Some(None),
        };
        Ok(())
    }
}
