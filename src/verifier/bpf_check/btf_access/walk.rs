//! What lies in a struct at an offset (`btf_struct_walk`).

use rustc_hash::FxHashMap;
use std::rc::Rc;

use crate::btf::{Btf, Kind, Type, TypeId};
use crate::errno::Errno;
use crate::verifier::bpf_check::refusal::{Step, Stop, Why};
use crate::verifier::bpf_check::reg::{Flags, TypeRef};
use crate::verifier::bpf_check::rules::{Era, Rules};

/// Walks that were made: the type, the offset, how many bytes, and whether flexible arrays count.
pub type Walks = FxHashMap<(TypeRef, i32, u32, bool), Rc<Place>>;

/// Structs in structs that are looked through: as many as any type has, and more.
pub const DEPTH: usize = 64;

/// What is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A number.
    Scalar,
    /// A pointer to a struct.
    Pointer {
        /// The struct.
        id: TypeId,
        /// `UNTRUSTED` below a union, and what the tags of the pointer say.
        flags: Flags,
        /// How fields of that name keep trust.
        keeps: Keeps,
    },
    /// A pointer to something else (6.17 on).
    Untrusted,
}

/// How a field keeps the trust of its struct (`btf_nested_type_is_trusted`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Keeps {
    /// It is trusted.
    pub trusted: bool,
    /// It is trusted, or NULL.
    pub trusted_or_null: bool,
    /// It is protected by RCU.
    pub rcu: bool,
    /// It is protected by RCU, or NULL.
    pub rcu_or_null: bool,
}

fn refused<T>(errno: Errno, message: String) -> Step<T> {
    Err(Stop::refused(Why::KernelField, errno, message))
}

/// The name in most messages; a struct without one is `(anon)`.
fn name_of<'b>(btf: &Btf<'b>, ty: &Type<'_>) -> &'b str {
    match btf.name(ty) {
        "" => "(anon)",
        name => name,
    }
}

/// A member's type, arrays taken apart.
struct Element<'d> {
    ty: Type<'d>,
    id: TypeId,
    /// Bytes of all elements.
    size: u64,
    count: u64,
    is_array: bool,
}

fn element<'d>(btf: &Btf<'d>, id: TypeId) -> Option<Element<'d>> {
    let (mut id, mut count, mut is_array) = (id, 1u64, false);
    for _ in 0..DEPTH {
        let (resolved, ty) = btf.resolve(id)?;
        if let Some(array) = ty.array() {
            is_array = true;
            count = count.checked_mul(array.nelems.into()).filter(|count| *count <= u64::from(u32::MAX))?;
            id = array.elem;
            continue;
        }
        let size = match ty.kind() {
            Kind::Ptr => 8,
            Kind::Int | Kind::Struct | Kind::Union | Kind::Enum | Kind::Enum64 | Kind::Float => {
                u64::from(ty.size())
            }
            _ => return None,
        };
        return Some(Element { ty, id: resolved, size: size * count, count, is_array });
    }
    None
}

/// What is at an offset of a type, `size` bytes (`btf_struct_access` without what it asks of the register).
pub fn walk(btf: &Btf<'_>, rules: &Rules, root: TypeId, off: i32, size: u32, flexible: bool) -> Step<Place> {
    let (mut id, mut off, size) = (root, i64::from(off), i64::from(size));
    let mut flags = Flags::NONE;
    for _ in 0..DEPTH {
        let found = struct_walk(btf, rules, id, off, size, flexible)?;
        flags = flags.with(found.flags);
        match found.place {
            WalkResult::Struct(inner) => (id, off) = (inner, 0),
            WalkResult::Pointer { field, target: Some(target) } => {
                return Ok(Place::Pointer { id: target, flags, keeps: keeps(btf, root, field, target) });
            }
            WalkResult::Pointer { target: None, .. } if rules.since(Era::V6_17) => {
                return Ok(Place::Untrusted);
            }
            WalkResult::Pointer { target: None, .. } => return Ok(Place::Scalar),
            WalkResult::Number { beyond: Some(message) } if !flags.has(Flags::UNTRUSTED) => {
                return refused(Errno::EACCES, message);
            }
            WalkResult::Number { .. } => return Ok(Place::Scalar),
        }
    }
    Err(Stop::unmodelled("a type that is too deep"))
}

/// What lies in a struct.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Walked<'b> {
    /// What it is.
    pub place: WalkResult<'b>,
    /// `UNTRUSTED` below a union, and what the tags of a pointer say.
    pub flags: Flags,
}

/// What it is that lies there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WalkResult<'b> {
    /// A struct or union that begins there.
    Struct(TypeId),
    /// A number.
    Number {
        /// What is said where the access reaches beyond its end, of a struct that is trusted.
        beyond: Option<String>,
    },
    /// A pointer.
    Pointer {
        /// The member that it is.
        field: &'b str,
        /// The struct that it points to, if it points to one.
        target: Option<TypeId>,
    },
}

/// What is in a struct at an offset (`btf_struct_walk`): the first thing that begins there, or what holds it.
///
/// # Errors
/// What the kernel says where there is nothing; a type that is not known.
pub fn struct_walk<'b>(
    btf: &'b Btf<'_>,
    rules: &Rules,
    of: TypeId,
    off: i64,
    size: i64,
    flexible: bool,
) -> Step<Walked<'b>> {
    let (mut id, mut off) = (of, off);
    let mut flags = Flags::NONE;
    'structs: for _ in 0..DEPTH {
        let Some((_, ty)) = btf.resolve(id) else { return Err(Stop::unmodelled("a type that is not known")) };
        let name = name_of(btf, &ty);
        let Some(composite) = ty.composite() else {
            return refused(Errno::EINVAL, format!("Type '{name}' is not a struct"));
        };
        if ty.kind() == Kind::Union && ty.vlen() != 1 {
            flags = flags.with(Flags::UNTRUSTED);
        }
        let number = Walked { place: WalkResult::Number { beyond: None }, flags };
        if off < 0 || off + size > i64::from(composite.size()) {
            let beyond =
                || refused(Errno::EACCES, format!("access beyond struct {name} at off {off} size {size}"));
            // An array without an end may be the last member.
            let last = composite.member(ty.vlen().wrapping_sub(1)).filter(|_| flexible);
            let Some(member) = last else { return beyond() };
            let array = btf.resolve(member.ty).and_then(|(_, ty)| ty.array());
            let start = i64::from(member.bit_offset / 8);
            let Some(array) = array.filter(|array| array.nelems == 0 && off >= start) else {
                return beyond();
            };
            let Some((inner, of)) = btf.resolve(array.elem) else { return beyond() };
            match of.kind() {
                Kind::Int => return Ok(number),
                Kind::Struct | Kind::Union if of.size() > 0 => {
                    off = (off - start) % i64::from(of.size());
                    id = inner;
                    continue 'structs;
                }
                _ => return beyond(),
            }
        }
        for member in composite.members() {
            let mut start = i64::from(member.bit_offset / 8);
            if off + size <= start {
                break;
            }
            if member.bitfield_size > 0 {
                let end = (i64::from(member.bit_offset) + i64::from(member.bitfield_size) + 7) / 8;
                if off <= start && end <= off + size {
                    return Ok(number);
                }
                continue;
            }
            if off < start {
                break;
            }
            let field = match btf.str(member.name) {
                "" => "(anon)",
                name => name,
            };
            let Some(found) = element(btf, member.ty) else {
                return refused(Errno::EFAULT, format!("field {field} doesn't have size"));
            };
            let end = start + found.size as i64;
            if off >= end {
                continue;
            }
            let mut element_size = found.size as i64;
            if found.is_array {
                element_size /= found.count.max(1) as i64;
                start += (off - start) / element_size.max(1) * element_size;
            }
            match found.ty.kind() {
                Kind::Struct | Kind::Union if off == start => {
                    return Ok(Walked { place: WalkResult::Struct(found.id), flags });
                }
                Kind::Struct | Kind::Union => {
                    off -= start;
                    id = found.id;
                    continue 'structs;
                }
                Kind::Ptr if element_size != size || off != start => {
                    let message = format!(
                        "cannot access ptr member {field} with moff {start} in struct {name} with off {off} size {size}"
                    );
                    return refused(Errno::EACCES, message);
                }
                Kind::Ptr => {
                    let (target, tags) = pointer(btf, rules, &found.ty)?.unzip();
                    let flags = flags.with(tags.unwrap_or(Flags::NONE));
                    return Ok(Walked { place: WalkResult::Pointer { field, target }, flags });
                }
                _ => {}
            }
            let beyond = (off + size > end).then(|| {
                format!(
                    "access beyond the end of member {field} (mend:{end}) in struct {name} with off {off} size {size}"
                )
            });
            return Ok(Walked { place: WalkResult::Number { beyond }, flags });
        }
        return refused(Errno::EINVAL, format!("struct {name} doesn't have field at offset {off}"));
    }
    Err(Stop::unmodelled("a type that is too deep"))
}

/// The struct that a pointer points to, and the flags of its tags; `None` where it points to something else.
fn pointer(btf: &Btf<'_>, rules: &Rules, pointer: &Type<'_>) -> Step<Option<(TypeId, Flags)>> {
    let mut id = pointer.target();
    let mut flags = Flags::NONE;
    let mut tags = 0;
    for step in 0..DEPTH {
        let Some(ty) = btf.get(id) else { return Err(Stop::unmodelled("a type that is not known")) };
        match ty.kind() {
            Kind::TypeTag => {
                let flag = match btf.name(&ty) {
                    "user" => Flags::USER,
                    "percpu" => Flags::PERCPU,
                    "rcu" => Flags::RCU,
                    _ => Flags::NONE,
                };
                // Up to some release only the tag directly behind the pointer counted.
                if flag != Flags::NONE && !flags.has(flag) && (step == 0 || rules.since(Era::V7_2)) {
                    flags = flags.with(flag);
                    tags += 1;
                }
            }
            Kind::Const | Kind::Volatile | Kind::Restrict | Kind::Typedef => {}
            Kind::Struct | Kind::Union if tags > 1 => {
                return refused(Errno::EINVAL, "type 'PTR' has multiple type tags".to_owned());
            }
            Kind::Struct | Kind::Union => return Ok(Some((id, flags))),
            _ => return Ok(None),
        }
        id = ty.target();
    }
    Err(Stop::unmodelled("a type that is too deep"))
}

/// How a field of the struct that the walk began in keeps trust, by the verifier's own lists.
fn keeps(btf: &Btf<'_>, root: TypeId, field: &str, target: TypeId) -> Keeps {
    let Some((_, ty)) = btf.resolve(root) else { return Keeps::default() };
    let (of, kind) = (btf.name(&ty), ty.kind());
    if of.is_empty() {
        return Keeps::default();
    }
    let names = btf.names();
    let listed = |end: &str| {
        let list = names.find(&format!("{of}{end}"), kind).and_then(|id| btf.get(id)?.composite());
        list.into_iter().flat_map(|list| list.members()).any(|member| {
            let pointer = btf.get(member.ty).filter(|ty| ty.kind() == Kind::Ptr);
            let pointee = pointer.and_then(|pointer| btf.resolve(pointer.target()));
            btf.str(member.name) == field && pointee.is_some_and(|(id, _)| id == target)
        })
    };
    Keeps {
        trusted: listed("__safe_trusted"),
        trusted_or_null: listed("__safe_trusted_or_null"),
        rcu: listed("__safe_rcu"),
        rcu_or_null: listed("__safe_rcu_or_null"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::btf::build::{Builder, Field};
    use crate::kernel::Kernel;
    use crate::kernel::target;

    fn rules() -> Rules {
        let target = target::load("7.3").unwrap().remove(0);
        Rules::of(&Kernel::new(&target).unwrap())
    }

    fn words(place: Step<Place>) -> String {
        match place {
            Err(Stop::Refused { message, .. }) => message,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_lies_at_an_offset() {
        let mut build = Builder::new();
        let int = build.int("int", 4, true);
        let leaf = build.composite("leaf", 8, &[Field::new("a", int, 0), Field::bits("b", int, 32, 3)]);
        let rcu = build.refer(Kind::TypeTag, "rcu", leaf);
        let (to_rcu, to_int) = (build.ptr(rcu), build.ptr(int));
        let numbers = build.array(int, 4);
        let flexible = build.array(leaf, 0);
        let either = build.union("", 8, &[Field::new("p", to_rcu, 0), Field::new("i", int, 0)]);
        let fields = [
            Field::new("leaf", leaf, 0),
            Field::new("p", to_rcu, 64),
            Field::new("i", to_int, 128),
            Field::new("numbers", numbers, 192),
            Field::new("either", either, 320),
            Field::new("end", flexible, 384),
        ];
        let of = build.composite("of", 48, &fields);
        let listed = build.ptr(leaf);
        build.composite("of__safe_rcu", 8, &[Field::new("p", listed, 0)]);
        let data = build.finish();
        let btf = Btf::parse(&data).unwrap();
        let rules = rules();
        let at = |off, size| walk(&btf, &rules, of, off, size, true);
        assert_eq!(at(0, 4).unwrap(), Place::Scalar);
        // A bitfield is a number, taken as a whole.
        assert_eq!(at(4, 1).unwrap(), Place::Scalar);
        let keeps = Keeps { rcu: true, ..Keeps::default() };
        assert_eq!(at(8, 8).unwrap(), Place::Pointer { id: leaf, flags: Flags::RCU, keeps });
        assert_eq!(at(16, 8).unwrap(), Place::Untrusted);
        // An array of numbers is one piece of memory.
        assert_eq!(at(28, 8).unwrap(), Place::Scalar);
        let flags = Flags::RCU.with(Flags::UNTRUSTED);
        assert_eq!(at(40, 8).unwrap(), Place::Pointer { id: leaf, flags, keeps });
        assert_eq!(at(48 + 8 * 7, 4).unwrap(), Place::Scalar);
        assert_eq!(words(at(8, 4)), "cannot access ptr member p with moff 8 in struct of with off 8 size 4");
        assert_eq!(words(walk(&btf, &rules, of, 48, 4, false)), "access beyond struct of at off 48 size 4");
        assert_eq!(
            words(at(36, 8)),
            "access beyond the end of member numbers (mend:40) in struct of with off 36 size 8"
        );
        assert_eq!(words(walk(&btf, &rules, leaf, 5, 1, true)), "struct leaf doesn't have field at offset 5");
    }
}
