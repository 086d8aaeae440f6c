//! CO-RE records of one program: those in its own code and in the functions appended to it.

use super::super::context::Context;
use crate::load::CoreUse;
use crate::object::FuncIdx;

/// In the order of the final code.
pub(in crate::checks) fn of<'a>(cx: &Context<'a, '_>, program: FuncIdx) -> impl Iterator<Item = &'a CoreUse> {
    let load = cx.load;
    cx.object
        .code_of(program)
        .flat_map(move |(function, _)| load.core.iter().filter(move |used| used.function == function))
}
