//! What is read off the BTF of a kernel for the tests: `tests/data/facts/RELEASE.tsv`.
//!
//! The built-in releases and the tables about them are held against these files, which `scripts/builtin-kernels` writes from
//! the whole BTF, before anything is cut. The tests read a snapshot with the same functions.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use scx_lint::btf::{Btf, Kind, Type, TypeId};
use scx_lint::kernel::snapshot::sha256;

/// An argument that the verifier supplies. Some kernels show it, and the built-in releases never do.
const HIDDEN: &str = "const struct bpf_prog_aux *";
/// The struct_ops types of sched_ext.
const OPS: [&str; 2] = ["sched_ext_ops", "sched_ext_ops_cid"];

/// All facts, a line each. The names of functions are those of the BTF and `cut`.
pub fn lines(btf: &Btf<'_>, cut: &[String]) -> Vec<String> {
    let mut lines = kfuncs(btf);
    lines.extend(OPS.iter().flat_map(|ops| members(btf, ops)));
    lines.extend(sums(btf, cut));
    lines
}

/// `kfunc NAME PROTOTYPE` for the kfuncs of sched_ext, by name.
fn kfuncs(btf: &Btf<'_>) -> Vec<String> {
    let is_scx = |name: &str| {
        let plain = name.trim_start_matches('_');
        plain.starts_with("scx_bpf_") || name.starts_with("bpf_iter_scx_")
    };
    prototypes(btf, is_scx).into_iter().map(|(name, proto)| format!("kfunc\t{name}\t{proto}")).collect()
}

/// Functions and their prototypes, by name; without the twins that show the hidden argument.
fn prototypes<'d>(btf: &Btf<'d>, wanted: impl Fn(&str) -> bool) -> BTreeSet<(&'d str, String)> {
    let functions = btf.types().filter(|(_, ty)| ty.kind() == Kind::Func);
    functions
        .map(|(_, ty)| (btf.name(&ty), ty.target()))
        .filter(|(name, _)| wanted(name) && !name.ends_with("_impl"))
        .map(|(name, proto)| (name, prototype(btf, proto)))
        .collect()
}

/// `struct NAME SIZE VALUE_SIZE MEMBERS` for a struct_ops type, where a map's value has the wrapper's size, and
/// `member STRUCT NAME INDEX BYTE_OFFSET TYPE STUB` for its members: the prototype of a callback, and the names that the
/// parameters of its stub have.
fn members(btf: &Btf<'_>, ops: &str) -> Vec<String> {
    let find = |name: &str| btf.find(name, Kind::Struct).and_then(|id| btf.get(id));
    let (Some(own), Some(wrapper)) = (find(ops), find(&format!("bpf_struct_ops_{ops}"))) else {
        return Vec::new();
    };
    let stub = |form: &str, member: &str| {
        let func = btf.get(btf.find(&format!("{form}__{member}"), Kind::Func)?)?;
        let params = btf.get(func.target())?.func_proto()?.params();
        Some(format!("({})", params.map(|param| btf.str(param.name)).collect::<Vec<_>>().join(", ")))
    };
    let head = format!("struct\t{ops}\t{}\t{}\t{}", own.size(), wrapper.size(), own.vlen());
    let members = own.composite().into_iter().flat_map(|ty| ty.members()).enumerate();
    std::iter::once(head)
        .chain(members.map(|(index, member)| {
            let name = btf.str(member.name);
            let callee = btf.resolve(member.ty).filter(|(_, ty)| ty.kind() == Kind::Ptr);
            let callee = callee.and_then(|(_, ty)| btf.resolve(ty.target()));
            let callback = callee.filter(|(_, ty)| ty.kind() == Kind::FuncProto);
            let ty = match callback {
                Some((proto, _)) => prototype(btf, proto),
                None => words(btf, member.ty),
            };
            let stub = callback.and_then(|_| stub(ops, name)).unwrap_or_else(|| "-".to_owned());
            format!("member\t{ops}\t{name}\t{index}\t{}\t{ty}\t{stub}", member.bit_offset / 8)
        }))
        .collect()
}

/// `sum WHAT COUNT SHA256` for what is too much to list: every type that has a name, all functions by name, and the prototypes
/// of the kfuncs of others.
fn sums(btf: &Btf<'_>, cut: &[String]) -> Vec<String> {
    let types: BTreeSet<String> = btf.types().filter_map(|(_, ty)| definition(btf, &ty)).collect();
    let own = btf.types().filter(|(_, ty)| ty.kind() == Kind::Func).map(|(_, ty)| btf.name(&ty));
    let functions: BTreeSet<&str> =
        own.chain(cut.iter().map(String::as_str)).filter(|name| !name.ends_with("_impl")).collect();
    let others = prototypes(btf, |name| name.starts_with("bpf_") && !name.starts_with("bpf_iter_scx_"));
    let others: Vec<String> = others.iter().map(|(name, proto)| format!("{name} {proto}")).collect();
    [
        ("types with a name", types.iter().map(String::as_str).collect::<Vec<_>>()),
        ("functions by name", functions.into_iter().collect()),
        ("prototypes of bpf_*", others.iter().map(String::as_str).collect()),
    ]
    .into_iter()
    .map(|(what, rows)| format!("sum\t{what}\t{}\t{}", rows.len(), sha256(rows.join("\n").as_bytes())))
    .collect()
}

/// A type with a name, in full.
fn definition(btf: &Btf<'_>, ty: &Type<'_>) -> Option<String> {
    let name = btf.name(ty);
    if name.is_empty() {
        return None;
    }
    let mut text = format!("{:?} {name}", ty.kind());
    match ty.kind() {
        Kind::Struct | Kind::Union | Kind::Enum | Kind::Enum64 => {
            let _ = write!(text, " {}{}", ty.size(), body(btf, ty));
        }
        Kind::Int | Kind::Float => {
            let _ = write!(text, " {} {}", ty.size(), ty.is_signed_int());
        }
        Kind::Typedef | Kind::Var => {
            let _ = write!(text, " {}", words(btf, ty.target()));
        }
        Kind::Fwd => {}
        _ => return None,
    }
    Some(text)
}

/// What is between the braces.
fn body(btf: &Btf<'_>, ty: &Type<'_>) -> String {
    let mut text = " {".to_owned();
    for member in ty.composite().into_iter().flat_map(|ty| ty.members()) {
        let (name, at, bits) = (btf.str(member.name), member.bit_offset, member.bitfield_size);
        let _ = write!(text, " {} {name}@{at}:{bits};", words(btf, member.ty));
    }
    for value in ty.enumerators().into_iter().flat_map(|values| values.values()) {
        let _ = write!(text, " {}={:#x},", btf.str(value.name), value.value);
    }
    text + " }"
}

/// A type as it is referred to.
fn words(btf: &Btf<'_>, id: TypeId) -> String {
    let Some(ty) = btf.get(id).filter(|_| id != TypeId::VOID) else { return "void".to_owned() };
    let name = btf.name(&ty);
    match ty.kind() {
        Kind::Ptr => {
            let target = words(btf, ty.target());
            format!("{target}{}*", if target.ends_with('*') { "" } else { " " })
        }
        Kind::Const => format!("const {}", words(btf, ty.target())),
        Kind::Volatile | Kind::Restrict | Kind::TypeTag => words(btf, ty.target()),
        Kind::FuncProto => prototype(btf, id),
        Kind::Array => {
            let array = ty.array();
            array.map_or_else(String::new, |array| format!("{}[{}]", words(btf, array.elem), array.nelems))
        }
        Kind::Struct | Kind::Union | Kind::Enum | Kind::Enum64 | Kind::Fwd => {
            let word = match ty.kind() {
                Kind::Union => "union",
                Kind::Enum | Kind::Enum64 => "enum",
                Kind::Fwd if ty.is_fwd_union() => "union",
                _ => "struct",
            };
            if name.is_empty() { format!("{word}{}", body(btf, &ty)) } else { format!("{word} {name}") }
        }
        _ => name.to_owned(),
    }
}

/// `RETURN (ARGUMENTS)`, without the hidden argument.
fn prototype(btf: &Btf<'_>, id: TypeId) -> String {
    let Some(proto) = btf.get(id).and_then(|ty| ty.func_proto()) else { return "?".to_owned() };
    let mut params: Vec<String> = proto.params().map(|param| words(btf, param.ty)).collect();
    if params.last().is_some_and(|last| last == HIDDEN) {
        params.pop();
    }
    format!("{} ({})", words(btf, proto.ret()), params.join(", "))
}
