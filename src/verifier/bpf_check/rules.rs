//! What differs between kernels' verifiers.
//!
//! A field is a behaviour that several places ask for; what one place asks for is told there by [`Rules::since`]. Releases are compared
//! nowhere: a step is told by a mark, which is what its change left in the kernel's types.

use super::scalar::{Forks, ScalarRules};
use crate::btf::Kind;
use crate::kernel::Kernel;

/// What a kernel's verifier does in one way or another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rules {
    /// How numbers are followed.
    pub scalar: ScalarRules,
    /// Arguments of kfuncs and global functions go by their registers in messages, `R1`; before 7.2 it was `arg#0`.
    pub names_registers: bool,
    /// Frames of a call chain (`MAX_CALL_FRAMES`), read off `bpf_verifier_state.frame`.
    pub most_frames: u32,
    /// Which step of the verifier's history it is at, where a behaviour has no mark of its own: see [`Era`].
    pub era: Era,
}

/// Steps of the verifier's history that are told by marks, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Era {
    /// Up to 6.12: no `bpf_res_spin_lock`, void global functions refused.
    V6_12,
    /// 6.16.
    V6_16,
    /// 6.17.
    V6_17,
    /// 6.18.
    V6_18,
    /// 6.19.
    V6_19,
    /// 7.0.
    V7_0,
    /// 7.1.
    V7_1,
    /// 7.2.
    V7_2,
    /// 7.3.
    V7_3,
}

impl Rules {
    /// The rules of a kernel.
    pub fn of(kernel: &Kernel<'_>) -> Self {
        let era = era(kernel);
        let scalar = scalar_rules(era);
        let most_frames = kernel.max_call_frames().found().unwrap_or(if era >= Era::V7_2 { 16 } else { 8 });
        Self { scalar, names_registers: era >= Era::V7_2, most_frames, era }
    }

    /// Registers that may be linked in one comparison (`LINKED_REGS_MAX`).
    pub fn most_linked(&self) -> usize {
        if self.since(Era::V7_2) { 5 } else { 6 }
    }

    /// A state that is kept forgets ids that nothing shares (`bpf_clear_singular_ids`).
    pub fn clears_singular_ids(&self) -> bool {
        self.since(Era::V7_0)
    }

    /// It is this one or a later one.
    pub fn since(&self, era: Era) -> bool {
        self.era >= era
    }
}

/// How numbers are followed at a step. What came when is as [`ScalarRules`] tells it; of the steps whose sources were not read it was
/// held against what their kernels said of programs.
fn scalar_rules(era: Era) -> ScalarRules {
    match era {
        Era::V7_3 => return ScalarRules::v7_3(),
        Era::V7_2 => return ScalarRules::v7_2(),
        Era::V6_12 => return ScalarRules::v6_12(),
        _ => {}
    }
    let since = |step: Era| era >= step;
    ScalarRules {
        signed_products: true,
        jset_forgets: true,
        wrapping_sums: since(Era::V6_17),
        negation: since(Era::V6_17),
        crosses_sign64: since(Era::V6_17),
        crosses_sign32: since(Era::V7_0),
        rounds: if since(Era::V6_17) { 3 } else { 2 },
        tnum_mul_by_union: since(Era::V6_18),
        tnum_overlap: since(Era::V6_18),
        same_register: since(Era::V6_19),
        division: since(Era::V7_0),
        byte_swap: since(Era::V7_0),
        tnum_step: since(Era::V7_0),
        shifts_sign: since(Era::V7_0),
        forks: if since(Era::V7_0) { Forks::Again } else { Forks::No },
        simulates: since(Era::V7_1),
        ..ScalarRules::v6_12_0()
    }
}

/// What tells a step: a member that the verifier's own structs have from then on.
const MARKS: [(Era, &str, &str); 8] = [
    (Era::V6_16, "bpf_insn_aux_data", "live_regs_before"),
    (Era::V6_17, "bpf_insn_aux_data", "scc"),
    (Era::V6_18, "bpf_verifier_env", "liveness"),
    (Era::V6_19, "bpf_insn_aux_data", "jt"),
    (Era::V7_0, "bpf_prog_aux", "st_ops_assoc"),
    (Era::V7_1, "bpf_insn_aux_data", "const_reg_mask"),
    (Era::V7_2, "bpf_reg_state", "r64"),
    (Era::V7_3, "bpf_verifier_env", "diag"),
];

/// The newest step whose mark is there.
fn era(kernel: &Kernel<'_>) -> Era {
    let has = |of: &str, member: &str| {
        kernel.find(of, Kind::Struct).is_some_and(|id| kernel.member(id, member).is_some())
    };
    let found = MARKS.iter().rev().find(|(_, of, member)| has(of, member));
    found.map_or(Era::V6_12, |(era, ..)| *era)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::builtin::RELEASES;
    use crate::kernel::target;

    #[test]
    fn each_built_in_release_is_told_by_its_mark() {
        let eras = [
            Era::V6_12,
            Era::V6_16,
            Era::V6_17,
            Era::V6_18,
            Era::V6_19,
            Era::V7_0,
            Era::V7_1,
            Era::V7_2,
            Era::V7_3,
        ];
        assert_eq!(RELEASES.len(), eras.len());
        for (release, expected) in RELEASES.iter().zip(eras) {
            let target = target::load(release.name).unwrap().remove(0);
            let kernel = Kernel::new(&target).unwrap();
            assert_eq!(era(&kernel), expected, "{}", release.name);
        }
    }
}
