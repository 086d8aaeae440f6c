//! What is asked of a kernel about the flags of its kfuncs.
//!
//! An image and a snapshot of one carry them. A bare BTF does not, nor does the running machine show them: there the
//! built-in releases answer for a kfunc of the same prototype, as far as they agree.

use super::kfunc_flags::{KfuncFlags, KfuncSets};
use super::{Home, Kernel, Kfunc, Lookup, builtin};

/// Why the kernel itself has no answer.
const NO_FLAGS: &str = "only the image of a kernel tells the flags of its kfuncs";

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
                Some(words) => KfuncSets::read(words, &self.btf),
                None => KfuncSets::read(&self.cut?.btf_ids()?, &self.btf),
            };
            (!sets.is_empty()).then_some(sets)
        };
        self.kfunc_sets.get_or_init(read).as_ref()
    }

    /// The flags of a kfunc (`KF_*`). Absent for what is no kfunc of this kernel, a function or not.
    pub fn kfunc_flags(&self, name: &str) -> Lookup<KfuncFlags> {
        match self.flags_between(name) {
            Lookup::Found((all, some)) if all == some => Lookup::Found(all),
            Lookup::Found(_) => Lookup::Unknown(
                format!("{NO_FLAGS}, and the built-in releases do not agree on those of '{name}'").into(),
            ),
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
            Lookup::Found(_) => Lookup::Unknown(
                format!("{NO_FLAGS}, and the built-in releases do not agree whether '{name}' has {flags}")
                    .into(),
            ),
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
        between.map_or_else(
            || Lookup::Unknown(format!("{NO_FLAGS}, and no built-in release has '{name}' like this").into()),
            Lookup::Found,
        )
    }

    fn flags_in(&self, sets: &KfuncSets, name: &str) -> Option<KfuncFlags> {
        self.btf.names().all(name).into_iter().find_map(|id| sets.flags(id))
    }

    /// A kfunc whose flags are not those that it has in every kernel known: the bits have other meanings here.
    fn contradiction(&self, sets: &KfuncSets) -> Option<&'static str> {
        let flags = |name| self.flags_in(sets, name);
        let differs =
            |name, expected| flags(name).is_some_and(|flags| flags.intersection(WITNESSED) != expected);
        WITNESSES.iter().find(|(name, expected)| differs(name, *expected)).map(|(name, _)| *name)
    }
}
