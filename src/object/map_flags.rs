//! Flags of maps (`BPF_F_*` of `BPF_MAP_CREATE`).

macro_rules! flags {
    ($($konst:ident = $bit:literal $name:literal),+ $(,)?) => {
        $(
            #[doc = concat!("`", $name, "`.")]
            pub const $konst: u32 = 1 << $bit;
        )+

        /// The flags that have a name, lowest first.
        const NAMES: &[(u32, &str)] = &[$(($konst, $name)),+];
    };
}

// The last one where no kernel says otherwise: the first map flag free after `BPF_F_RB_OVERWRITE`, as in the RFC series "bpf/arena: Direct
// kernel-side access" (April 2026).
flags! {
    F_NO_PREALLOC = 0 "BPF_F_NO_PREALLOC",
    F_NO_COMMON_LRU = 1 "BPF_F_NO_COMMON_LRU",
    F_NUMA_NODE = 2 "BPF_F_NUMA_NODE",
    F_RDONLY = 3 "BPF_F_RDONLY",
    F_WRONLY = 4 "BPF_F_WRONLY",
    F_STACK_BUILD_ID = 5 "BPF_F_STACK_BUILD_ID",
    F_ZERO_SEED = 6 "BPF_F_ZERO_SEED",
    F_RDONLY_PROG = 7 "BPF_F_RDONLY_PROG",
    F_WRONLY_PROG = 8 "BPF_F_WRONLY_PROG",
    F_CLONE = 9 "BPF_F_CLONE",
    F_MMAPABLE = 10 "BPF_F_MMAPABLE",
    F_PRESERVE_ELEMS = 11 "BPF_F_PRESERVE_ELEMS",
    F_INNER_MAP = 12 "BPF_F_INNER_MAP",
    F_LINK = 13 "BPF_F_LINK",
    F_PATH_FD = 14 "BPF_F_PATH_FD",
    F_VTYPE_BTF_OBJ_FD = 15 "BPF_F_VTYPE_BTF_OBJ_FD",
    F_TOKEN_FD = 16 "BPF_F_TOKEN_FD",
    F_SEGV_ON_FAULT = 17 "BPF_F_SEGV_ON_FAULT",
    F_NO_USER_CONV = 18 "BPF_F_NO_USER_CONV",
    F_RB_OVERWRITE = 19 "BPF_F_RB_OVERWRITE",
    F_ARENA_MAP_ALWAYS = 20 "BPF_F_ARENA_MAP_ALWAYS",
}

/// All flags that have a name.
pub const NAMED_FLAGS: u32 = (1 << NAMES.len()) - 1;

/// The kernel's names of the flag bits that are set; bits without a name are left out.
pub fn flag_names(flags: u32) -> Vec<&'static str> {
    NAMES.iter().filter(|(bit, _)| flags & bit != 0).map(|(_, name)| *name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flag_bits_have_the_kernels_names() {
        assert_eq!(flag_names(0x10_0400), ["BPF_F_MMAPABLE", "BPF_F_ARENA_MAP_ALWAYS"]);
        assert!(flag_names(1 << 31).is_empty());
        assert!(NAMES.is_sorted() && NAMES.iter().all(|(bit, _)| NAMED_FLAGS & bit != 0));
    }
}
