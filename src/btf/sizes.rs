//! How large the values of a type are, and how they are aligned.

use std::collections::HashMap;

use super::ids::TypeId;
use super::section::{Btf, MAX_DEPTH};
use super::types::{Composite, Kind};
use crate::errno::Errno;

impl Btf<'_> {
    /// Size in bytes of a value of the type; `None` where it has none. See [`resolve_size`](Self::resolve_size).
    pub fn size_of(&self, id: TypeId) -> Option<u64> {
        self.resolve_size(id).ok()
    }

    /// Size in bytes of a value of the type (libbpf `btf__resolve_size`). Pointers take 8.
    ///
    /// # Errors
    /// `EINVAL` for void, functions and cycles, `E2BIG` for 4 GiB and more.
    pub fn resolve_size(&self, id: TypeId) -> Result<u64, Errno> {
        let (mut id, mut count) = (id, 1u64);
        let fits = |n: u64| if n <= u64::from(u32::MAX) { Ok(n) } else { Err(Errno::E2BIG) };
        for _ in 0..MAX_DEPTH {
            let ty = self.get(id).ok_or(Errno::EINVAL)?;
            let size = match ty.kind() {
                Kind::Ptr => 8,
                Kind::Int
                | Kind::Struct
                | Kind::Union
                | Kind::Enum
                | Kind::Enum64
                | Kind::DataSec
                | Kind::Float => u64::from(ty.size()),
                Kind::Typedef
                | Kind::Volatile
                | Kind::Const
                | Kind::Restrict
                | Kind::Var
                | Kind::DeclTag
                | Kind::TypeTag => {
                    id = ty.target();
                    continue;
                }
                Kind::Array => {
                    let array = ty.array().ok_or(Errno::EINVAL)?;
                    // Both are below 2^32.
                    count = fits(count * u64::from(array.nelems))?;
                    id = array.elem;
                    continue;
                }
                _ => return Err(Errno::EINVAL),
            };
            return fits(size * count);
        }
        Err(Errno::EINVAL)
    }

    /// Natural alignment in bytes (libbpf `btf__align_of`); `None` where it has none.
    pub fn align_of(&self, id: TypeId) -> Option<u32> {
        self.align_within(id, MAX_DEPTH, &mut HashMap::new())
    }

    fn align_within(&self, id: TypeId, depth: usize, seen: &mut HashMap<TypeId, Option<u32>>) -> Option<u32> {
        let depth = depth.checked_sub(1)?;
        let ty = self.get(id)?;
        match ty.kind() {
            Kind::Int | Kind::Enum | Kind::Enum64 | Kind::Float => (ty.size() > 0).then(|| ty.size().min(8)),
            Kind::Ptr => Some(8),
            Kind::Typedef | Kind::Volatile | Kind::Const | Kind::Restrict | Kind::TypeTag => {
                self.align_within(ty.target(), depth, seen)
            }
            Kind::Array => self.align_within(ty.array()?.elem, depth, seen),
            Kind::Struct | Kind::Union => {
                if let Some(&known) = seen.get(&id) {
                    return known;
                }
                // A cycle comes back to this.
                seen.insert(id, None);
                let align = self.align_of_composite(ty.composite()?, depth, seen);
                seen.insert(id, align);
                align
            }
            _ => None,
        }
    }

    fn align_of_composite(
        &self,
        ty: Composite<'_>,
        depth: usize,
        seen: &mut HashMap<TypeId, Option<u32>>,
    ) -> Option<u32> {
        let mut most = 1;
        for member in ty.members() {
            let align = self.align_within(member.ty, depth, seen)?;
            most = most.max(align);
            // What lies where its type may not is packed.
            if member.bitfield_size == 0 && member.bit_offset % (8 * align) != 0 {
                return Some(1);
            }
        }
        Some(if ty.size().is_multiple_of(most) { most } else { 1 })
    }
}
