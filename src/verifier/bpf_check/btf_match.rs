//! Whether a pointer to one type may be passed where another is asked for (`btf_struct_ids_match`).

use super::checker::Checker;
use super::reg::{BtfOf, TypeRef};
use crate::btf::{Btf, Kind, Type, TypeId};

/// How deep structs may lie in each other; the kernel knows no limit, and its types stay far below.
const MAX_NESTED: usize = 64;

/// What comes of a comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Matched {
    /// The pointer points to such a type, or to one at its start.
    Yes,
    /// It does not; with the line that the kernel prints on the way, if any.
    No(Option<String>),
}

impl Matched {
    /// It does.
    pub fn is_yes(&self) -> bool {
        *self == Self::Yes
    }
}

impl Checker<'_, '_> {
    /// Asks a BTF; `None` where it is not there.
    pub fn with_btf<R>(&self, of: BtfOf, ask: impl FnOnce(&Btf<'_>) -> R) -> Option<R> {
        match of {
            BtfOf::Kernel(crate::kernel::Home::Vmlinux) => Some(ask(self.kernel.btf())),
            BtfOf::Kernel(home) => Some(ask(&self.kernel.btf_of(home))),
            BtfOf::Object => self.object.btf.as_ref().map(ask),
        }
    }

    /// The name of a type as messages give it (`btf_type_name`).
    pub fn name_of_type(&self, ty: TypeRef) -> String {
        let name = |btf: &Btf<'_>| btf.get(ty.id).map(|found| btf.name(&found).to_owned());
        self.with_btf(ty.btf, name).flatten().unwrap_or_default()
    }

    /// Both are one type (`btf_types_are_same`): modules share the types of the kernel.
    pub fn is_same_type(&self, one: TypeRef, other: TypeRef) -> bool {
        let is_shared = || match (one.btf, other.btf) {
            (BtfOf::Kernel(_), BtfOf::Kernel(_)) => (one.id.0 as usize) < self.kernel.btf().len(),
            _ => false,
        };
        one.id == other.id && (one.btf == other.btf || is_shared())
    }

    /// A pointer to `have`, moved by `off`, points to `need`, or to a struct that has it at its start (`btf_struct_ids_match`).
    /// With `strict` it must be the type itself; with `flexible` an array without a size at the end of a struct goes on.
    pub fn match_struct(
        &self,
        have: TypeRef,
        off: i64,
        need: TypeRef,
        strict: bool,
        flexible: bool,
    ) -> Matched {
        if off == 0 && self.is_same_type(have, need) {
            return Matched::Yes;
        }
        if strict {
            return Matched::No(None);
        }
        let walk = |btf: &Btf<'_>| {
            let (mut at, mut off) = (have.id, off);
            for _ in 0..MAX_NESTED {
                match struct_at(btf, at, off, flexible) {
                    Err(message) => return Matched::No(message),
                    Ok(found) if self.is_same_type(TypeRef { btf: have.btf, id: found }, need) => {
                        return Matched::Yes;
                    }
                    Ok(found) => (at, off) = (found, 0),
                }
            }
            Matched::No(None)
        };
        self.with_btf(have.btf, walk).unwrap_or(Matched::No(None))
    }
}

/// The struct that begins at an offset of another (`btf_struct_walk` of one byte); else what the kernel says.
fn struct_at(btf: &Btf<'_>, of: TypeId, off: i64, flexible: bool) -> Result<TypeId, Option<String>> {
    let (mut id, mut off) = (of, off);
    'again: for _ in 0..MAX_NESTED {
        let (_, ty) = btf.resolve(id).ok_or(None)?;
        let name = btf.name(&ty);
        let Some(composite) = ty.composite() else {
            return Err(Some(format!("Type '{name}' is not a struct")));
        };
        if off < 0 || off >= i64::from(composite.size()) {
            let beyond = || Some(format!("access beyond struct {name} at off {off} size 1"));
            let last = ty.vlen().checked_sub(1).filter(|_| flexible).and_then(|at| composite.member(at));
            let last = last.ok_or_else(beyond)?;
            let array = btf.resolve(last.ty).and_then(|(_, ty)| ty.array()).filter(|array| array.nelems == 0);
            let array = array.ok_or_else(beyond)?;
            let start = i64::from(last.bit_offset / 8);
            if off < start {
                return Err(beyond());
            }
            let (elem, ty) = btf.resolve(array.elem).ok_or_else(beyond)?;
            match ty.kind() {
                Kind::Int => return Err(None),
                Kind::Struct | Kind::Union if ty.size() > 0 => {
                    off = (off - start) % i64::from(ty.size());
                    id = elem;
                    continue 'again;
                }
                _ => return Err(beyond()),
            }
        }
        for member in composite.members() {
            let start = i64::from(member.bit_offset / 8);
            if off < start {
                break;
            }
            if member.bitfield_size != 0 {
                let end =
                    i64::from(member.bit_offset.saturating_add(member.bitfield_size.into()).div_ceil(8));
                if off <= start && end <= off + 1 {
                    return Err(None);
                }
                continue;
            }
            let Some(field) = Field::of(btf, member.ty) else {
                return Err(Some(format!("field {} doesn't have size", btf.str(member.name))));
            };
            if off >= start + field.size {
                continue;
            }
            let skipped = (off - start) / field.each.max(1) * field.each;
            let start = start + skipped;
            match field.ty.kind() {
                Kind::Struct | Kind::Union if off == start => return Ok(field.id),
                Kind::Struct | Kind::Union => {
                    off -= start;
                    id = field.id;
                    continue 'again;
                }
                Kind::Ptr => {
                    let member = btf.str(member.name);
                    return Err(Some(format!(
                        "cannot access ptr member {member} with moff {start} in struct {name} with off {off} size 1"
                    )));
                }
                _ => return Err(None),
            }
        }
        return Err(Some(format!("struct {name} doesn't have field at offset {off}")));
    }
    Err(None)
}

/// A member's type: its size, and what its elements are if it is an array.
struct Field<'d> {
    size: i64,
    each: i64,
    id: TypeId,
    ty: Type<'d>,
}

impl<'d> Field<'d> {
    fn of(btf: &Btf<'d>, id: TypeId) -> Option<Self> {
        let size = i64::try_from(btf.size_of(id)?).ok()?;
        let (mut id, mut ty) = btf.resolve(id)?;
        for _ in 0..MAX_NESTED {
            let Some(array) = ty.array() else { break };
            (id, ty) = btf.resolve(array.elem)?;
        }
        let each = i64::try_from(btf.size_of(id)?).ok()?;
        Some(Self { size, each, id, ty })
    }
}
