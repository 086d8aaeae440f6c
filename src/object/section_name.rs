//! The name of a program's section taken apart.

use crate::btf::Kind;

/// `fentry.s/module:function`: what kind of program it is, and what it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SectionName<'s> {
    /// What stands before the slash, without the `.s` of programs that may sleep.
    pub class: &'s str,
    /// What stands behind it.
    pub target: Option<&'s str>,
}

/// What libbpf looks up in the kernel's types for a program (`find_kernel_btf_id`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttachTarget<'s> {
    /// The module that is named.
    pub module: Option<&'s str>,
    /// The name of the type.
    pub name: String,
    /// What it is.
    pub kind: Kind,
}

impl<'s> SectionName<'s> {
    /// Takes a name apart; a leading `?` is dropped already.
    pub fn new(section: &'s str) -> Self {
        let (class, target) = match section.split_once('/') {
            Some((class, target)) => (class, Some(target)),
            None => (section, None),
        };
        Self { class: class.strip_suffix(".s").unwrap_or(class), target }
    }

    /// Programs that attach to many functions, which are looked for when they do: `fentry.multi/bpf_*`.
    pub fn is_multi(self) -> bool {
        matches!(self.class, "fentry.multi" | "fexit.multi" | "fsession.multi")
    }

    /// What it asks the kernel's types for, if anything.
    pub fn attach_target(self) -> Option<AttachTarget<'s>> {
        let (prefix, kind) = match self.class {
            "fentry" | "fexit" | "fmod_ret" | "fsession" => ("", Kind::Func),
            "lsm" | "lsm_cgroup" => ("bpf_lsm_", Kind::Func),
            "iter" => ("bpf_iter_", Kind::Func),
            "tp_btf" => ("btf_trace_", Kind::Typedef),
            _ => return None,
        };
        let target = self.target?;
        let (module, name) = match target.split_once(':') {
            Some((module, name)) => (Some(module), name),
            None => (None, target),
        };
        Some(AttachTarget { module, name: format!("{prefix}{name}"), kind })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_name_functions_and_modules() {
        let target = |section| SectionName::new(section).attach_target();
        let function =
            |module, name: &str| Some(AttachTarget { module, name: name.to_owned(), kind: Kind::Func });
        assert_eq!(target("fentry/do_exit"), function(None, "do_exit"));
        assert_eq!(target("fexit.s/xfs:xfs_open"), function(Some("xfs"), "xfs_open"));
        // The prefix belongs to the function.
        assert_eq!(target("lsm/some:file_open"), function(Some("some"), "bpf_lsm_file_open"));
        assert_eq!(target("iter/task"), function(None, "bpf_iter_task"));
        assert_eq!(target("tp_btf/sched_switch").unwrap().kind, Kind::Typedef);
        assert_eq!(target("tp_btf/sched_switch").unwrap().name, "btf_trace_sched_switch");
        assert_eq!(target("tp/sched/sched_switch"), None);
        assert_eq!(target("fentry"), None);
        assert!(SectionName::new("fexit.multi.s/bpf_*").is_multi());
    }
}
