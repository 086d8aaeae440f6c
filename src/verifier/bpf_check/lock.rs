//! Locks are taken and given back (`process_spin_lock`).

use super::args::Argument;
use super::checker::Checker;
use super::record::FieldKind;
use super::refusal::{Step, Stop, Why};
use super::reg::{Flags, Kind};
use super::rules::Era;
use super::state::{HeldKind, LockPlace};

impl Checker<'_, '_> {
    /// A lock is taken, or given back.
    ///
    /// # Errors
    /// It is none, or not the one that may be taken or given back here.
    pub fn process_spin_lock(&mut self, arg: Argument<'_>, kind: HeldKind, takes: bool) -> Step {
        let reg = arg.reg;
        let (word, field) = match kind {
            HeldKind::Lock => ("bpf_spin", FieldKind::SpinLock),
            _ => ("bpf_res_spin", FieldKind::ResSpinLock),
        };
        let refused = |message: String| Err(Stop::einval(Why::Lock, message));
        let Some(off) = reg.offset() else {
            let message = format!(
                "{} doesn't have constant offset. {word}_lock has to be at the constant offset",
                arg.name
            );
            return refused(message);
        };
        let (place, record, what) = match reg.kind {
            Kind::MapValue(map) if reg.flags == Flags::NONE => {
                let name = self.map_name(map).to_owned();
                if !self.map_has_btf(map)? {
                    return refused(format!("map '{name}' has to have BTF in order to use {word}_lock"));
                }
                (LockPlace::Map(map), self.map_record(map)?, format!("map '{name}'"))
            }
            Kind::BtfId(ty) => (LockPlace::Object(ty.btf), self.type_record(ty)?, "local 'kptr'".to_owned()),
            _ => return Err(Stop::unmodelled("a lock in neither a map nor an object")),
        };
        let Some(found) = record.fields.iter().find(|found| found.kind == field) else {
            return refused(format!("{what} has no valid {word}_lock"));
        };
        if i64::from(found.offset) != off {
            return refused(format!(
                "off {off} doesn't point to 'struct {word}_lock' that is at {}",
                found.offset
            ));
        }
        if takes { self.take_lock(kind, reg.id, place) } else { self.give_lock(kind, reg.id, place, word) }
    }

    fn take_lock(&mut self, kind: HeldKind, id: u32, place: LockPlace) -> Step {
        let is_same = |held: &super::state::Held| held.id == id && held.place == Some(place);
        match kind {
            HeldKind::Lock if !self.rules.since(Era::V6_16) && self.state.active_locks > 0 => {
                return Err(Stop::einval(Why::Lock, "Locking two bpf_spin_locks are not allowed"));
            }
            // Later kernels look for a lock that no register leads to, and leave it to what is refused under a lock.
            HeldKind::Lock => {}
            _ => {
                let mut held = self.state.held.iter().filter(|held| held.kind.is_lock());
                if held.any(|held| held.kind != HeldKind::Lock && is_same(held)) {
                    let message = "Acquiring the same lock again, AA deadlock detected";
                    return Err(Stop::einval(Why::Lock, message));
                }
            }
        }
        self.acquire_lock(kind, id, place);
        Ok(())
    }

    fn give_lock(&mut self, kind: HeldKind, id: u32, place: LockPlace, word: &str) -> Step {
        let refused = |what: &str| Err(Stop::einval(Why::Lock, format!("{word}_unlock {what}")));
        if self.state.active_locks == 0 {
            return refused("without taking a lock");
        }
        let held = &self.state.held;
        if !held.iter().any(|held| held.kind == kind && held.id == id && held.place == Some(place)) {
            return refused("of different lock");
        }
        if self.state.active_lock != Some((id, place)) {
            return match self.rules.since(Era::V6_16) {
                true => refused("cannot be out of order"),
                false => refused("of different lock"),
            };
        }
        let was_in_rcu = self.in_rcu();
        self.release_lock(kind, id, place);
        let leaves_rcu = was_in_rcu && !self.in_rcu();
        if leaves_rcu && !self.rules.since(Era::V7_2) {
            let protected = self.state.all_regs().any(|reg| reg.flags.has(Flags::RCU));
            if protected && self.rules.since(Era::V6_16) {
                return Err(Stop::unmodelled("what a lock protected as RCU does"));
            }
        }
        if self.rules.since(Era::V7_3) {
            self.invalidate_non_owning();
            if !self.in_rcu() {
                self.invalidate_rcu();
            }
        } else {
            if leaves_rcu && self.rules.since(Era::V7_2) {
                self.invalidate_rcu();
            }
            self.invalidate_non_owning();
        }
        Ok(())
    }
}
