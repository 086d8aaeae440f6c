//! Stores into kernel objects that some program types may do (`btf_struct_access` of their `bpf_verifier_ops`).

use crate::btf::{Btf, Kind as BtfKind, TypeId};
use crate::errno::Errno;
use crate::kernel::Lookup;
use crate::kernel::exceptions::Fact;
use crate::verifier::bpf_check::checker::Checker;
use crate::verifier::bpf_check::hook::{Ops, Program};
use crate::verifier::bpf_check::refusal::{Step, Stop, Why};
use crate::verifier::bpf_check::reg::TypeRef;
use crate::verifier::bpf_check::rules::Era;

/// A field that callbacks may write.
struct Field {
    /// Its member, in a struct of that name; the further ones lie within, in a struct of that name or, without one, in the member's own.
    path: &'static [(&'static str, &'static str)],
    /// A store may begin anywhere in it.
    inside: bool,
}

const fn field(path: &'static [(&'static str, &'static str)]) -> Field {
    Field { path, inside: false }
}

const fn range(path: &'static [(&'static str, &'static str)]) -> Field {
    Field { path, inside: true }
}

/// Of a `struct tcp_sock`, which begins with the other two (`bpf_tcp_ca_btf_struct_access`).
const TCP_SOCK: &[Field] = &[
    field(&[("sock", "sk_pacing_rate")]),
    field(&[("sock", "sk_pacing_status")]),
    range(&[("inet_connection_sock", "icsk_ca_priv")]),
    field(&[("inet_connection_sock", "icsk_ack"), ("", "pending")]),
    field(&[("tcp_sock", "snd_cwnd")]),
    field(&[("tcp_sock", "snd_cwnd_cnt")]),
    field(&[("tcp_sock", "snd_cwnd_stamp")]),
    field(&[("tcp_sock", "snd_ssthresh")]),
    field(&[("tcp_sock", "ecn_flags")]),
    field(&[("tcp_sock", "app_limited")]),
];

/// `bpf_qdisc_qdisc_access`
const QDISC: &[Field] =
    &[field(&[("Qdisc", "limit")]), field(&[("Qdisc", "q"), ("", "qlen")]), range(&[("Qdisc", "qstats")])];

/// `bpf_qdisc_sk_buff_access`
const SK_BUFF: &[Field] =
    &[field(&[("sk_buff", "tstamp")]), range(&[("sk_buff", "cb"), ("qdisc_skb_cb", "data")])];

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
                let whole = self.kernel.btf().size_of(ty.id);
                if whole.is_none_or(|whole| i64::from(off) + i64::from(size) > whole as i64) {
                    let words = format!("write access at off {off} with size {size}");
                    return Err(self.refuse_write(ty, off, size, base, Some(&words))?);
                }
                Ok(())
            }
            Ops::TcpCongestion => self.check_field_write(&[("tcp_sock", TCP_SOCK)], ty, off, size, base),
            Ops::Qdisc => {
                self.check_field_write(&[("sk_buff", SK_BUFF), ("Qdisc", QDISC)], ty, off, size, base)
            }
        }
    }

    /// A store into one of some types, of which some fields may be written.
    fn check_field_write(
        &self,
        types: &[(&str, &[Field])],
        ty: TypeRef,
        off: i32,
        size: u32,
        base: u8,
    ) -> Step {
        let refused = |words: &str| -> Step { Err(self.refuse_write(ty, off, size, base, Some(words))?) };
        let is_it = |name: &str| self.kernel.find(name, BtfKind::Struct).map(TypeRef::kernel) == Some(ty);
        let Some((name, fields)) = types.iter().find(|(name, _)| is_it(name)) else {
            return refused("only read is supported");
        };
        let start = i64::from(off);
        for field in *fields {
            let (at, end) = self
                .place(field)
                .ok_or_else(|| Stop::unmodelled(format!("which fields of struct {name} may be written")))?;
            if start != at && !(field.inside && (at..end).contains(&start)) {
                continue;
            }
            if start + i64::from(size) > end {
                return refused(&format!(
                    "write access at off {off} with size {size} beyond the member of {name} ended at {end}"
                ));
            }
            return Ok(());
        }
        refused(&format!("no write support to {name} at off {off}"))
    }

    /// Where a field begins and ends, bytes from the start of the first struct of its path.
    fn place(&self, field: &Field) -> Option<(i64, i64)> {
        let btf = self.kernel.btf();
        let (mut at, mut within) = (0, None);
        for (of, member) in field.path {
            let of = if of.is_empty() { within? } else { self.kernel.find(of, BtfKind::Struct)? };
            let (offset, id) = member_of(btf, of, member, 0)?;
            at += offset;
            within = Some(id);
        }
        let len = btf.size_of(within?)? as i64;
        Some((at, at + len))
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

/// Offset in bytes and type of a member, which may lie in unnamed ones.
fn member_of(btf: &Btf<'_>, of: TypeId, name: &str, depth: usize) -> Option<(i64, TypeId)> {
    // Deeper than any struct of the kernel's.
    if depth > 8 {
        return None;
    }
    let (_, ty) = btf.resolve(of)?;
    ty.composite()?.members().find_map(|member| {
        let at = i64::from(member.bit_offset / 8);
        match btf.bytes(member.name) {
            found if found == name.as_bytes() => Some((at, member.ty)),
            b"" => member_of(btf, member.ty, name, depth + 1).map(|(offset, id)| (at + offset, id)),
            _ => None,
        }
    })
}
