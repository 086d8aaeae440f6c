//! Special fields of types: locks, timers, kptrs, lists, trees (`struct btf_record`, `btf_parse_fields`).

use super::checker::Checker;
use super::refusal::Step;
use super::reg::{MapRef, TypeRef};

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
pub struct Records {}

impl Records {
    /// The special fields of a map's value, if they were looked at.
    pub fn of_map(&self, _map: MapRef) -> Option<&Record> {
        None
    }
}

impl Checker<'_, '_> {
    /// The special fields of a map's value.
    ///
    /// # Errors
    /// They are not known.
    pub fn map_record(&mut self, _map: MapRef) -> Step<Record> {
        Ok(Record::default())
    }

    /// The special fields of a type of the object (`btf_find_struct_meta`).
    ///
    /// # Errors
    /// They are not known.
    pub fn type_record(&mut self, _ty: TypeRef) -> Step<Record> {
        Ok(Record::default())
    }
}
