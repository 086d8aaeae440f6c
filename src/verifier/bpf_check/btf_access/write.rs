//! Stores into kernel objects that some program types may do (`btf_struct_access` of their `bpf_verifier_ops`).

use crate::btf::Kind as BtfKind;
use crate::errno::Errno;
use crate::kernel::Lookup;
use crate::kernel::exceptions::Fact;
use crate::verifier::bpf_check::checker::Checker;
use crate::verifier::bpf_check::hook::{Ops, Program};
use crate::verifier::bpf_check::refusal::{Step, Stop, Why};
use crate::verifier::bpf_check::reg::TypeRef;
use crate::verifier::bpf_check::rules::Era;

impl Checker<'_, '_> {
    /// The program type has rules of its own for stores.
    pub(super) fn has_own_writes(&self) -> bool {
        self.hook.program.is_struct_ops()
    }

    /// A store into a kernel object, by those rules.
    pub(super) fn check_object_write(&self, ty: TypeRef, off: i32, size: u32, base: u8) -> Step {
        let Program::StructOps(ops) = self.hook.program else {
            return Err(Stop::unmodelled("stores into kernel objects"));
        };
        match ops {
            Ops::Scx | Ops::ScxCid if self.may_write_task(ops, ty, off, size)? => Ok(()),
            Ops::Scx | Ops::ScxCid => Err(self.refuse_write(ty, off, size, base, None)?),
            Ops::Dummy => {
                if self.name_of_type(ty) != "bpf_dummy_ops_state" {
                    let words = "only access to bpf_dummy_ops_state is supported";
                    return Err(self.refuse_write(ty, off, size, base, Some(words))?);
                }
                Err(Stop::unmodelled("stores into the state of test operations"))
            }
            Ops::TcpCongestion | Ops::Qdisc => Err(Stop::unmodelled("stores into sockets and packets")),
        }
    }

    /// The refusal: the words of the program type, if any; those of the verifier came with 7.2.
    fn refuse_write(&self, ty: TypeRef, off: i32, size: u32, base: u8, words: Option<&str>) -> Step<Stop> {
        let message = match words {
            Some(words) => words.to_owned(),
            None if self.rules.since(Era::V7_2) => {
                let name = self.name_of_type(ty);
                format!("R{base} cannot write into ptr_{name} at off={off} size={size}")
            }
            None => String::new(),
        };
        Ok(Stop::refused(Why::KernelField, Errno::EACCES, message))
    }

    /// A field of a task that a scheduler may write (`bpf_scx_btf_struct_access`).
    fn may_write_task(&self, ops: Ops, ty: TypeRef, off: i32, size: u32) -> Step<bool> {
        let unknown = || Stop::unmodelled("fields of tasks that may be written");
        let task = match self.kernel.lookup("task_struct", BtfKind::Struct) {
            Lookup::Found(task) => task,
            _ => return Err(unknown()),
        };
        if ty != TypeRef::kernel(task) {
            return Ok(false);
        }
        let btf = self.kernel.btf();
        let scx = self.kernel.member(task, "scx").ok_or_else(unknown)?;
        let (entity, _) = btf.resolve(scx.ty).ok_or_else(unknown)?;
        let (start, end) = (i64::from(off), i64::from(off) + i64::from(size));
        for field in ["slice", "dsq_vtime", "disallow"] {
            let refused = ops == Ops::ScxCid && self.kernel.is(Fact::TaskWriteRefusedInCidForm);
            if refused && field != "disallow" {
                continue;
            }
            let member = self.kernel.member(entity, field).ok_or_else(unknown)?;
            let at = i64::from(scx.bit_offset / 8) + i64::from(member.bit_offset / 8);
            let len = btf.size_of(member.ty).ok_or_else(unknown)? as i64;
            if start >= at && end <= at + len {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
