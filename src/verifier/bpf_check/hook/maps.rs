//! Maps that go with a program (`check_map_prog_compatibility`).

use crate::kernel::{Lookup, exceptions};
use crate::object::MapType;
use crate::verifier::bpf_check::checker::Checker;
use crate::verifier::bpf_check::prog::Link;
use crate::verifier::bpf_check::record::FieldKind;
use crate::verifier::bpf_check::refusal::{Step, Stop, Why};
use crate::verifier::bpf_check::reg::MapRef;
use crate::verifier::bpf_check::rules::Era;

/// `BPF_MAX_VAR_OFF`.
const MAX_OFFSET: u32 = 1 << 29;

impl Checker<'_, '_> {
    /// All maps that the code refers to go with the program, in code that is never reached too.
    ///
    /// # Errors
    /// One does not.
    pub fn check_program_maps(&mut self) -> Step {
        let mut seen = Vec::new();
        for slot in 0..self.prog.len() {
            let (map, value) = match self.prog.slots[slot].link {
                Link::Map(map) => (map, None),
                Link::MapValue(map, off) => (map, Some(off as u32)),
                _ => continue,
            };
            if !seen.contains(&map) {
                seen.push(map);
                self.insn = slot;
                self.check_program_map(MapRef { map, inner: false })?;
            }
            if let Some(off) = value {
                self.insn = slot;
                self.check_value_address(MapRef { map, inner: false }, off)?;
            }
        }
        self.insn = 0;
        Ok(())
    }

    /// The address of a byte in the value of a map (`map_direct_value_addr`).
    fn check_value_address(&self, map: MapRef, off: u32) -> Step {
        let map = self.map(map)?;
        if off >= MAX_OFFSET && !self.rules.since(Era::V7_1) {
            let message = format!("direct value offset of {off} is not allowed");
            return Err(Stop::einval(Why::Map, message));
        }
        let is_outside = off >= map.value_size;
        match map.map_type {
            MapType::ARRAY if is_outside => {
                let size = map.value_size;
                let message = format!("invalid access to map value pointer, value_size={size} off={off}");
                Err(Stop::einval(Why::Map, message))
            }
            MapType::ARENA if u64::from(off) > u64::from(map.max_entries) * 4096 => {
                Err(Stop::unmodelled("an address outside an arena"))
            }
            _ => Ok(()),
        }
    }

    fn check_program_map(&mut self, map: MapRef) -> Step {
        let refused = |message: &str| Err(Stop::einval(Why::Map, message));
        let record = self.map_record(map)?;
        let traces = self.hook.program.traces();
        if traces && record.has(|kind| matches!(kind, FieldKind::ListHead | FieldKind::RbRoot)) {
            return refused("tracing progs cannot use bpf_{list_head,rb_root} yet");
        }
        if traces && record.has(|kind| kind == FieldKind::SpinLock) {
            return refused("tracing progs cannot use bpf_spin_lock yet");
        }
        // They got a kfunc when they learnt to be changed in any context (7.0).
        if traces && self.kernel.kfunc("bpf_timer_cancel_async").found().is_none() {
            for (kind, name) in [(FieldKind::Timer, "bpf_timer"), (FieldKind::Workqueue, "bpf_wq")] {
                if record.has(|found| found == kind) {
                    return refused(&format!("tracing progs cannot use {name} yet"));
                }
            }
        }
        let map_type = self.map(map)?.map_type;
        if map_type == MapType::STRUCT_OPS {
            return refused("bpf_struct_ops map cannot be used in prog");
        }
        if !self.hook.sleepable {
            return Ok(());
        }
        match exceptions::sleepable_map(self.kernel, map_type) {
            Lookup::Found(true) => Ok(()),
            Lookup::Unknown(reason) => Err(Stop::Unknown(reason)),
            _ => refused("Sleepable programs can only use array, hash, ringbuf and local storage maps"),
        }
    }
}
