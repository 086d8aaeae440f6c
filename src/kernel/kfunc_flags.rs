//! What a kernel's verifier asks of those who call a kfunc: the `KF_*` flags (include/linux/btf.h), which are data of
//! the kernel image and not of its BTF.
//!
//! A kernel registers its kfuncs in id sets (`struct btf_id_set8`, include/linux/btf_ids.h), which lie in the section
//! `.BTF_ids`: a count, flags of the set, then the BTF id and the flags of each kfunc, in the order of the ids. Between
//! them lie lists of ids that are no such sets, and an image has no symbols to tell them apart, so the sets are told by
//! their shape; see [`KfuncSets::read`].

#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::fmt;

use crate::btf::{Btf, Kind, TypeId};

/// A set of `KF_*` flags.
///
/// The bits have kept their meaning from 6.12 on: 7.0 dropped [`Self::TRUSTED_ARGS`] and gave its bit to nobody, and
/// new flags were added at the end. A bit without a name belongs to a kernel newer than this program.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KfuncFlags(u32);

macro_rules! flags {
    ($($(#[doc = $doc:literal])+ $name:ident = $bit:literal;)+) => {
        impl KfuncFlags {
            $($(#[doc = $doc])+ pub const $name: Self = Self(1 << $bit);)+

            /// Every flag that has a name here, in the order of the bits, with the name that the kernel gives it.
            pub const NAMES: &[(Self, &'static str)] = &[$((Self::$name, concat!("KF_", stringify!($name)))),+];
        }
    };
}

flags! {
    /// Returns a reference that the program must give back.
    ACQUIRE = 0;
    /// Takes a reference back.
    RELEASE = 1;
    /// Returns a pointer that may be NULL.
    RET_NULL = 2;
    /// Takes pointers that the verifier trusts, and no others. Up to 6.19; from 7.0 on that goes without saying.
    TRUSTED_ARGS = 4;
    /// May sleep: for sleepable programs alone.
    SLEEPABLE = 5;
    /// Does damage: for CAP_SYS_BOOT alone.
    DESTRUCTIVE = 6;
    /// Takes pointers that are trusted or protected by RCU.
    RCU = 7;
    /// Constructor of an iterator.
    ITER_NEW = 8;
    /// Next method of an iterator.
    ITER_NEXT = 9;
    /// Destructor of an iterator.
    ITER_DESTROY = 10;
    /// For callers in an RCU read-side section alone.
    RCU_PROTECTED = 11;
    /// Keeps the registers that bpf_fastcall keeps.
    FASTCALL = 12;
    /// Returns an arena pointer.
    ARENA_RET = 13;
    /// Takes an arena pointer as its first argument.
    ARENA_ARG1 = 14;
    /// Takes an arena pointer as its second argument.
    ARENA_ARG2 = 15;
    /// The verifier supplies the last argument, which programs do not see. From 7.0 on.
    IMPLICIT_ARGS = 16;
    /// May be called under a bpf_spin_lock. From 7.3 on; before, the verifier had a list.
    SPINLOCK_SAFE = 17;
    /// For CAP_PERFMON alone. From 7.3 on.
    PERFMON = 18;
}

impl KfuncFlags {
    /// No flag.
    pub const NONE: Self = Self(0);
    /// Bits that a kfunc of 6.12 or later does not have: bit 3 was `KF_KPTR_GET`, gone since 6.4, and a byte at the end
    /// leaves new flags room enough. What has such a bit is a type id, not flags.
    const IMPOSSIBLE: u32 = 1 << 3 | 0xff << 24;

    /// The flags as the kernel has them.
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// The bits, as in the kernel.
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// Has all flags of another set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Flags of either.
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Flags of both.
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Flags of this that are not in another.
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// No flag at all.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Single flags with their names; a bit that has none is called `1 << 19`.
    pub fn names(self) -> impl Iterator<Item = (Self, String)> {
        (0..u32::BITS).map(|bit| (bit, Self(1 << bit))).filter(move |(_, flag)| self.contains(*flag)).map(
            |(bit, flag)| {
                let name = Self::NAMES.iter().find(|(named, _)| *named == flag);
                (flag, name.map_or_else(|| format!("1 << {bit}"), |(_, name)| (*name).to_owned()))
            },
        )
    }

    /// Reads what [`fmt::Display`] writes.
    pub fn parse(text: &str) -> Option<Self> {
        if text == "0" {
            return Some(Self::NONE);
        }
        text.split('|').try_fold(Self::NONE, |all, word| {
            let named = Self::NAMES.iter().find(|(_, name)| *name == word).map(|(flag, _)| *flag);
            let numbered = || {
                let bit = word.strip_prefix("1 << ")?.parse().ok()?;
                1u32.checked_shl(bit).map(Self)
            };
            Some(all.union(named.or_else(numbered)?))
        })
    }
}

/// `KF_ACQUIRE|KF_RET_NULL`, or `0` where there is none.
impl fmt::Display for KfuncFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("0");
        }
        let names: Vec<String> = self.names().map(|(_, name)| name).collect();
        f.write_str(&names.join("|"))
    }
}

impl fmt::Debug for KfuncFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KfuncFlags({self})")
    }
}

/// One id set of kfuncs. The kernel registers it for one or several types of programs, and looks a kfunc up in the sets
/// that are registered for the program at hand.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KfuncSet {
    /// The FUNC of each kfunc and its flags in this set, by id, each once.
    pub kfuncs: Vec<(TypeId, KfuncFlags)>,
}

/// A kfunc by which each set of sched_ext is told, with the name of the set (`scx_kfunc_ids_*`). The first that a set has
/// decides: 6.16 to 7.0 have the select_cpu kfuncs in the set of the idle ones, 7.3 has both in that of the cpu-form ones.
const SCX_SETS: [(&str, &str); 11] = [
    ("bpf_iter_scx_dsq_new", "any"),
    ("scx_bpf_create_dsq", "unlocked"),
    ("scx_bpf_kick_cpu", "cpu_only"),
    ("scx_bpf_pick_idle_cpu", "idle"),
    ("scx_bpf_dispatch_nr_slots", "dispatch"),
    ("scx_bpf_dispatch", "enqueue_dispatch"),
    ("scx_bpf_dsq_insert", "enqueue_dispatch"),
    ("scx_bpf_reenqueue_local", "cpu_release"),
    ("scx_bpf_cid_to_cpu", "cid"),
    ("scx_bpf_cid_override", "init"),
    ("scx_bpf_select_cpu_dfl", "select_cpu"),
];

impl KfuncSet {
    /// Which set of sched_ext it is, where it is one of those known: `enqueue_dispatch` of `scx_kfunc_ids_enqueue_dispatch`.
    /// The set with `scx_bpf_cid_override` is called `init` in all releases; 7.3 calls it `init_cids`.
    pub fn scx_name(&self, btf: &Btf<'_>) -> Option<&'static str> {
        let has = |name: &str| {
            let mut types = self.kfuncs.iter().filter_map(|(id, _)| btf.get(*id));
            types.any(|ty| btf.name(&ty) == name)
        };
        SCX_SETS.iter().find(|(kfunc, _)| has(kfunc)).map(|(_, set)| *set)
    }
}

/// The id sets of a kernel's kfuncs, in the order in which they lie in the image.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KfuncSets {
    sets: Vec<KfuncSet>,
    /// The flags of each kfunc in all its sets, by id.
    all: Vec<(TypeId, KfuncFlags)>,
}

/// `BTF_SET8_KFUNCS`: the set is one of kfuncs. Other sets of this layout are empty or lists of hooks.
const SET8_KFUNCS: u32 = 1;
/// Most kfuncs of a set. `BTF_KFUNC_SET_MAX_CNT` of the kernel, for the sets of a hook together.
const MAX_SET: usize = 256;
/// Most words of a section that are looked at; 7.3.4 has 2769.
const MAX_WORDS: usize = 64 << 10;

impl KfuncSets {
    /// Finds the sets among the words of a section `.BTF_ids`, or of what lies behind a BTF section.
    ///
    /// A set is: a count from 1 to 256; the flags of a set of kfuncs and nothing else; and as many pairs, each of the id
    /// of a FUNC and of a word that may be flags, with ascending ids. An id may be 0, at the start, for a kfunc that the
    /// build could not resolve. Where the BTF tags kfuncs (`bpf_kfunc`; pahole 1.26 and later), one of the set at least
    /// is tagged: it is from the sets that pahole has the tags. Not all need be, some kernels lack tags.
    pub fn read(words: &[u32], btf: &Btf<'_>) -> Self {
        let words = &words[..words.len().min(MAX_WORDS)];
        let tags = btf.decl_tags().filter(|(_, at, text)| *at == -1 && *text == "bpf_kfunc");
        let tagged: HashSet<TypeId> = tags.map(|(id, ..)| id).collect();
        let mut sets = Vec::new();
        let mut at = 0;
        while let Some(rest) = words.get(at..).filter(|rest| rest.len() > 2) {
            let set = read_set(rest, btf);
            let is_tagged =
                |set: &KfuncSet| tagged.is_empty() || set.kfuncs.iter().any(|(id, _)| tagged.contains(id));
            match set.filter(is_tagged) {
                Some(set) => {
                    // The count was looked at.
                    at += 2 + 2 * rest[0] as usize;
                    sets.push(set);
                }
                None => at += 1,
            }
        }
        Self::new(sets)
    }

    fn new(sets: Vec<KfuncSet>) -> Self {
        let mut all: Vec<(TypeId, KfuncFlags)> =
            sets.iter().flat_map(|set| set.kfuncs.iter().copied()).collect();
        all.sort_unstable();
        all.dedup_by(|next, kept| {
            let same = next.0 == kept.0;
            if same {
                kept.1 = kept.1.union(next.1);
            }
            same
        });
        Self { sets, all }
    }

    /// The words of a `.BTF_ids` that holds these sets and nothing else, with other ids. What has no new id is left out.
    pub fn words(&self, new_id: impl Fn(TypeId) -> Option<TypeId>) -> Vec<u32> {
        let mut words = Vec::new();
        for set in &self.sets {
            let mut kfuncs: Vec<(TypeId, KfuncFlags)> =
                set.kfuncs.iter().filter_map(|&(id, flags)| Some((new_id(id)?, flags))).collect();
            kfuncs.sort_unstable();
            words.extend([kfuncs.len() as u32, SET8_KFUNCS]);
            words.extend(kfuncs.iter().flat_map(|(id, flags)| [id.0, flags.0]));
        }
        words
    }

    /// No set was found.
    pub fn is_empty(&self) -> bool {
        self.sets.is_empty()
    }

    /// The sets.
    pub fn sets(&self) -> &[KfuncSet] {
        &self.sets
    }

    /// Every kfunc, by id, with its flags in all its sets. No kernel that was looked at gives a kfunc other flags in
    /// another set.
    pub fn kfuncs(&self) -> &[(TypeId, KfuncFlags)] {
        &self.all
    }

    /// The flags of the kfunc with this FUNC; `None` for what is in no set.
    pub fn flags(&self, func: TypeId) -> Option<KfuncFlags> {
        self.all.binary_search_by_key(&func, |(id, _)| *id).ok().map(|at| self.all[at].1)
    }
}

/// A set at the start of these words.
fn read_set(words: &[u32], btf: &Btf<'_>) -> Option<KfuncSet> {
    let [count, SET8_KFUNCS, rest @ ..] = words else { return None };
    let count = usize::try_from(*count).ok().filter(|count| (1..=MAX_SET).contains(count))?;
    let pairs = rest.get(..2 * count)?;
    let mut kfuncs: Vec<(TypeId, KfuncFlags)> = Vec::new();
    for pair in pairs.chunks_exact(2) {
        let (id, flags) = (TypeId(pair[0]), pair[1]);
        if flags & KfuncFlags::IMPOSSIBLE != 0 {
            return None;
        }
        match kfuncs.last() {
            None if id == TypeId::VOID => continue,
            Some((last, _)) if *last >= id => return None,
            _ => {}
        }
        btf.get(id).filter(|ty| ty.kind() == Kind::Func)?;
        kfuncs.push((id, KfuncFlags(flags)));
    }
    (!kfuncs.is_empty()).then_some(KfuncSet { kfuncs })
}
