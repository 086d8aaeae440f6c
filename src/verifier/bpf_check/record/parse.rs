//! Special fields in the types of an object (`btf_parse_fields` and what it calls).

use super::{Field, FieldKind, Record};
use crate::btf::{Btf, Kind, Type, TypeId};
use crate::kernel::special_fields::{MOST, OWNED, SPECIAL_FIELDS};
use crate::kernel::{Kernel, Lookup, Reason};
use crate::object::Object;
use crate::verifier::bpf_check::refusal::{Step, Stop};
use crate::verifier::bpf_check::reg::{BtfOf, TypeRef};
use crate::verifier::bpf_check::rules::{Era, Rules};

/// Structs in structs, and arrays in arrays, that are looked through (`MAX_RESOLVE_DEPTH`).
const DEPTH: u32 = 32;
/// Members of structs that are looked at for one type: more than that is for hostile types.
const MOST_VISITS: u32 = 1 << 16;

/// Why there is no record.
#[derive(Debug)]
pub(super) enum Refused {
    /// The kernel does not take the fields.
    Invalid,
    /// Whether it does is not known.
    Unknown(Reason),
}

type Found<T> = Result<T, Refused>;

/// Looks for special fields in an object's types.
pub(super) struct Parser<'a, 'd> {
    object: &'a Object<'d>,
    btf: &'a Btf<'d>,
    kernel: &'a Kernel<'a>,
    rules: &'a Rules,
    /// Those that are structs of their own: name, size and kind.
    structs: Vec<(&'static str, u32, FieldKind)>,
}

/// What is kept while one type is looked through.
struct Search<'k> {
    wanted: &'k dyn Fn(FieldKind) -> bool,
    fields: Vec<Field>,
    seen: Vec<FieldKind>,
    visits: u32,
}

impl<'a, 'd> Parser<'a, 'd> {
    pub(super) fn new(object: &'a Object<'d>, kernel: &'a Kernel<'a>, rules: &'a Rules) -> Step<Self> {
        let Some(btf) = object.btf.as_ref() else { return Err(Stop::unmodelled("an object without types")) };
        let mut structs = Vec::new();
        for field in SPECIAL_FIELDS {
            let kind = match field.name {
                "bpf_spin_lock" => FieldKind::SpinLock,
                "bpf_res_spin_lock" => FieldKind::ResSpinLock,
                "bpf_timer" => FieldKind::Timer,
                "bpf_wq" => FieldKind::Workqueue,
                "bpf_task_work" => FieldKind::TaskWork,
                "bpf_list_head" => FieldKind::ListHead,
                "bpf_list_node" => FieldKind::ListNode,
                "bpf_rb_root" => FieldKind::RbRoot,
                "bpf_rb_node" => FieldKind::RbNode,
                _ => FieldKind::Refcount,
            };
            // No kernel is asked for what the object has not.
            if btf.names().find(field.name, Kind::Struct).is_none() {
                continue;
            }
            match kernel.lookup(field.name, Kind::Struct) {
                Lookup::Found(_) => structs.push((field.name, field.size, kind)),
                Lookup::Absent => {}
                Lookup::Unknown(reason) => return Err(Stop::Unknown(reason)),
            }
        }
        Ok(Self { object, btf, kernel, rules, structs })
    }

    /// A struct for which the kernel keeps a record: it has a special field, or a kptr, as a member.
    pub(super) fn is_noted(&self, ty: &Type<'_>) -> bool {
        ty.kind() == Kind::Struct
            && ty.composite().into_iter().flat_map(|of| of.members()).any(|member| {
                let Some(of) = self.btf.get(member.ty) else { return false };
                let name = self.btf.name(&of);
                let is_noted = |kind: FieldKind| {
                    let lock = kind == FieldKind::SpinLock || kind == FieldKind::Refcount;
                    lock || !FieldKind::is_unique(kind)
                };
                let special = self.structs.iter().find(|(known, ..)| *known == name);
                let is_kptr = || matches!(self.pointer(&of), Ok(Some((kind, _))) if kind != FieldKind::Uptr);
                of.kind() == Kind::Struct && special.is_some_and(|(.., kind)| is_noted(*kind)) || is_kptr()
            })
    }

    /// The record of a struct or data section.
    pub(super) fn record(&self, id: TypeId, size: u32, wanted: impl Fn(FieldKind) -> bool) -> Found<Record> {
        let Some(ty) = self.btf.get(id) else { return Err(Refused::Invalid) };
        let mut search = Search { wanted: &wanted, fields: Vec::new(), seen: Vec::new(), visits: 0 };
        match ty.kind() {
            Kind::Struct => self.members(&mut search, id, &ty, 0)?,
            Kind::DataSec => self.section(&mut search, &ty)?,
            _ => return Err(Refused::Invalid),
        }
        self.finish(search.fields, size)
    }

    /// The fields fit into the value, one after the other, and go together.
    fn finish(&self, fields: Vec<Field>, size: u32) -> Found<Record> {
        let mut next = 0;
        for field in &fields {
            let end = u64::from(field.offset) + u64::from(field.size);
            if end > size.into() || u64::from(field.offset) < next {
                return Err(Refused::Invalid);
            }
            next = end;
        }
        let record = Record { fields };
        let has = |kind| record.has(|found| found == kind);
        let locks = has(FieldKind::SpinLock) || has(FieldKind::ResSpinLock);
        let roots = has(FieldKind::ListHead) || has(FieldKind::RbRoot);
        let both_locks = has(FieldKind::SpinLock) && has(FieldKind::ResSpinLock);
        let both_nodes = has(FieldKind::ListNode) && has(FieldKind::RbNode);
        if both_locks || roots && !locks || both_nodes && !has(FieldKind::Refcount) {
            return Err(Refused::Invalid);
        }
        Ok(record)
    }

    fn members(&self, search: &mut Search<'_>, of: TypeId, ty: &Type<'_>, depth: u32) -> Found<()> {
        for (number, member) in ty.composite().into_iter().flat_map(|of| of.members()).enumerate() {
            if !member.bit_offset.is_multiple_of(8) {
                return Err(Refused::Invalid);
            }
            let tagged = (of, number as i32);
            self.field(search, tagged, member.ty, member.bit_offset / 8, None, depth)?;
        }
        Ok(())
    }

    fn section(&self, search: &mut Search<'_>, ty: &Type<'_>) -> Found<()> {
        for info in ty.data_sec().into_iter().flat_map(|section| section.vars()) {
            let Some(var) = self.btf.get(info.ty) else { return Err(Refused::Invalid) };
            let before = search.fields.len();
            self.field(search, (info.ty, -1), var.target(), 0, Some(info.size), 0)?;
            if search.fields.len() == before {
                continue;
            }
            // The compiler leaves the place of a variable to its symbol.
            let offset = self.place(self.btf.name(&var), self.btf.name(ty)).unwrap_or(info.offset);
            for field in &mut search.fields[before..] {
                field.offset += offset;
            }
        }
        search.fields.sort_by_key(|field| field.offset);
        Ok(())
    }

    /// Where a variable is in its section.
    fn place(&self, name: &str, section: &str) -> Option<u32> {
        let elf = &self.object.elf;
        let in_section = |index: u32| elf.section_at(index).is_some_and(|found| found.name == section);
        let mut symbols = elf.symbols.iter();
        let found = symbols.find(|symbol| symbol.name.as_deref() == Some(name) && in_section(symbol.section));
        found.and_then(|symbol| u32::try_from(symbol.value).ok())
    }

    /// A member, or a variable (`btf_find_field_one`); `tagged` is what may have a tag that says what a list holds.
    fn field(
        &self,
        search: &mut Search<'_>,
        tagged: (TypeId, i32),
        ty: TypeId,
        offset: u32,
        expected: Option<u32>,
        depth: u32,
    ) -> Found<()> {
        search.visits += 1;
        if search.visits > MOST_VISITS {
            return Err(Refused::Unknown("the types are too entangled".into()));
        }
        let Some(mut of) = self.btf.get(ty) else { return Err(Refused::Invalid) };
        let mut id = ty;
        let mut count = 1u32;
        let mut arrays = 0;
        while let Some(array) = of.array() {
            arrays += 1;
            if arrays == DEPTH {
                return Err(Refused::Invalid);
            }
            count = count.wrapping_mul(array.nelems);
            id = array.elem;
            let Some(element) = self.btf.get(id) else { return Err(Refused::Invalid) };
            of = element;
        }
        if count == 0 {
            return Ok(());
        }
        let fits = |size: u32| expected.is_none_or(|expected| expected == size.wrapping_mul(count));
        let name = self.btf.name(&of);
        let special = self.structs.iter().find(|(known, _, kind)| *known == name && (search.wanted)(*kind));
        let field = match special {
            Some(&(_, size, kind)) => {
                if kind.is_unique() {
                    if search.seen.contains(&kind) {
                        return Err(Refused::Invalid);
                    }
                    search.seen.push(kind);
                }
                let align = size.min(8);
                if !fits(size)
                    || !offset.is_multiple_of(align)
                    || of.kind() != Kind::Struct
                    || of.size() != size
                {
                    return Ok(());
                }
                let (target, node_offset) = match kind {
                    FieldKind::ListHead | FieldKind::RbRoot => {
                        let (target, node) = self.graph_root(tagged, kind)?;
                        (Some(target), node)
                    }
                    _ => (None, 0),
                };
                Field { kind, offset, size, target, node_offset }
            }
            None if of.kind() == Kind::Struct => {
                if !fits(of.size()) {
                    return Ok(());
                }
                return self.nested(search, id, &of, offset, count, depth + 1);
            }
            None => {
                if !fits(8) || !offset.is_multiple_of(8) {
                    return Ok(());
                }
                let Some((kind, target)) = self.pointer(&of)?.filter(|(kind, _)| (search.wanted)(*kind))
                else {
                    return Ok(());
                };
                let target = Some(self.kptr(kind, target)?);
                Field { kind, offset, size: 8, target, node_offset: 0 }
            }
        };
        let start = search.fields.len();
        search.fields.push(field);
        self.repeat(search, start, count, field.size)
    }

    /// A struct in a struct (`btf_find_nested_struct`).
    fn nested(
        &self,
        search: &mut Search<'_>,
        id: TypeId,
        ty: &Type<'_>,
        offset: u32,
        count: u32,
        depth: u32,
    ) -> Found<()> {
        if depth >= DEPTH {
            return Err(Refused::Invalid);
        }
        let start = search.fields.len();
        self.members(search, id, ty, depth)?;
        if search.fields.len() == start {
            return Ok(());
        }
        for field in &mut search.fields[start..] {
            field.offset = field.offset.wrapping_add(offset);
        }
        self.repeat(search, start, count, ty.size())
    }

    /// The fields from one on are those of an array's first element (`btf_repeat_fields`).
    fn repeat(&self, search: &mut Search<'_>, start: usize, count: u32, size: u32) -> Found<()> {
        let one = search.fields.len() - start;
        let total = start as u64 + one as u64 * u64::from(count);
        if total > MOST {
            return Err(Refused::Invalid);
        }
        if count == 1 {
            return Ok(());
        }
        let repeats =
            |kind: FieldKind| kind.is_pointer() || kind == FieldKind::ListHead || kind == FieldKind::RbRoot;
        if !search.fields[start..].iter().all(|field| repeats(field.kind)) {
            return Err(Refused::Invalid);
        }
        for element in 1..count {
            for at in start..start + one {
                let mut field = search.fields[at];
                field.offset = field.offset.wrapping_add(element.wrapping_mul(size));
                search.fields.push(field);
            }
        }
        Ok(())
    }

    /// A pointer that the kernel looks after, by its tag, and the struct that it points to (`btf_find_kptr`).
    fn pointer(&self, ty: &Type<'_>) -> Found<Option<(FieldKind, TypeId)>> {
        let inner = if ty.kind() == Kind::Volatile { self.btf.get(ty.target()) } else { Some(*ty) };
        let Some(pointer) = inner.filter(|ty| ty.kind() == Kind::Ptr) else { return Ok(None) };
        let mut id = pointer.target();
        let (mut kinds, mut tags, mut first) = (Vec::new(), 0, None);
        for step in 0.. {
            let Some(of) = self.btf.get(id) else { return Err(Refused::Invalid) };
            match of.kind() {
                Kind::TypeTag => {
                    tags += 1;
                    let kind = self.kind_of_tag(self.btf.name(&of));
                    if step == 0 {
                        first = Some(kind);
                    }
                    kinds.extend(kind.filter(|kind| !kinds.contains(kind)));
                }
                Kind::Const | Kind::Volatile | Kind::Restrict | Kind::Typedef => {}
                _ => break,
            }
            if step == DEPTH {
                return Err(Refused::Invalid);
            }
            id = of.target();
        }
        if tags == 0 {
            return Ok(None);
        }
        // Up to some release one tag was taken, behind the pointer, and no other than these.
        let plain = tags == 1 && matches!(first, Some(Some(_)));
        let kind = if plain || self.rules.since(Era::V7_2) {
            match kinds.as_slice() {
                [] => return Ok(None),
                [kind] => *kind,
                _ => return Err(Refused::Invalid),
            }
        } else if self.rules.era == Era::V6_12 {
            match first {
                None => return Ok(None),
                Some(Some(kind)) if tags == 1 => kind,
                _ => return Err(Refused::Invalid),
            }
        } else {
            return Err(Refused::Unknown("how the kernel takes pointers with several tags".into()));
        };
        match self.btf.get(id) {
            Some(target) if target.kind() == Kind::Struct => Ok(Some((kind, id))),
            _ => Err(Refused::Invalid),
        }
    }

    fn kind_of_tag(&self, name: &str) -> Option<FieldKind> {
        Some(match name {
            "kptr" => FieldKind::KptrRef,
            "kptr_untrusted" => FieldKind::KptrUnref,
            "percpu_kptr" => FieldKind::KptrPercpu,
            "uptr" if self.rules.since(Era::V6_16) => FieldKind::Uptr,
            _ => return None,
        })
    }

    /// What a kptr points to: the kernel's type of that name, or else the object's (`btf_parse_kptr`).
    fn kptr(&self, kind: FieldKind, local: TypeId) -> Found<TypeRef> {
        let name = self.btf.get(local).map(|ty| self.btf.name(&ty)).unwrap_or_default();
        match self.kernel.find_anywhere(name, Kind::Struct) {
            Lookup::Absent => Ok(TypeRef::object(local)),
            Lookup::Unknown(reason) => Err(Refused::Unknown(reason)),
            Lookup::Found((home, id)) => {
                if kind == FieldKind::KptrRef && !self.is_owned(name)? {
                    return Err(Refused::Invalid);
                }
                if kind == FieldKind::Uptr {
                    return Err(Refused::Invalid);
                }
                Ok(TypeRef { btf: BtfOf::Kernel(home), id })
            }
        }
    }

    /// The kernel knows how to let go of an object (`btf_find_dtor_kfunc`).
    fn is_owned(&self, name: &str) -> Found<bool> {
        let by_function = match name {
            "bpf_crypto_ctx" => "bpf_crypto_ctx_release_dtor",
            "sk_buff" => "bpf_kfree_skb_dtor",
            "bpf_ksock" => "bpf_ksock_release_dtor",
            "prog_test_ref_kfunc" => "bpf_kfunc_call_test_release_dtor",
            "prog_test_member" => "bpf_kfunc_call_memb_release_dtor",
            _ => return Ok(OWNED.contains(&name)),
        };
        match self.kernel.function(by_function) {
            Lookup::Found(()) => Ok(true),
            // In older kernels the function that releases it is the one that lets go of it.
            Lookup::Absent => {
                match by_function.strip_suffix("_dtor").map(|name| self.kernel.function(name)) {
                    Some(Lookup::Absent) | None => Ok(false),
                    Some(_) => Err(Refused::Unknown(
                        format!("whether the kernel lets a map own a '{name}' is not known").into(),
                    )),
                }
            }
            Lookup::Unknown(reason) => Err(Refused::Unknown(reason)),
        }
    }

    /// What a list or tree holds, by the tag at it, and where the node is in that (`btf_find_graph_root`).
    fn graph_root(&self, tagged: (TypeId, i32), kind: FieldKind) -> Found<(TypeRef, u32)> {
        let mut tags = self.btf.decl_tags().filter_map(|(of, component, tag)| {
            ((of, component) == tagged).then(|| tag.strip_prefix("contains:")).flatten()
        });
        let (Some(tag), None) = (tags.next(), tags.next()) else { return Err(Refused::Invalid) };
        let Some((name, node)) = tag.split_once(':').filter(|(_, node)| !node.is_empty()) else {
            return Err(Refused::Invalid);
        };
        let Some(id) = self.btf.names().find(name, Kind::Struct) else { return Err(Refused::Invalid) };
        let wanted = if kind == FieldKind::ListHead { "bpf_list_node" } else { "bpf_rb_node" };
        let members = self.btf.get(id).and_then(|ty| ty.composite());
        let mut found = members.into_iter().flat_map(|of| of.members());
        let mut found = found.by_ref().filter(|member| self.btf.str(member.name) == node);
        let (Some(member), None) = (found.next(), found.next()) else { return Err(Refused::Invalid) };
        let is_node = self
            .btf
            .get(member.ty)
            .is_some_and(|ty| ty.kind() == Kind::Struct && self.btf.name(&ty) == wanted);
        if !is_node || member.bit_offset % 64 != 0 {
            return Err(Refused::Invalid);
        }
        Ok((TypeRef::object(id), member.bit_offset / 8))
    }
}
