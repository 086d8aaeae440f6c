//! What is asked of a kernel about the flags of its kfuncs.
//!
//! An image and a snapshot of one carry them. A bare BTF does not, nor does the running machine show them: there the
//! built-in releases answer for a kfunc of the same prototype, as far as they agree.

use super::kfunc_flags::{KfuncFlags, KfuncSets};
use super::{DecidedBy, Home, Kernel, Kfunc, Lookup, Reason, builtin};

/// The kernel itself has no answer: it is a bare BTF, and what else would tell does not either.
fn no_flags<T>(besides: String) -> Lookup<T> {
    let words = format!("only the image of a kernel tells the flags of its kfuncs, and {besides}");
    Lookup::Unknown(Reason::from(words).decided_by(DecidedBy::Image))
}

/// Kfuncs that every kernel from 6.12 on gives the same flags, of those that are as old.
const WITNESSES: [(&str, KfuncFlags); 8] = [
    ("bpf_task_release", KfuncFlags::RELEASE),
    ("bpf_task_from_pid", KfuncFlags::ACQUIRE.union(KfuncFlags::RET_NULL)),
    ("bpf_task_under_cgroup", KfuncFlags::RCU),
    ("crash_kexec", KfuncFlags::DESTRUCTIVE),
    ("scx_bpf_create_dsq", KfuncFlags::SLEEPABLE),
    ("bpf_iter_scx_dsq_new", KfuncFlags::ITER_NEW.union(KfuncFlags::RCU_PROTECTED)),
    ("bpf_iter_scx_dsq_next", KfuncFlags::ITER_NEXT.union(KfuncFlags::RET_NULL)),
    ("bpf_iter_scx_dsq_destroy", KfuncFlags::ITER_DESTROY),
];
/// The flags that [`WITNESSES`] speak of.
const WITNESSED: KfuncFlags = KfuncFlags::from_bits(0xfff).without(KfuncFlags::TRUSTED_ARGS);

impl Kernel<'_> {
    /// The id sets of its kfuncs, where an image or a snapshot gave them. Read when first asked for.
    pub fn kfunc_sets(&self) -> Option<&KfuncSets> {
        let read = || {
            let sets = match self.btf_ids {
                Some(words) => KfuncSets::read(words, self.btf()),
                None => KfuncSets::read(&self.cut?.btf_ids()?, self.btf()),
            };
            (!sets.is_empty()).then_some(sets)
        };
        self.kfunc_sets.get_or_init(read).as_ref()
    }

    /// The flags of a kfunc (`KF_*`). Absent for what is no kfunc of this kernel, a function or not.
    pub fn kfunc_flags(&self, name: &str) -> Lookup<KfuncFlags> {
        match self.flags_between(name) {
            Lookup::Found((all, some)) if all == some => Lookup::Found(all),
            Lookup::Found(_) => no_flags(format!("the built-in releases do not agree on those of '{name}'")),
            Lookup::Absent => Lookup::Absent,
            Lookup::Unknown(reason) => Lookup::Unknown(reason),
        }
    }

    /// Whether a kfunc has all of some flags. This has an answer where [`Self::kfunc_flags`] has none, as long as the
    /// releases agree on the flags that are asked for.
    pub fn kfunc_has(&self, name: &str, flags: KfuncFlags) -> Lookup<bool> {
        match self.flags_between(name) {
            Lookup::Found((all, _)) if all.contains(flags) => Lookup::Found(true),
            Lookup::Found((_, some)) if !some.contains(flags) => Lookup::Found(false),
            Lookup::Found(_) => {
                no_flags(format!("the built-in releases do not agree whether '{name}' has {flags}"))
            }
            Lookup::Absent => Lookup::Absent,
            Lookup::Unknown(reason) => Lookup::Unknown(reason),
        }
    }

    /// Flags that it has for sure, and those that it may have.
    fn flags_between(&self, name: &str) -> Lookup<(KfuncFlags, KfuncFlags)> {
        let kfunc = match self.kfunc(name) {
            Lookup::Found(kfunc) => kfunc,
            Lookup::Absent => return Lookup::Absent,
            Lookup::Unknown(reason) => return Lookup::Unknown(reason),
        };
        if kfunc.home != Home::Vmlinux {
            return Lookup::Unknown("the flags of kfuncs of modules are not read".into());
        }
        let Some(sets) = self.kfunc_sets() else {
            return self.flags_of_releases(name, kfunc);
        };
        if let Some(witness) = self.contradiction(sets) {
            return Lookup::Unknown(
                format!(
                    "the flags of this kernel's kfuncs mean something else: '{witness}' has unexpected ones"
                )
                .into(),
            );
        }
        self.flags_in(sets, name).map_or(Lookup::Absent, |flags| Lookup::Found((flags, flags)))
    }

    /// What the built-in releases that declare the kfunc as this kernel does have in common, and what some of them have.
    fn flags_of_releases(&self, name: &str, kfunc: Kfunc) -> Lookup<(KfuncFlags, KfuncFlags)> {
        let prototype = self.signature(name, kfunc);
        let same = builtin::flags::rows_of(name).iter().filter(|row| row.prototype == prototype);
        let between = same
            .map(|row| (row.flags, row.flags))
            .reduce(|(all, some), (flags, _)| (all.intersection(flags), some.union(flags)));
        between.map_or_else(|| no_flags(format!("no built-in release has '{name}' like this")), Lookup::Found)
    }

    fn flags_in(&self, sets: &KfuncSets, name: &str) -> Option<KfuncFlags> {
        self.btf().names().all(name).into_iter().find_map(|id| sets.flags(id))
    }

    /// A kfunc whose flags are not those that it has in every kernel known: the bits have other meanings here.
    fn contradiction(&self, sets: &KfuncSets) -> Option<&'static str> {
        let flags = |name| self.flags_in(sets, name);
        let differs =
            |name, expected| flags(name).is_some_and(|flags| flags.intersection(WITNESSED) != expected);
        let find =
            || WITNESSES.iter().find(|(name, expected)| differs(name, *expected)).map(|(name, _)| *name);
        *self.contradiction.get_or_init(find)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::{Target, target};

    fn built_in(name: &str) -> Target {
        target::load(name).unwrap().remove(0)
    }

    /// As a bare BTF gives it, cut down as it is.
    fn bare(name: &str) -> Target {
        Target { cut: None, ..built_in(name) }
    }

    fn is_unknown<T>(answer: &Lookup<T>, words: &str) -> bool {
        matches!(answer, Lookup::Unknown(reason) if reason.to_string().contains(words))
    }

    #[test]
    fn a_snapshot_tells_the_flags_of_its_kfuncs() {
        let target = built_in("7.3");
        let kernel = Kernel::new(&target).unwrap();
        let sleeps = KfuncFlags::SLEEPABLE.union(KfuncFlags::IMPLICIT_ARGS);
        assert_eq!(kernel.kfunc_flags("scx_bpf_create_dsq"), Lookup::Found(sleeps));
        assert_eq!(kernel.kfunc_has("scx_bpf_create_dsq", KfuncFlags::SLEEPABLE), Lookup::Found(true));
        assert_eq!(kernel.kfunc_has("scx_bpf_create_dsq", KfuncFlags::RCU), Lookup::Found(false));
        assert_eq!(kernel.kfunc_flags("scx_bpf_now"), Lookup::Found(KfuncFlags::NONE));
        // A function of the kernel that is no kfunc, the function behind a kfunc, and none.
        for name in ["bpf_scx_reg", "scx_bpf_create_dsq_impl", "no_such_kfunc"] {
            assert_eq!(kernel.kfunc_flags(name), Lookup::Absent, "{name}");
            assert_eq!(kernel.kfunc_has(name, KfuncFlags::RCU), Lookup::Absent, "{name}");
        }
        assert!(is_unknown(&kernel.kfunc_flags("bpf_ct_insert_entry"), "modules"));
    }

    #[test]
    fn of_a_bare_btf_the_releases_tell_what_they_agree_on() {
        let target = bare("7.3");
        let kernel = Kernel::new(&target).unwrap();
        assert_eq!(kernel.kfunc_sets(), None);
        assert_eq!(kernel.kfunc_flags("bpf_task_release"), Lookup::Found(KfuncFlags::RELEASE));
        // Since 7.1 the verifier supplies an argument, before it did not; it always had to sleep.
        assert!(is_unknown(&kernel.kfunc_flags("scx_bpf_create_dsq"), "do not agree"));
        let has = |flags| kernel.kfunc_has("scx_bpf_create_dsq", flags);
        assert_eq!(has(KfuncFlags::SLEEPABLE), Lookup::Found(true));
        assert_eq!(has(KfuncFlags::ACQUIRE), Lookup::Found(false));
        assert!(is_unknown(&has(KfuncFlags::IMPLICIT_ARGS), "do not agree"));
        // Up to 6.19 it had to sleep, the prototype is the same.
        assert!(is_unknown(
            &kernel.kfunc_has("bpf_arena_alloc_pages", KfuncFlags::SLEEPABLE),
            "KF_SLEEPABLE"
        ));
        assert!(is_unknown(&kernel.kfunc_flags("bpf_scx_reg"), "no built-in release"));
        assert_eq!(kernel.kfunc_flags("no_such_kfunc"), Lookup::Absent);
    }

    #[test]
    fn another_prototype_is_another_kfunc() {
        // The prototype changed in 7.3.
        for (release, other) in [("7.2", "7.3"), ("7.3", "7.2")] {
            let target = bare(release);
            let kernel = Kernel::new(&target).unwrap();
            let rows = builtin::flags::rows_of("scx_bpf_cid_override");
            let own = kernel
                .signature("scx_bpf_cid_override", kernel.kfunc("scx_bpf_cid_override").found().unwrap());
            for row in rows {
                let is_of = |release: &str| row.releases.split(' ').any(|known| known == release);
                assert_eq!(row.prototype == own, is_of(release), "{row:?}");
                assert!(is_of(release) != is_of(other), "{row:?}");
            }
        }
    }

    /// The bits have the same meaning in every release; where they do not, nothing is said.
    #[test]
    fn bits_that_mean_something_else_are_noticed() {
        for release in builtin::RELEASES {
            let target = built_in(release.name);
            let kernel = Kernel::new(&target).unwrap();
            let sets = kernel.kfunc_sets().unwrap();
            assert_eq!(kernel.contradiction(sets), None, "{}", release.name);
            // The small configuration of 6.12 has no kexec.
            for (name, _) in
                WITNESSES.iter().filter(|(name, _)| release.name != "6.12" || *name != "crash_kexec")
            {
                assert!(kernel.flags_in(sets, name).is_some(), "{}: {name}", release.name);
            }
        }
        let mut target = built_in("7.3");
        let mut words = target.cut.as_ref().unwrap().btf_ids().unwrap();
        let id = Kernel::new(&target).unwrap().find("bpf_task_release", crate::btf::Kind::Func).unwrap();
        let at = words.iter().position(|word| *word == id.0).unwrap();
        words[at + 1] <<= 1;
        target.btf_ids = Some(words);
        let kernel = Kernel::new(&target).unwrap();
        assert!(is_unknown(&kernel.kfunc_flags("scx_bpf_now"), "'bpf_task_release' has unexpected"));
    }
}
