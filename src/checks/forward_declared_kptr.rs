//! `forward-declared-kptr`.

use std::collections::HashMap;

use super::context::Context;
use crate::btf::{Btf, Kind, Member, Type, TypeId};
use crate::errno::Errno;
use crate::finding::{Outcome, Subject};

rule! {
    /// A struct with a lock, or a node of a list or tree, has a kptr to a struct that is only declared.
    ///
    /// ## Why it matters
    /// Of every struct of the object's types that has a `bpf_spin_lock`, `bpf_list_head`, `bpf_list_node`, `bpf_rb_root`, `bpf_rb_node` or `bpf_refcount`
    /// the kernel notes the kptrs when it is given the types. One that does not point to a struct whose members are known makes it refuse them, with
    /// EINVAL and without a word, and libbpf loads no struct_ops object without its types. Without the lock the member is a number to the kernel.
    /// ## Example
    /// ```c
    /// struct cgroup;
    /// struct value { struct bpf_spin_lock lock; struct cgroup __kptr *cgroup; };
    /// ```
    /// ## Fix
    /// Define the struct: `struct cgroup { int level; } __attribute__((preserve_access_index));`, or take it from vmlinux.h.
    /// ## Sources
    /// kernel `btf_parse_struct_metas`, `btf_find_kptr`; libbpf `kernel_needs_btf`; guests of the releases that are built in.
    pub FORWARD_DECLARED_KPTR: "forward-declared-kptr", family: Object, level: Error, phase: Load, since: "0.1.0";
}

/// Structs that make the kernel look for kptrs beside them (`alloc_obj_fields`).
const NOTED: [&str; 6] =
    ["bpf_spin_lock", "bpf_list_head", "bpf_list_node", "bpf_rb_root", "bpf_rb_node", "bpf_refcount"];
/// Tags of pointers that the kernel looks after there.
const TAGS: [&str; 3] = ["kptr", "kptr_untrusted", "percpu_kptr"];

/// What a pointer that is looked after points to, by kind and name, where it is no struct with members.
fn undefined(btf: &Btf<'_>, member: TypeId) -> Option<String> {
    let mut ty = btf.get(member)?;
    if ty.kind() == Kind::Volatile {
        ty = btf.get(ty.target())?;
    }
    if ty.kind() != Kind::Ptr {
        return None;
    }
    let mut target = btf.get(ty.target())?;
    let mut is_kptr = false;
    // As many tags as clang writes on one pointer, and more.
    for _ in 0..8 {
        if target.kind() != Kind::TypeTag {
            break;
        }
        is_kptr |= TAGS.contains(&btf.name(&target));
        target = btf.get(target.target())?;
    }
    let target = match target.kind() {
        Kind::Const | Kind::Volatile | Kind::Restrict | Kind::Typedef => btf.resolve(ty.target())?.1,
        _ => target,
    };
    (is_kptr && target.kind() == Kind::Fwd).then(|| btf.name(&target).to_owned())
}

/// Structs in structs that are looked through (`MAX_RESOLVE_DEPTH`).
const DEPTH: u32 = 32;

/// The first such pointer in a struct and the structs in it: its name, and that of what it points to.
fn first<'b>(
    btf: &'b Btf<'_>,
    id: TypeId,
    known: &mut HashMap<TypeId, Option<(&'b str, String)>>,
    depth: u32,
) -> Option<(&'b str, String)> {
    if let Some(found) = known.get(&id) {
        return found.clone();
    }
    // A struct in itself is none, and is found here again.
    known.insert(id, None);
    let members = |ty: &Type<'b>| ty.composite().into_iter().flat_map(|ty| ty.members());
    let ty = btf.get(id).filter(|ty| ty.kind() == Kind::Struct && depth < DEPTH)?;
    let in_member = |known: &mut HashMap<_, _>, member: Member| {
        let mut inner = member.ty;
        for _ in 0..8 {
            match btf.get(inner)?.array() {
                Some(array) => inner = array.elem,
                None => break,
            }
        }
        undefined(btf, inner)
            .map(|target| (btf.str(member.name), target))
            .or_else(|| first(btf, inner, known, depth + 1))
    };
    let found = members(&ty).find_map(|member| in_member(known, member));
    known.insert(id, found.clone());
    found
}

pub(super) fn check(cx: &Context<'_, '_>, out: &mut Outcome) {
    let Some(btf) = cx.object.btf.as_ref().filter(|_| !cx.object.struct_ops.is_empty()) else { return };
    let mut known = HashMap::new();
    for (id, ty) in btf.types().filter(|(_, ty)| ty.kind() == Kind::Struct) {
        let members = || ty.composite().into_iter().flat_map(|ty| ty.members());
        let noted = members().find_map(|member| {
            let of = btf.get(member.ty).filter(|of| of.kind() == Kind::Struct)?;
            NOTED.into_iter().find(|name| *name == btf.name(&of))
        });
        let Some((noted, (member, target))) = noted.zip(first(btf, id, &mut known, 0)) else { continue };
        let name = btf.name(&ty);
        let name =
            if name.is_empty() { "a struct without a name".to_owned() } else { format!("struct {name}") };
        let message = format!(
            "{name} has a {noted} and a kptr '{member}' to struct {target}, which is declared without its members"
        );
        out.found(&FORWARD_DECLARED_KPTR, Subject::object(cx.object), message)
            .errno(Errno::EINVAL)
            .quote("Error loading .BTF into kernel: -EINVAL. BTF is mandatory, can't proceed.")
            .help(format!("define struct {target}, with one member at least"));
        return;
    }
}
