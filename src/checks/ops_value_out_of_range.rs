//! `ops-value-out-of-range`.

use super::Context;
use crate::errno::Errno;
use crate::finding::{Outcome, Site, Subject};
use crate::kernel::{Kernel, Lookup};
use crate::object::{Form, Value};

rule! {
    /// A number in the ops variable that every kernel refuses.
    ///
    /// ## Why it matters
    /// `timeout_ms` may be 30000 at most; `dispatch_max_batch` must fit a per-CPU buffer; `rescue_bandwidth_ppt` may be 250 at most or
    /// 0xffffffff, `rescue_quantum_us` 1000 to 100000 (0 stands for the default); `priv` belongs to the kernel.
    /// ## Fix
    /// Choose a value in range, or 0 for the default.
    /// ## Sources
    /// kernel `bpf_scx_init_member`, `scx_alloc_and_add_sched`, and the limit of one per-CPU allocation (`PCPU_MIN_UNIT_SIZE`).
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
            ("dispatch_max_batch", value) if value > batch => Some((format!("at most {batch}"), Errno::ENOMEM)),
            ("rescue_bandwidth_ppt", 0xffff_ffff) => None,
            ("rescue_bandwidth_ppt", 251..) => Some(("at most 250, or 0xffffffff".to_owned(), Errno::E2BIG)),
            ("rescue_quantum_us", 100_001..) => Some(("at most 100000".to_owned(), Errno::E2BIG)),
            ("rescue_quantum_us", 1..=999) => Some(("at least 1000, or 0".to_owned(), Errno::EINVAL)),
            _ => None,
        };
        for member in &ops.members {
            let found = match member.value {
                Value::Scalar(value) => {
                    problem(member.name, value).map(|(expected, errno)| (value.to_string(), expected, errno))
                }
                // A pointer that is no callback: `priv` set to a number.
                Value::Bytes(bytes) if member.name == "priv" && bytes.iter().any(|&b| b != 0) => {
                    Some(("not 0".to_owned(), "0: it belongs to the kernel".to_owned(), Errno::EINVAL))
                }
                _ => None,
            };
            let Some((got, expected, errno)) = found else { continue };
            let message = format!("{} is {got}, expected {expected}", member.name);
            out.found(&OPS_VALUE_OUT_OF_RANGE, Subject::member(cx.object, index, member.name), message)
                .errno(errno)
                .help("choose a value in range, or 0 for the default")
                .at(Site::StructOps(index), "in this ops variable");
        }
    }
}
