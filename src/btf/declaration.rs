//! Types as C declares them, and where two prototypes differ to libbpf.

use super::compat::types_are_compat;
use super::ids::TypeId;
use super::section::Btf;
use super::types::Kind;

/// Pointers, arrays and modifiers of one type that are looked through.
const DEPTH: u32 = 32;
/// Parameters that are written out in all, those of prototypes in prototypes included: hostile types could go on for ever.
const PARAMS: u32 = 64;

impl Btf<'_> {
    /// A type as C declares something of that name to be: `void (*exit)(struct scx_exit_info *info)`, and without a name the
    /// type by itself: `struct task_struct *`. A struct without a name is `struct {...}`.
    pub fn declaration(&self, id: TypeId, name: &str) -> String {
        self.declared(id, name.to_owned(), &mut { PARAMS })
    }

    fn declared(&self, id: TypeId, name: String, budget: &mut u32) -> String {
        let (mut id, mut declarator) = (id, name);
        // Of what comes next, a pointer or the type itself.
        let mut qualifier = "";
        for _ in 0..DEPTH {
            let Some(ty) = self.get(id) else { break };
            let own = self.name(&ty);
            // A pointer binds weaker than what is behind a name.
            let whole = |declarator: String| {
                if declarator.starts_with('*') { format!("({declarator})") } else { declarator }
            };
            match ty.kind() {
                Kind::Const | Kind::Volatile if !qualifier.is_empty() => id = ty.target(),
                Kind::Const => (id, qualifier) = (ty.target(), "const "),
                Kind::Volatile => (id, qualifier) = (ty.target(), "volatile "),
                Kind::Restrict | Kind::TypeTag => id = ty.target(),
                Kind::Ptr => {
                    declarator = format!("*{qualifier}{declarator}").trim_end().to_owned();
                    (id, qualifier) = (ty.target(), "");
                }
                Kind::Array => {
                    let Some(array) = ty.array() else { break };
                    declarator = format!("{}[{}]", whole(declarator), array.nelems);
                    id = array.elem;
                }
                Kind::FuncProto => {
                    let Some(proto) = ty.func_proto() else { break };
                    let mut params = Vec::new();
                    for param in proto.params() {
                        let Some(left) = budget.checked_sub(1) else {
                            params.push("...".to_owned());
                            break;
                        };
                        *budget = left;
                        params.push(self.declared(param.ty, self.str(param.name).to_owned(), budget));
                    }
                    // A list that does not end is one of type void.
                    if params.len() > 1 && params.last().is_some_and(|last| last == "void") {
                        params.pop();
                        params.push("...".to_owned());
                    }
                    let params = if params.is_empty() { "void".to_owned() } else { params.join(", ") };
                    declarator = format!("{}({params})", whole(declarator));
                    (id, qualifier) = (proto.ret(), "");
                }
                kind => {
                    let keyword = match kind {
                        Kind::Struct => "struct ",
                        Kind::Union => "union ",
                        Kind::Fwd if ty.is_fwd_union() => "union ",
                        Kind::Fwd => "struct ",
                        Kind::Enum | Kind::Enum64 => "enum ",
                        _ => "",
                    };
                    let base = match (kind, own) {
                        (Kind::Void, _) => "void",
                        (_, "") => "{...}",
                        (_, own) => own,
                    };
                    let gap = if declarator.is_empty() { "" } else { " " };
                    return format!("{qualifier}{keyword}{base}{gap}{declarator}");
                }
            }
        }
        format!("? {declarator}").trim_end().to_owned()
    }
}

/// Where a prototype of the object differs from one of the kernel, to libbpf ([`types_are_compat`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PrototypeDifference {
    /// So many parameters here, so many there.
    Count(usize, usize),
    /// The types of the parameter of that number, which counts from 0.
    Param(usize, TypeId, TypeId),
    /// The types of what is returned.
    Return(TypeId, TypeId),
}

/// All differences of two prototypes, none where one of the two is none.
pub fn prototype_differences(
    local: &Btf<'_>,
    local_id: TypeId,
    target: &Btf<'_>,
    target_id: TypeId,
) -> Vec<PrototypeDifference> {
    let ours = local.resolve(local_id).and_then(|(_, ty)| ty.func_proto());
    let theirs = target.resolve(target_id).and_then(|(_, ty)| ty.func_proto());
    let (Some(ours), Some(theirs)) = (ours, theirs) else { return Vec::new() };
    // The types without modifiers, as libbpf takes them one level below the root.
    let differs = |ours: TypeId, theirs: TypeId| {
        let (Some((ours, _)), Some((theirs, _))) = (local.resolve(ours), target.resolve(theirs)) else {
            return true;
        };
        !types_are_compat(local, ours, target, theirs).unwrap_or(false)
    };
    let mut found = Vec::new();
    let (count, of_kernel) = (ours.params().len(), theirs.params().len());
    if count != of_kernel {
        found.push(PrototypeDifference::Count(count, of_kernel));
    }
    for (number, (ours, theirs)) in ours.params().zip(theirs.params()).enumerate() {
        if differs(ours.ty, theirs.ty) {
            found.push(PrototypeDifference::Param(number, ours.ty, theirs.ty));
        }
    }
    if differs(ours.ret(), theirs.ret()) {
        found.push(PrototypeDifference::Return(ours.ret(), theirs.ret()));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::build::Builder;
    use super::*;

    #[test]
    fn types_are_written_as_c_declares_them() {
        let mut build = Builder::new();
        let int = build.int("int", 4, true);
        let task = build.composite("task_struct", 8, &[]);
        let constant = build.refer(Kind::Const, "", task);
        let pointer = build.ptr(constant);
        let fixed = build.refer(Kind::Const, "", pointer);
        let array = build.array(int, 3);
        let to_array = build.ptr(array);
        let pointers = build.array(pointer, 2);
        let proto = build.proto(TypeId::VOID, &[("p", pointer), ("", int)]);
        let callback = build.ptr(proto);
        let callbacks = build.array(callback, 4);
        let getter = build.proto(callback, &[]);
        let list = build.proto(int, &[("format", pointer), ("", TypeId::VOID)]);
        let nameless = build.composite("", 4, &[]);
        let data = build.finish();
        let btf = Btf::parse(&data).unwrap();
        for (id, name, expected) in [
            (int, "x", "int x"),
            (TypeId::VOID, "", "void"),
            (pointer, "", "const struct task_struct *"),
            (fixed, "p", "const struct task_struct *const p"),
            (array, "x", "int x[3]"),
            (to_array, "x", "int (*x)[3]"),
            (pointers, "x", "const struct task_struct *x[2]"),
            (proto, "f", "void f(const struct task_struct *p, int)"),
            (callback, "", "void (*)(const struct task_struct *p, int)"),
            (callbacks, "c", "void (*c[4])(const struct task_struct *p, int)"),
            (getter, "get", "void (*get(void))(const struct task_struct *p, int)"),
            (list, "print", "int print(const struct task_struct *format, ...)"),
            (nameless, "x", "struct {...} x"),
        ] {
            assert_eq!(btf.declaration(id, name), expected);
        }
    }

    #[test]
    fn a_type_of_itself_ends() {
        let mut build = Builder::new();
        let own = build.next_id();
        build.ptr(own);
        let next = build.next_id();
        let pointer = TypeId(next.0 + 1);
        build.proto(TypeId::VOID, &[("a", pointer), ("b", pointer)]);
        build.ptr(next);
        let data = build.finish();
        let btf = Btf::parse(&data).unwrap();
        assert!(btf.declaration(own, "x").starts_with("? "));
        assert!(btf.declaration(next, "f").contains("..."));
    }

    #[test]
    fn differences_of_prototypes_are_those_that_libbpf_sees() {
        let mut build = Builder::new();
        let int = build.int("int", 4, true);
        let long = build.int("u64", 8, false);
        let one = build.composite("one", 8, &[]);
        let one = build.ptr(one);
        let other = build.fwd("one", false);
        let other = build.ptr(other);
        let ours = build.proto(int, &[("a", int), ("b", one)]);
        let same = build.proto(long, &[("x", long), ("y", one)]);
        let longer = build.proto(TypeId::VOID, &[("x", long), ("y", other), ("z", int)]);
        let data = build.finish();
        let btf = Btf::parse(&data).unwrap();
        assert_eq!(prototype_differences(&btf, ours, &btf, same), []);
        assert_eq!(
            prototype_differences(&btf, ours, &btf, longer),
            [
                PrototypeDifference::Count(2, 3),
                PrototypeDifference::Param(1, one, other),
                PrototypeDifference::Return(int, TypeId::VOID)
            ]
        );
        assert_eq!(prototype_differences(&btf, int, &btf, longer), []);
    }
}
