//! Fields of instructions that the verifier looks at: from 7.1 on in all code, before only where it comes to them.

use super::super::context::Context;
use super::surely::{Branch, Surely};
use crate::kernel::Lookup;
use crate::kernel::exceptions::Fact;
use crate::object::FuncIdx;
use crate::verifier::{At, Reached};

/// Does the verifier look at one of these instructions of a program: the first that it is sure to look at, else the first that it
/// may. Without a kernel, and where that is not known of it, it may look at any.
pub(in crate::checks) fn looks_at<T>(
    cx: &Context<'_, '_>,
    program: FuncIdx,
    places: impl IntoIterator<Item = (At, T)>,
) -> Surely<T> {
    let everywhere = cx.kernel.map(|kernel| kernel.knows(Fact::InsnFieldsCheckedEverywhere));
    let mut open = Surely::No;
    for (at, found) in places {
        let reached = cx.walk(program).reached(at);
        if everywhere == Some(Lookup::Found(())) || reached == Reached::Certain {
            return Surely::Sure(found);
        }
        let may = everywhere != Some(Lookup::Absent) || reached == Reached::Possible;
        if may && matches!(open, Surely::No) {
            open = Surely::Open(found, Branch::OfVerifier, at);
        }
    }
    open
}

/// What stays open, in words.
pub(in crate::checks) fn open(what: &str) -> String {
    format!("{what}; kernels before 7.1 refuse it only where they come to it")
}
