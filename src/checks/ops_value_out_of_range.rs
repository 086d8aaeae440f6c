//! `ops-value-out-of-range`.

use super::context::Context;
use crate::errno::Errno;
use crate::finding::{Outcome, Site, Subject};
use crate::kernel::{Kernel, Lookup};
use crate::object::{Form, MemberInit};
use crate::rule::Phase;

rule! {
    /// A number in the ops variable that every kernel refuses.
    ///
    /// ## Why it matters
    /// `timeout_ms` may be 30000 at most; `dispatch_max_batch` must fit a per-CPU buffer; `rescue_bandwidth_ppt` may be 250 at most or
    /// 0xffffffff, `rescue_quantum_us` 1000 to 100000 (0 stands for the default); a buffer of `exit_dump_len` bytes is allocated; `priv` belongs to the kernel, and libbpf refuses any other
    /// value than 0 when it loads the object.
    /// ## Fix
    /// Choose a value in range, or 0 for the default.
    /// ## Sources
    /// libbpf `bpf_map__init_kern_struct_ops`; kernel `bpf_scx_init_member`, `scx_alloc_and_add_sched`, and the limit of one per-CPU allocation (`PCPU_MIN_UNIT_SIZE`).
    pub OPS_VALUE_OUT_OF_RANGE: "ops-value-out-of-range", family: OpsValues, level: Error, phase: Attach, since: "0.1.0";
}

pub(super) fn check(cx: &Context<'_, '_>, out: &mut Outcome) {
    for (index, ops) in cx.schedulers() {
        // 32 bytes an entry up to 7.2, behind a header from 7.1; the least strict kernel that has the form counts.
        let batch = match cx.kernel.map(Kernel::max_dispatch_batch) {
            Some(Lookup::Found(batch)) => batch,
            _ if ops.form() == Form::Cid => 1015,
            _ => 1023,
        };
        let problem = |name: &str, value: u64| match (name, value) {
            ("timeout_ms", 30_001..) => Some(("at most 30000".to_owned(), Errno::E2BIG)),
            ("dispatch_max_batch", 0x8000_0000..) => Some((format!("at most {batch}"), Errno::E2BIG)),
            ("dispatch_max_batch", value) if value > batch => {
                Some((format!("at most {batch}"), Errno::ENOMEM))
            }
            // Larger than any allocation of the kernel's (`kvzalloc`, INT_MAX).
            ("exit_dump_len", 0x8000_0000..) => Some(("at most 2147483647".to_owned(), Errno::ENOMEM)),
            ("rescue_bandwidth_ppt", 0xffff_ffff) => None,
            ("rescue_bandwidth_ppt", 251..) => Some(("at most 250, or 0xffffffff".to_owned(), Errno::E2BIG)),
            ("rescue_quantum_us", 100_001..) => Some(("at most 100000".to_owned(), Errno::E2BIG)),
            ("rescue_quantum_us", 1..=999) => Some(("at least 1000, or 0".to_owned(), Errno::EINVAL)),
            _ => None,
        };
        let name = &cx.object[ops.map].name;
        for (member, fate) in ops.members.iter().zip(&cx.load.ops[index.0].members) {
            // What the kernel does not get is not judged here.
            if !fate.reaches_kernel() {
                continue;
            }
            // A pointer that is no callback. Without such a member, as in 6.12, the text is another, the error the same.
            // With a kernel in view that is the business of the rule on mismatched members.
            if let MemberInit::Bytes(bytes) = member.value
                && cx.kernel.is_none()
                && member.name == "priv"
                && bytes.iter().any(|&b| b != 0)
            {
                let message = "priv is not 0, expected 0: it belongs to the kernel";
                out.found(&OPS_VALUE_OUT_OF_RANGE, Subject::member(cx.object, index, member.name), message)
                    .phase(Phase::Load)
                    .errno(Errno::EOPNOTSUPP)
                    .quote(format!("struct_ops init_kern {name}: member priv is not a struct_ops program"))
                    .help("leave it out")
                    .at(Site::StructOps(index), "in this ops variable");
            }
            let Some(value) = cx.ops_value(index, member.name).known() else { continue };
            let Some((expected, errno)) = problem(member.name, value) else { continue };
            let message = format!("{} is {value}, expected {expected}", member.name);
            out.found(&OPS_VALUE_OUT_OF_RANGE, Subject::member(cx.object, index, member.name), message)
                .errno(errno)
                .help("choose a value in range, or 0 for the default")
                .at(Site::StructOps(index), "in this ops variable");
        }
    }
}
