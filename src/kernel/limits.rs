//! How much of something a kernel takes, and which flags, map types and helpers it knows.

use super::kernel::Kernel;
use super::lookup::Lookup;
use crate::btf::Kind;

/// Frames of a call chain that some kernel takes at most (`MAX_CALL_FRAMES`): from 7.2 on, before it was 8.
pub const MAX_CALL_FRAMES: usize = 16;

impl Kernel<'_> {
    /// The value of a map flag. The flags stand in an anonymous enum, the same that holds `BPF_F_NO_PREALLOC`.
    pub fn map_flag(&self, name: &str) -> Option<u32> {
        self.any_enumerator(name).and_then(|value| u32::try_from(value).ok())
    }

    /// The name of a helper as the verifier prints it, out of `enum bpf_func_id`.
    pub fn helper_name(&self, helper: i32) -> Option<String> {
        let id = self.find("bpf_func_id", Kind::Enum)?;
        let values = self.btf().get(id)?.enumerators()?;
        let value = values.values().find(|value| i64::from(helper) == value.value as i64)?;
        Some(format!("bpf_{}", self.btf().str(value.name).strip_prefix("BPF_FUNC_")?))
    }

    /// Ops flags that it takes (`SCX_OPS_ALL_FLAGS`).
    pub fn ops_flags(&self) -> Lookup<u64> {
        self.enumerator("scx_ops_flags", "SCX_OPS_ALL_FLAGS")
    }

    /// One more than the highest map type that it knows (`__MAX_BPF_MAP_TYPE`).
    pub fn map_types(&self) -> Lookup<u64> {
        self.enumerator("bpf_map_type", "__MAX_BPF_MAP_TYPE")
    }

    /// One more than the highest helper that it knows (`__BPF_FUNC_MAX_ID`).
    pub fn helpers(&self) -> Lookup<u64> {
        self.enumerator("bpf_func_id", "__BPF_FUNC_MAX_ID")
    }

    /// Frames of a call chain (`MAX_CALL_FRAMES`), read off `bpf_verifier_state.frame`.
    pub fn max_call_frames(&self) -> Lookup<u32> {
        let frames = || {
            let id = self.find("bpf_verifier_state", Kind::Struct)?;
            let member = self.member(id, "frame")?;
            Some(self.btf().resolve(member.ty)?.1.array()?.nelems)
        };
        frames().map_or(Lookup::Unknown("the kernel's BTF has no bpf_verifier_state".into()), Lookup::Found)
    }

    /// Largest `dispatch_max_batch` whose per-CPU buffer can be allocated: `PCPU_MIN_UNIT_SIZE` less the
    /// header, over the size of `struct scx_dsp_buf_ent`.
    pub fn max_dispatch_batch(&self) -> Lookup<u64> {
        const PCPU_MIN_UNIT_SIZE: u64 = 32 << 10;
        let limit = || {
            let size = |id| self.btf().get(id).map(|ty| u64::from(ty.size()));
            let entry = size(self.find("scx_dsp_buf_ent", Kind::Struct)?).filter(|&size| size > 0)?;
            let own = self.find("scx_sched_pcpu", Kind::Struct);
            let header = match own.filter(|&id| self.member(id, "dsp_ctx").is_some()) {
                Some(id) => size(id)?,
                None => size(self.find("scx_dsp_ctx", Kind::Struct)?)?,
            };
            Some(PCPU_MIN_UNIT_SIZE.saturating_sub(header) / entry)
        };
        limit().map_or(Lookup::Unknown("the kernel's BTF has no scx_dsp_buf_ent".into()), Lookup::Found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::builtin::RELEASES;
    use crate::kernel::target;

    #[test]
    fn the_most_frames_are_those_of_some_release_and_no_release_takes_more() {
        let frames = RELEASES.iter().map(|release| {
            let target = target::load(release.name).unwrap().remove(0);
            let frames = Kernel::new(&target).unwrap().max_call_frames();
            frames.found().unwrap_or_else(|| panic!("{}", release.name)) as usize
        });
        assert_eq!(frames.max(), Some(MAX_CALL_FRAMES));
    }
}
