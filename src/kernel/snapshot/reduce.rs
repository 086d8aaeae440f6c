//! Which types of a kernel's BTF a snapshot keeps.
//!
//! Three quarters of the types of a distribution kernel are functions and their prototypes, which only exist to be
//! traced. A snapshot keeps their names, and in full what an object can be held against: everything that CO-RE can
//! name, kfuncs, typed ksyms, and sched_ext's own functions, by which one kernel is told from another.

use std::collections::{BTreeSet, HashSet};

use super::super::kfunc_flags::KfuncSets;
use super::raw::{Raw, RawType, kind, references, tagged_kfuncs};
use crate::btf::TypeId;

/// Functions that are kept with their prototype: kfuncs by their prefix, for a BTF without `bpf_kfunc` tags
/// (pahole before 1.26 writes none), and LSM and iterator attach points, which start with `bpf_` too.
const PREFIXES: [&str; 2] = ["bpf_", "scx_"];
/// Functions that are kept because the kernel model reads facts off them.
const INFIXES: [&str; 3] = ["scx_", "sched_ext", "bpf_struct_ops"];

/// What is kept, and the names of what is not.
pub(super) struct Reduced<'d> {
    /// Ids that are kept, ascending.
    pub ids: Vec<u32>,
    /// Names of the functions that are not kept, sorted, each once.
    pub functions: BTreeSet<&'d [u8]>,
}

/// Decides for a whole section; what is in one of the sets is kept.
pub(super) fn reduce<'d>(raw: &Raw<'d>, kfuncs: &KfuncSets) -> Reduced<'d> {
    let tagged = tagged_kfuncs(raw);
    // BPF objects list their kfuncs in a section; sections are kept whole.
    let mut in_sections = HashSet::new();
    for (_, ty) in raw.types().filter(|(_, ty)| ty.kind == kind::DATASEC) {
        references(&ty, &mut |id| {
            in_sections.insert(id);
        });
    }
    // All functions of one name stay or go together, so that the lowest id of a name is the same before and after.
    let kept_names: HashSet<&[u8]> = raw
        .types()
        .filter(|(_, ty)| ty.kind == kind::FUNC)
        .filter(|(id, ty)| {
            tagged.contains(id)
                || in_sections.contains(id)
                || kfuncs.flags(TypeId(*id)).is_some()
                || is_wanted(raw.bytes(ty.name))
        })
        .map(|(_, ty)| raw.bytes(ty.name))
        .collect();

    let mut keep = vec![false; raw.len() as usize];
    let mut functions = BTreeSet::new();
    let mut pending: Vec<u32> = Vec::new();
    for (id, ty) in raw.types() {
        let name = raw.bytes(ty.name);
        match ty.kind {
            kind::FUNC if !kept_names.contains(name) => {
                functions.insert(name);
            }
            _ if is_root(&ty) => pending.push(id),
            _ => {}
        }
    }
    while let Some(id) = pending.pop() {
        // A prototype's return type is not checked by the parser, as it is not by libbpf.
        if id == 0 || keep.get(id as usize).is_none_or(|&kept| kept) {
            continue;
        }
        keep[id as usize] = true;
        references(&raw.get(id), &mut |target| pending.push(target));
    }
    // Tags on tags do not exist; one pass is enough.
    for (id, ty) in raw.types() {
        if ty.kind == kind::DECL_TAG && keep.get(ty.third as usize).is_some_and(|&kept| kept) {
            keep[id as usize] = true;
        }
    }
    let ids = (1..raw.len()).filter(|&id| keep[id as usize]).collect();
    Reduced { ids, functions }
}

/// A type that is kept for its own sake; others are kept where one of these needs them.
fn is_root(ty: &RawType<'_>) -> bool {
    match ty.kind {
        kind::INT
        | kind::ENUM
        | kind::ENUM64
        | kind::FWD
        | kind::TYPEDEF
        | kind::FLOAT
        | kind::VAR
        | kind::DATASEC
        | kind::FUNC => true,
        kind::STRUCT | kind::UNION => ty.name != 0,
        _ => false,
    }
}

fn is_wanted(name: &[u8]) -> bool {
    let contains = |part: &str| name.windows(part.len()).any(|window| window == part.as_bytes());
    PREFIXES.iter().any(|prefix| name.starts_with(prefix.as_bytes()))
        || INFIXES.iter().any(|part| contains(part))
}
