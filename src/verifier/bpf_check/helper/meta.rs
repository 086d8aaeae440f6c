//! What the arguments of a call have said so far (`struct bpf_call_arg_meta`).

use super::super::dynptr::GivenDynptr;
use super::super::record::Field;
use super::super::reg::{MapRef, TypeRef};
use super::offer::Caller;
use crate::kernel::helpers::Helper;
use crate::object::MapType;

/// What the arguments of a call have said so far.
#[derive(Debug, Clone)]
pub(super) struct Meta {
    /// The helper.
    pub(super) helper: &'static Helper,
    /// The program.
    pub(super) caller: Caller,
    /// The map, and which lookup of an inner map it comes from.
    pub(super) map: Option<(MapRef, u32)>,
    /// The register of memory that need not hold anything, and how much the call fills.
    pub(super) raw: Option<(u8, i64)>,
    /// The reference that an argument holds.
    pub(super) reference: Option<u32>,
    /// The function that is called back.
    pub(super) subprog: Option<usize>,
    /// The kptr that is exchanged.
    pub(super) kptr: Option<Field>,
    /// The type of what is returned.
    pub(super) ret: Option<TypeRef>,
    /// How much is returned, bytes.
    pub(super) mem_size: u64,
    /// The most that a size argument may be.
    pub(super) max_size: u64,
    /// The dynptr that was given.
    pub(super) dynptr: Option<GivenDynptr>,
    /// The key of the map, where it is a constant.
    pub(super) key: Option<u64>,
}

impl Meta {
    pub(super) fn new(helper: &'static Helper, caller: Caller) -> Self {
        Self {
            helper,
            caller,
            map: None,
            raw: None,
            reference: None,
            subprog: None,
            kptr: None,
            ret: None,
            mem_size: 0,
            max_size: 0,
            dynptr: None,
            key: None,
        }
    }

    /// The helper has this name.
    pub(super) fn is(&self, name: &str) -> bool {
        self.helper.name == name
    }
}

/// Lookups in it give an element for every key that is in range.
pub(super) fn always_has_elements(map_type: MapType) -> bool {
    matches!(map_type, MapType::ARRAY | MapType::PERCPU_ARRAY)
}
