//! The special fields of a map's value (`map_check_btf`).

use super::parse::{Parser, Refused};
use super::{FieldKind, Record};
use crate::btf::{Btf, Kind, TypeId};
use crate::object::{F_RDONLY_PROG, F_WRONLY_PROG, Map, MapType};
use crate::verifier::bpf_check::checker::Checker;
use crate::verifier::bpf_check::refusal::{Step, Stop};
use crate::verifier::bpf_check::reg::MapRef;

impl Checker<'_, '_> {
    /// The special fields of a map's value. There is none where the kernel does not take them: the map is then made without types, or
    /// without a record.
    pub(super) fn read_map_record(&self, map: MapRef) -> Step<Record> {
        let none = Record::default();
        let Some(btf) = self.object.btf.as_ref() else { return Ok(none) };
        let map = self.map(map)?;
        if map.value_type == TypeId::VOID || is_without_types(map.map_type) || !fits(btf, map) {
            return Ok(none);
        }
        let Some((id, ty)) = btf.resolve(map.value_type) else { return Ok(none) };
        if !matches!(ty.kind(), Kind::Struct | Kind::DataSec) {
            return Ok(none);
        }
        let parser = Parser::new(self.object, self.kernel, &self.rules)?;
        let record = match parser.record(id, map.value_size, FieldKind::is_of_maps) {
            Ok(record) => record,
            Err(Refused::Unknown(reason)) => return Err(Stop::Unknown(reason)),
            Err(Refused::Invalid) => return Ok(none),
        };
        let may_hold = record.fields.iter().all(|field| holds(map.map_type, field.kind));
        if !may_hold || map.flags & (F_RDONLY_PROG | F_WRONLY_PROG) != 0 {
            return Ok(none);
        }
        Ok(record)
    }
}

/// libbpf makes such maps without types.
fn is_without_types(map_type: MapType) -> bool {
    matches!(
        map_type,
        MapType::PERF_EVENT_ARRAY
            | MapType::CGROUP_ARRAY
            | MapType::STACK_TRACE
            | MapType::ARRAY_OF_MAPS
            | MapType::HASH_OF_MAPS
            | MapType::DEVMAP
            | MapType::DEVMAP_HASH
            | MapType::CPUMAP
            | MapType::XSKMAP
            | MapType::SOCKMAP
            | MapType::SOCKHASH
            | MapType::QUEUE
            | MapType::STACK
            | MapType::ARENA
    )
}

/// The sizes are those of the types, and the key is one that the map takes.
fn fits(btf: &Btf<'_>, map: &Map<'_>) -> bool {
    let is_section = btf.get(map.value_type).is_some_and(|ty| ty.kind() == Kind::DataSec);
    if is_section {
        return true;
    }
    let is_size = |id, size: u32| btf.size_of(id) == Some(size.into());
    if !is_size(map.value_type, map.value_size) || map.key_type == TypeId::VOID {
        return false;
    }
    let number = matches!(
        map.map_type,
        MapType::ARRAY
            | MapType::PERCPU_ARRAY
            | MapType::SK_STORAGE
            | MapType::INODE_STORAGE
            | MapType::TASK_STORAGE
            | MapType::CGRP_STORAGE
    );
    let is_number =
        || btf.resolve(map.key_type).is_some_and(|(_, ty)| ty.kind() == Kind::Int && ty.size() == 4);
    is_size(map.key_type, map.key_size) && (!number || is_number())
}

/// Values of maps of that type may hold such a field.
fn holds(map_type: MapType, kind: FieldKind) -> bool {
    let local = matches!(
        map_type,
        MapType::SK_STORAGE | MapType::INODE_STORAGE | MapType::TASK_STORAGE | MapType::CGRP_STORAGE
    );
    let hash = matches!(map_type, MapType::HASH | MapType::RHASH);
    let array = map_type == MapType::ARRAY;
    let lru = map_type == MapType::LRU_HASH;
    match kind {
        FieldKind::SpinLock | FieldKind::ResSpinLock => {
            hash || array || local || map_type == MapType::CGROUP_STORAGE
        }
        FieldKind::Timer | FieldKind::Workqueue | FieldKind::TaskWork => hash || array || lru,
        FieldKind::KptrUnref | FieldKind::KptrRef | FieldKind::KptrPercpu | FieldKind::Refcount => {
            let percpu =
                matches!(map_type, MapType::PERCPU_HASH | MapType::LRU_PERCPU_HASH | MapType::PERCPU_ARRAY);
            hash || array || lru || percpu || local
        }
        FieldKind::Uptr => map_type == MapType::TASK_STORAGE,
        FieldKind::ListHead | FieldKind::RbRoot => map_type == MapType::HASH || array || lru,
        FieldKind::ListNode | FieldKind::RbNode => false,
    }
}
