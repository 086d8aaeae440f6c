//! Special fields of types: locks, timers, kptrs, lists, trees (`struct btf_record`, `btf_parse_fields`).

mod map;
mod parse;

use rustc_hash::FxHashMap;
use std::rc::Rc;

use self::parse::{Parser, Refused};
use super::btf_access::Walks;
use super::checker::Checker;
use super::refusal::{Step, Stop};
use super::reg::{BtfOf, MapRef, Reg, TypeRef};
use crate::btf::TypeId;
use crate::kernel::Home;

/// What kind of special field it is (`enum btf_field_type`).
#[allow(missing_docs)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FieldKind {
    SpinLock,
    ResSpinLock,
    Timer,
    Workqueue,
    TaskWork,
    KptrUnref,
    KptrRef,
    KptrPercpu,
    Uptr,
    ListHead,
    ListNode,
    RbRoot,
    RbNode,
    Refcount,
}

impl FieldKind {
    /// The name in messages (`btf_field_type_name`).
    pub fn name(self) -> &'static str {
        match self {
            Self::SpinLock => "bpf_spin_lock",
            Self::ResSpinLock => "bpf_res_spin_lock",
            Self::Timer => "bpf_timer",
            Self::Workqueue => "bpf_wq",
            Self::TaskWork => "bpf_task_work",
            Self::KptrUnref | Self::KptrRef => "kptr",
            Self::KptrPercpu => "percpu_kptr",
            Self::Uptr => "uptr",
            Self::ListHead => "bpf_list_head",
            Self::ListNode => "bpf_list_node",
            Self::RbRoot => "bpf_rb_root",
            Self::RbNode => "bpf_rb_node",
            Self::Refcount => "bpf_refcount",
        }
    }

    /// What it holds may be freed where anything is interrupted (`btf_field_is_nmi_safe`).
    pub fn is_nmi_safe(self) -> bool {
        matches!(
            self,
            Self::SpinLock
                | Self::ResSpinLock
                | Self::Timer
                | Self::Workqueue
                | Self::TaskWork
                | Self::KptrUnref
                | Self::Refcount
        )
    }

    /// Values of maps may hold it.
    fn is_of_maps(self) -> bool {
        !matches!(self, Self::ListNode | Self::RbNode)
    }

    /// Objects that programs allocate may hold it.
    fn is_of_types(self) -> bool {
        !matches!(self, Self::Timer | Self::Workqueue | Self::TaskWork | Self::Uptr)
    }

    /// There may be but one in a value.
    fn is_unique(self) -> bool {
        matches!(
            self,
            Self::SpinLock
                | Self::ResSpinLock
                | Self::Timer
                | Self::Workqueue
                | Self::TaskWork
                | Self::Refcount
        )
    }

    /// A pointer of the kernel's that may be loaded (`BPF_KPTR`, `BPF_UPTR`).
    pub fn is_pointer(self) -> bool {
        matches!(self, Self::KptrUnref | Self::KptrRef | Self::KptrPercpu | Self::Uptr)
    }
}

/// A special field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// What kind.
    pub kind: FieldKind,
    /// Where it begins, bytes.
    pub offset: u32,
    /// Its size, bytes.
    pub size: u32,
    /// What a kptr points to, or what a list or tree holds.
    pub target: Option<TypeRef>,
    /// Where the node is in what a list or tree holds, bytes.
    pub node_offset: u32,
}

/// The special fields of a type, by offset.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Record {
    /// The fields.
    pub fields: Vec<Field>,
}

impl Record {
    /// The field of one of these kinds that begins there (`btf_record_find`).
    pub fn find(&self, offset: u32, kinds: impl Fn(FieldKind) -> bool) -> Option<Field> {
        self.fields.iter().copied().find(|field| field.offset == offset && kinds(field.kind))
    }

    /// There is one of a kind (`btf_record_has_field`).
    pub fn has(&self, kinds: impl Fn(FieldKind) -> bool) -> bool {
        self.fields.iter().any(|field| kinds(field.kind))
    }
}

/// Records that were looked at.
#[derive(Debug, Default)]
pub struct Records {
    /// Those of maps' values.
    maps: FxHashMap<MapRef, Rc<Record>>,
    /// Those of all types of the object that have one (`struct btf_struct_metas`).
    types: Option<Rc<FxHashMap<TypeId, Rc<Record>>>>,
    /// An empty one.
    none: Rc<Record>,
    /// Walks into types.
    pub(super) walks: Walks,
    /// What the addresses of the kernel's variables are.
    pub(super) variables: FxHashMap<(Home, TypeId), Reg>,
}

impl Records {
    /// The special fields of a map's value, if they were looked at.
    pub fn of_map(&self, map: MapRef) -> Option<&Record> {
        self.maps.get(&map).map(Rc::as_ref)
    }
}

impl Checker<'_, '_> {
    /// The special fields of a map's value.
    ///
    /// # Errors
    /// They are not known.
    pub fn map_record(&mut self, map: MapRef) -> Step<Rc<Record>> {
        if let Some(known) = self.records.maps.get(&map) {
            return Ok(Rc::clone(known));
        }
        let record = Rc::new(self.read_map_record(map)?);
        self.records.maps.insert(map, Rc::clone(&record));
        Ok(record)
    }

    /// The special fields of a type of the object (`btf_find_struct_meta`).
    ///
    /// # Errors
    /// They are not known.
    pub fn type_record(&mut self, ty: TypeRef) -> Step<Rc<Record>> {
        Ok(self.find_type_record(ty)?.unwrap_or_else(|| Rc::clone(&self.records.none)))
    }

    /// The same, and whether there is a record at all.
    ///
    /// # Errors
    /// They are not known.
    pub fn find_type_record(&mut self, ty: TypeRef) -> Step<Option<Rc<Record>>> {
        if ty.btf != BtfOf::Object {
            return Ok(None);
        }
        Ok(self.type_records()?.get(&ty.id).map(Rc::clone))
    }

    /// The records of all types of the object, which the kernel makes as it takes the BTF.
    ///
    /// # Errors
    /// They are not known, or it does not take them.
    pub fn type_records(&mut self) -> Step<Rc<FxHashMap<TypeId, Rc<Record>>>> {
        if let Some(types) = &self.records.types {
            return Ok(Rc::clone(types));
        }
        let types = Rc::new(self.read_type_records()?);
        self.records.types = Some(Rc::clone(&types));
        Ok(types)
    }

    /// The records of all types of the object (`btf_parse_struct_metas`).
    fn read_type_records(&self) -> Step<FxHashMap<TypeId, Rc<Record>>> {
        let Some(btf) = self.object.btf.as_ref() else { return Ok(FxHashMap::default()) };
        let parser = Parser::new(self.object, self.kernel, &self.rules)?;
        let mut found = FxHashMap::default();
        for (id, ty) in btf.types() {
            if !parser.is_noted(&ty) {
                continue;
            }
            match parser.record(id, ty.size(), FieldKind::is_of_types) {
                Ok(record) => {
                    found.insert(id, Rc::new(record));
                }
                Err(Refused::Unknown(reason)) => return Err(Stop::Unknown(reason)),
                Err(Refused::Invalid) => {
                    return Err(Stop::unmodelled("types that the kernel does not take"));
                }
            }
        }
        Ok(found)
    }
}
