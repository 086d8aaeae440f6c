//! `cast-without-arena`.

use super::context::Context;
use crate::errno::Errno;
use crate::finding::{Outcome, Site, Subject};
use crate::insn::Op;
use crate::object::MapType;

rule! {
    /// A program casts an arena pointer and has no arena.
    ///
    /// ## Why it matters
    /// The verifier refuses `addr_space_cast` in a program that uses no arena map. Dereferencing an `__arena` pointer that came out of a map or
    /// an argument makes such a cast without naming the arena.
    /// ## Example
    /// ```c
    /// u64 __arena *slot;                       /* in .bss: names no arena */
    /// void BPF_STRUCT_OPS(demo_running, struct task_struct *p) { *slot += 1; }
    /// ```
    /// ## Fix
    /// Refer to the arena map somewhere in the program, e.g. `asm volatile("" :: "r"(&arena));`.
    /// ## Sources
    /// kernel `check_alu_op`.
    pub CAST_WITHOUT_ARENA: "cast-without-arena", family: Arena, level: Error, phase: Load, since: "0.1.0";
}

pub(super) fn check(cx: &Context<'_, '_>, out: &mut Outcome) {
    let object = cx.object;
    for (program, function, _) in cx.loaded() {
        let has_arena =
            object.maps_of(program).iter().any(|used| object[used.map].map_type == MapType::ARENA);
        if has_arena {
            continue;
        }
        let subject = Subject::program(object, program);
        let cast = cx.walks_any(program, |_, op| matches!(op, Op::AddrSpaceCast { .. }));
        let what = |_: &_| "casts an arena pointer and uses no arena".to_owned();
        let cast = cast.or_undecided(out, &CAST_WITHOUT_ARENA, subject.clone(), what);
        let Some(((site, insn), _)) = cast else { continue };
        let message = format!("program '{}' casts an arena pointer and uses no arena", function.name);
        out.found(&CAST_WITHOUT_ARENA, subject, message)
            .errno(Errno::EINVAL)
            .quote("addr_space_cast insn can only be used in a program that has an associated arena")
            .help("refer to the arena map in the program, e.g. asm volatile(\"\" :: \"r\"(&arena))")
            .via(Site::Insn(site, insn), program, "the cast");
    }
}
