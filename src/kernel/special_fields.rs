//! What the kernel keeps in values of maps and looks after itself (`enum btf_field_type`, `btf_get_field_type`): by the name of its type.

/// A type of a special field.
#[derive(Debug, Clone, Copy)]
pub struct SpecialField {
    /// The name of its struct.
    pub name: &'static str,
    /// Its size, bytes.
    pub size: u32,
    /// Every built-in release knows it, and takes a value that holds one. Where this is false, some release does not know it, or asks
    /// for more than the field itself.
    pub is_plain: bool,
}

const fn field(name: &'static str, size: u32, is_plain: bool) -> SpecialField {
    SpecialField { name, size, is_plain }
}

/// All of them.
pub static SPECIAL_FIELDS: &[SpecialField] = &[
    field("bpf_spin_lock", 4, true),
    field("bpf_timer", 16, true),
    field("bpf_wq", 16, true),
    field("bpf_res_spin_lock", 4, false),
    field("bpf_task_work", 8, false),
    field("bpf_list_head", 16, false),
    field("bpf_rb_root", 16, false),
    field("bpf_list_node", 24, false),
    field("bpf_rb_node", 32, false),
    field("bpf_refcount", 4, false),
];

/// Kernel objects that a map may own: the kernel knows how to let go of them (`btf_find_dtor_kfunc`).
pub const OWNED: [&str; 3] = ["task_struct", "cgroup", "bpf_cpumask"];

/// Special fields that a value may have at most (`BTF_FIELDS_MAX`).
pub const MOST: u64 = 11;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::btf::Kind;
    use crate::kernel::builtin::{LATEST, RELEASES};
    use crate::kernel::{Kernel, target};

    #[test]
    fn sizes_are_those_of_the_kernels() {
        for release in RELEASES {
            let target = target::load(release.name).unwrap().remove(0);
            let kernel = Kernel::new(&target).unwrap();
            let size = |name: &str| Some(kernel.btf().get(kernel.find(name, Kind::Struct)?)?.size());
            for field in SPECIAL_FIELDS {
                let newest = release.name == LATEST;
                match size(field.name) {
                    Some(found) => assert_eq!(found, field.size, "{} of {}", field.name, release.name),
                    None => assert!(!field.is_plain && !newest, "{} of {}", field.name, release.name),
                }
            }
            for name in OWNED {
                assert!(size(name).is_some(), "{name} of {}", release.name);
            }
        }
    }
}
