//! `special-field-in-mapped-data`.

use super::context::Context;
use crate::btf::{Btf, Kind, Type, TypeId, VarSecInfo};
use crate::errno::Errno;
use crate::finding::{Outcome, Site, Subject};
use crate::kernel::Lookup;
use crate::kernel::special_fields::{MOST, OWNED, SPECIAL_FIELDS};
use crate::object::{F_MMAPABLE, MapIdx, MapOrigin};

rule! {
    /// A lock, a timer or a kptr stands among global variables that libbpf maps into user space.
    ///
    /// ## Why it matters
    /// User space must not see what the kernel keeps in such a field, so the kernel lets no map be mapped that has one. libbpf maps each data section in
    /// which a variable is global and visible, and gives up the load where that fails.
    /// ## Example
    /// ```c
    /// struct bpf_spin_lock lock;      /* in .bss, beside other globals */
    /// ```
    /// ## Fix
    /// Move the field into a section of its own, as `private(A)` of the selftests does: `SEC(".data.A") __hidden struct bpf_spin_lock lock;`, or
    /// into the value of an array map.
    /// ## Sources
    /// kernel `bpf_map_mmap`, `btf_find_datasec_var`, `btf_get_field_type`, `btf_repeat_fields`; libbpf `bpf_object__populate_internal_map`.
    pub SPECIAL_FIELD_IN_MAPPED_DATA: "special-field-in-mapped-data", family: Map, level: Error, phase: Load, since: "0.1.0";
}

pub(super) fn check(cx: &Context<'_, '_>, out: &mut Outcome) {
    let Some(btf) = &cx.object.btf else { return };
    let mut visits = MOST_VISITS;
    for (index, map) in cx.object.maps.iter().enumerate() {
        let mapped = matches!(map.origin, MapOrigin::Data | MapOrigin::Bss) && map.flags & F_MMAPABLE != 0;
        let vars = btf.get(map.type_id).and_then(|ty| ty.data_sec()).filter(|_| mapped);
        let Some(vars) = vars else { continue };
        let (sure, unique) = (Vec::new(), Vec::new());
        let mut record = Record { cx, btf, sure, unsure: None, unique, len: 0, visits: &mut visits };
        let subject = Subject::map(cx.object, MapIdx(index));
        match vars.vars().try_for_each(|var| record.variable(var)) {
            Ok(()) => {}
            Err(Stop::NoRecord) => continue,
            Err(Stop::Entangled(name)) => {
                let reason = format!(
                    "'{name}' holds more fields than are looked at; where one is a lock, a timer or the like, libbpf cannot map {}",
                    map.name
                );
                out.undecided(&SPECIAL_FIELD_IN_MAPPED_DATA, subject, reason);
                continue;
            }
        }
        match (record.sure.first(), record.unsure) {
            (Some((name, what)), None) => {
                let kernel_name = &map.kernel_name;
                let message = format!(
                    "'{name}' holds a {what}, and libbpf maps its section {} into user space",
                    map.name
                );
                out.found(&SPECIAL_FIELD_IN_MAPPED_DATA, subject, message)
                    .errno(Errno::ENOTSUPP)
                    .quote(format!("map '{kernel_name}': failed to re-mmap() contents: -ENOTSUPP"))
                    .help("give it a section of its own whose variables are all hidden or static, or an array map")
                    .at(Site::Map(MapIdx(index)), "this section");
            }
            (_, Some((name, what))) => {
                let reason = format!(
                    "'{name}' holds a {what}; where the kernel takes it for one, libbpf cannot map {}",
                    map.name
                );
                out.undecided(&SPECIAL_FIELD_IN_MAPPED_DATA, subject, reason);
            }
            (None, None) => {}
        }
    }
}

/// Special fields that a section has (`struct btf_record`).
struct Record<'c, 'a, 'd> {
    cx: &'c Context<'a, 'd>,
    btf: &'a Btf<'d>,
    /// Variables with one, and what it is.
    sure: Vec<(&'d str, &'static str)>,
    /// A variable with something that not every kernel takes for one.
    unsure: Option<(&'d str, &'static str)>,
    /// Of those that a section may have once: what was seen, and whether it was a variable itself.
    unique: Vec<(&'static str, bool)>,
    /// Number of fields.
    len: u64,
    /// What may still be looked at, of all sections.
    visits: &'c mut u32,
}

/// Why a section is not looked at to its end.
enum Stop<'d> {
    /// The kernel keeps no record of the section: it found something wrong with it, and treats the map like any other.
    NoRecord,
    /// A variable has too much in it.
    Entangled(&'d str),
}

/// Variables and members of structs that are looked at in one object. A struct with two members of the next one, and so on, has any
/// number of them in little space; the schedulers that we know have at most some thousands.
const MOST_VISITS: u32 = 1 << 16;

/// How deep structs are searched: more than that is for hostile types.
const DEPTH: usize = 32;

#[derive(Clone, Copy)]
enum Special {
    /// All kernels know it, and take one of it.
    Once(&'static str),
    /// Any number of it.
    Many(&'static str),
    /// Not all kernels know it, or more than its type counts.
    Unsure(&'static str),
}

impl<'d> Record<'_, '_, 'd> {
    fn variable(&mut self, info: VarSecInfo) -> Result<(), Stop<'d>> {
        let Some(var) = self.btf.get(info.ty) else { return Ok(()) };
        self.field(self.btf.name(&var), var.target(), info.offset, Some(info.size), 0)
    }

    /// Looks for special fields in a variable or a member (`btf_find_field_one`). Names count as they stand: a typedef or
    /// a qualifier hides them.
    fn field(
        &mut self,
        var: &'d str,
        ty: TypeId,
        offset: u32,
        expected: Option<u32>,
        depth: usize,
    ) -> Result<(), Stop<'d>> {
        *self.visits = self.visits.checked_sub(1).ok_or(Stop::Entangled(var))?;
        let mut elements = 1u64;
        let mut ty = self.btf.get(ty);
        for _ in 0..DEPTH {
            let Some(array) = ty.and_then(|ty| ty.array()) else { break };
            elements = elements.saturating_mul(array.nelems.into());
            ty = self.btf.get(array.elem);
        }
        let Some(ty) = ty.filter(|_| elements > 0) else { return Ok(()) };
        let fits =
            |size: u32| expected.is_none_or(|expected| u64::from(expected) == u64::from(size) * elements);
        let special = match ty.kind() {
            Kind::Struct => {
                let name = self.btf.name(&ty);
                match SPECIAL_FIELDS.iter().find(|known| known.name == name) {
                    Some(known) if known.size == ty.size() && known.is_plain => Special::Once(known.name),
                    Some(known) if known.size == ty.size() => Special::Unsure(known.name),
                    Some(_) => return Ok(()),
                    None if fits(ty.size()) => return self.members(var, &ty, offset, elements, depth),
                    None => return Ok(()),
                }
            }
            Kind::Ptr => match self.pointer(&ty)? {
                Some(special) => special,
                None => return Ok(()),
            },
            _ => return Ok(()),
        };
        let size = if ty.kind() == Kind::Ptr { 8 } else { ty.size() };
        let aligned = offset.is_multiple_of(size.min(8));
        if !fits(size) || !aligned {
            return Ok(());
        }
        self.len = self.len.saturating_add(elements);
        if self.len > MOST {
            return Err(Stop::NoRecord);
        }
        match special {
            Special::Once(_) if elements > 1 => return Err(Stop::NoRecord),
            Special::Once(what) if depth == 0 && self.unique.contains(&(what, true)) => {
                return Err(Stop::NoRecord);
            }
            // A second one inside a struct may pass.
            Special::Once(what) if self.unique.iter().any(|(seen, _)| *seen == what) => {
                self.unsure = Some((var, what))
            }
            Special::Once(what) => {
                self.unique.push((what, depth == 0));
                self.sure.push((var, what));
            }
            Special::Many(what) => self.sure.push((var, what)),
            Special::Unsure(what) => self.unsure = Some((var, what)),
        }
        Ok(())
    }

    fn members(
        &mut self,
        var: &'d str,
        ty: &Type<'d>,
        offset: u32,
        elements: u64,
        depth: usize,
    ) -> Result<(), Stop<'d>> {
        let before = self.sure.len();
        if depth < DEPTH {
            for member in ty.composite().into_iter().flat_map(|of| of.members()) {
                let offset = offset.wrapping_add(member.bit_offset / 8);
                self.field(var, member.ty, offset, None, depth + 1)?;
            }
        }
        if let (Some(&(var, what)), true) = (self.sure.get(before), elements > 1) {
            self.unsure = Some((var, what));
        }
        Ok(())
    }

    /// What a pointer is by its type tag (`btf_find_kptr`, `btf_parse_kptr`).
    fn pointer(&self, pointer: &Type<'d>) -> Result<Option<Special>, Stop<'d>> {
        let Some(tag) = self.btf.get(pointer.target()).filter(|ty| ty.kind() == Kind::TypeTag) else {
            return Ok(None);
        };
        let owns = match self.btf.name(&tag) {
            "kptr" => true,
            "kptr_untrusted" => false,
            "percpu_kptr" | "uptr" => return Ok(Some(Special::Unsure("pointer with a type tag"))),
            _ => return Ok(None),
        };
        // Qualifiers behind the tag are skipped.
        let target = self.btf.resolve(tag.target()).map(|(_, ty)| ty);
        let Some(target) = target.filter(|ty| ty.kind() == Kind::Struct) else {
            return Err(Stop::NoRecord);
        };
        let name = self.btf.name(&target);
        let in_kernel = self.cx.kernel.map(|kernel| kernel.lookup(name, Kind::Struct));
        Ok(Some(match in_kernel {
            _ if OWNED.contains(&name) => Special::Many("kptr"),
            Some(Lookup::Absent) => Special::Many("kptr"),
            Some(Lookup::Found(_)) if !owns => Special::Many("kptr"),
            _ => Special::Unsure("kptr"),
        }))
    }
}
