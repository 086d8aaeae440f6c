//! A kernel without the defects of its BTF, to tell what follows from them.

use super::kernel::Kernel;
use super::snapshot::{repair_arguments_of, repair_truncated_enums};
use super::target::Target;
use super::{builtin, target};
use crate::btf;

impl Target {
    /// The target with what is known to be wrong in its BTF set right; `None` for one without defects. Made when first
    /// asked for.
    pub fn healed(&self) -> Option<&Self> {
        self.healed.get_or_init(|| heal(self).ok().flatten().map(Box::new)).as_deref()
    }
}

fn heal(of: &Target) -> Result<Option<Target>, btf::Error> {
    // What is defective lacks tags too; other functions of the kernel take such an argument rightly.
    let is_kfunc = |name: &[u8]| {
        [&b"scx_bpf_"[..], b"__scx_bpf_"].iter().any(|start| name.starts_with(start))
            || std::str::from_utf8(name).is_ok_and(|name| !builtin::flags::rows_of(name).is_empty())
    };
    let (btf, kfuncs) = repair_arguments_of(&of.btf, is_kfunc)?;
    let is_cut = !btf::Btf::parse(&btf)?.truncated_enums().is_empty();
    let (btf, enums) = if is_cut {
        let newest = target::load(builtin::LATEST).ok().and_then(|mut found| found.pop());
        let newest = newest.as_ref().and_then(|newest| Kernel::new(newest).ok());
        let whole = |name: &[u8], low: u32| {
            let value = newest.as_ref()?.any_enumerator(std::str::from_utf8(name).ok()?)?;
            (value as u32 == low).then_some(value)
        };
        repair_truncated_enums(&btf, whole)?
    } else {
        (btf, Vec::new())
    };
    Ok((!kfuncs.is_empty() || !enums.is_empty()).then(|| Target {
        name: of.name.clone(),
        source: of.source,
        release: of.release.clone(),
        build: of.build.clone(),
        btf,
        kconfig: of.kconfig.clone(),
        kconfig_origin: of.kconfig_origin,
        arch: of.arch,
        btf_ids: of.btf_ids.clone(),
        partial: of.partial.clone(),
        ..Target::default()
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::btf::Kind;
    use crate::btf::build::Builder;
    use crate::kernel::Lookup;

    #[test]
    fn what_is_wrong_is_set_right_and_nothing_else() {
        let sound = target::load("7.3").unwrap().remove(0);
        assert!(sound.healed().is_none());
        let mut btf = Builder::new();
        let uint = btf.int("unsigned int", 4, false);
        let aux = btf.composite("bpf_prog_aux", 8, &[]);
        let aux = btf.ptr(aux);
        let shown = btf.proto(uint, &[("id", uint), ("aux", aux)]);
        btf.func("scx_bpf_made", shown);
        let (known, own) = (btf.string("SCX_DSQ_LOCAL"), btf.string("SCX_OF_NO_RELEASE"));
        btf.raw(Kind::Enum, "scx_dsq_id_flags", 2, 8, &[known, 2, own, 7]);
        let target = Target { name: "made".into(), btf: btf.finish(), ..Target::default() };
        let kernel = Kernel::new(target.healed().unwrap()).unwrap();
        let Lookup::Found(kfunc) = kernel.kfunc("scx_bpf_made") else { panic!() };
        assert!(!kernel.has_leaked_aux("scx_bpf_made", kfunc));
        assert_eq!(kernel.kfunc_params(kfunc).len(), 1);
        assert!(kernel.truncated_enums().is_empty());
        assert_eq!(kernel.any_enumerator("SCX_DSQ_LOCAL"), Some(1 << 63 | 2));
        assert_eq!(kernel.any_enumerator("SCX_OF_NO_RELEASE"), Some(7));
    }
}
