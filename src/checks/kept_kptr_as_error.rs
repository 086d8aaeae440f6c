//! `kept-kptr-as-error`.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::context::Context;
use crate::finding::{Outcome, Site, Subject};
use crate::insn::{AluOp, Op, Operand, Registers, Successors};
use crate::kernel::exceptions::Fact;
use crate::kernel::{Lookup, helpers};
use crate::object::{FuncIdx, Function, InsnIdx, MapIdx, MapType, Object, Referent};
use crate::verifier::Reached;

rule! {
    /// A kptr that a deleted element of a hash map has left behind is taken for an error.
    ///
    /// ## Why it matters
    /// Up to 7.0 an element of a hash map gave its kptrs back when it was deleted. Since 7.1 it keeps them until its memory is used for something
    /// else, and `bpf_map_update_elem` hands the memory out again with the old kptr in it. A program that puts a kptr into a new element, gets
    /// another one back and then calls `scx_bpf_error` ejects its own scheduler, as soon as some task has gone and another one come. Seen with
    /// scx_rusty 1.0.20 (`kptr already had cpumask`).
    /// Said only where some program deletes elements of the map, and none takes kptrs out with `bpf_kptr_xchg(slot, NULL)`.
    /// ## Example
    /// ```c
    /// bpf_map_update_elem(&task_masks, &pid, &empty, BPF_NOEXIST);
    /// slot = bpf_map_lookup_elem(&task_masks, &pid);
    /// old = bpf_kptr_xchg(&slot->mask, new);
    /// if (old)
    ///     scx_bpf_error("kptr already had cpumask");
    /// ```
    /// ## Fix
    /// Release what was there, `if (old) bpf_cpumask_release(old)`, or take it out before the element is deleted.
    /// ## Sources
    /// kernel `check_and_cancel_fields`, `bpf_obj_cancel_fields` (7.1 to 7.3); guests of 7.0 to 7.3.
    pub KEPT_KPTR_AS_ERROR: "kept-kptr-as-error", family: Program, level: Warning, phase: Run, since: "0.1.0";
}

/// Calls that are looked at in an object; no scheduler has as many.
const MOST_CALLS: usize = 4096;

/// How far back is looked for what puts something into a register, in slots.
const MOST_SLOTS: usize = 1024;

/// Copies of a register that are followed.
const MOST_STEPS: usize = 16;

/// Helpers that fill, empty and reuse elements.
const CALLS: [&str; 3] = ["map_update_elem", "map_delete_elem", "kptr_xchg"];

pub(super) fn check(cx: &Context<'_, '_>, out: &mut Outcome) {
    let Some(kernel) = cx.kernel else { return };
    let known = kernel.knows(Fact::DeletedElementsKeepKptrs);
    if known == Lookup::Absent {
        return;
    }
    let object = cx.object;
    let mut programs: HashMap<FuncIdx, Vec<FuncIdx>> = HashMap::new();
    let mut functions = Vec::new();
    for (program, ..) in cx.loaded() {
        for (function, _) in object.code_of(program) {
            let of = programs.entry(function).or_default();
            if of.is_empty() {
                functions.push(function);
            }
            of.push(program);
        }
    }
    let (mut filled, mut deleted) = (HashSet::new(), HashSet::new());
    let mut exchanges = Vec::new();
    let mut calls = 0;
    for &index in &functions {
        if !object[index].ops().iter().any(|op| CALLS.iter().any(|name| is(*op, name))) {
            continue;
        }
        let code = Code::of(&object[index]);
        for (at, op) in code.ops.iter().enumerate() {
            let Some(which) = CALLS.iter().position(|name| is(*op, name)) else { continue };
            calls += 1;
            match CALLS[which] {
                _ if calls > MOST_CALLS => return,
                "map_update_elem" => filled.extend(code.map_in(1, at)),
                "map_delete_elem" => deleted.extend(code.map_in(1, at)),
                // One that may put NULL there takes out what was.
                _ if !code.puts_something(at) => return,
                _ => {
                    let map = code.element_in(1, at).filter(|map| object[*map].map_type == MapType::HASH);
                    let error = error_after(cx, code.function, at);
                    exchanges
                        .extend(map.zip(error).map(|(map, error)| (index, map, InsnIdx(at), InsnIdx(error))));
                }
            }
        }
    }
    for (index, map, at, error) in exchanges {
        if !filled.contains(&map) || !deleted.contains(&map) {
            continue;
        }
        let walked = |program: &&FuncIdx| {
            let walk = cx.walk(**program);
            [at, error].iter().all(|&at| walk.reached((index, at)) != Reached::Never)
        };
        let Some(&program) = programs.get(&index).and_then(|programs| programs.iter().find(walked)) else {
            continue;
        };
        let (subject, map) = (Subject::program(object, program), &object[map].name);
        let message = format!(
            "program '{}' takes a kptr in a new element of '{map}' for an error, and elements that are deleted leave theirs there",
            object[program].name
        );
        let (exchanged, error) = (Site::Insn(index, at), Site::Insn(index, error));
        match &known {
            Lookup::Unknown(reason) => {
                let words = format!("takes a kptr in a new element of '{map}' for an error");
                let reason = reason.within(|why| format!("{words}; {why}"));
                out.undecided(&KEPT_KPTR_AS_ERROR, subject, reason).via(exchanged, program, "exchanged here");
            }
            _ => {
                out.found(&KEPT_KPTR_AS_ERROR, subject, message)
                    .help("release the old kptr, or take it out with bpf_kptr_xchg(slot, NULL) before the element is deleted")
                    .via(exchanged, program, "exchanged here")
                    .via(error, program, "an old one ejects the scheduler");
            }
        }
    }
}

/// A function, with where control comes from other than from the instruction before.
struct Code<'a, 'd> {
    function: &'a Function<'d>,
    ops: &'a [Op],
    /// By the slot that is jumped to: the first and the last slot that jumps there.
    jumps: BTreeMap<usize, (usize, usize)>,
    /// There are jumps to who knows where.
    is_open: bool,
}

impl<'a, 'd> Code<'a, 'd> {
    fn of(function: &'a Function<'d>) -> Self {
        let ops = function.ops();
        let mut jumps = BTreeMap::new();
        for (slot, op) in ops.iter().enumerate() {
            if let Some(to) = op.successors(slot).jump() {
                jumps.entry(to).or_insert((slot, slot)).1 = slot;
            }
        }
        let is_open = ops.iter().any(|op| matches!(op, Op::JumpTable { .. }));
        Self { function, ops, jumps, is_open }
    }

    /// What puts something into a register that it holds at an instruction, whatever way leads there.
    fn source(&self, register: u8, at: usize) -> Option<usize> {
        let near = at.saturating_sub(MOST_SLOTS)..at;
        let put = near.rev().find(|&slot| self.ops[slot].writes().has(register))?;
        let mut entries = self.jumps.range(put + 1..=at);
        let is_single = entries.all(|(_, &(first, last))| put <= first && last < at);
        (is_single && !self.is_open).then_some(put)
    }

    /// The exchange at an instruction surely puts something else than the number 0 into the element.
    fn puts_something(&self, at: usize) -> bool {
        let put = self.source(2, at).map(|put| self.ops[put]);
        put.is_some_and(|op| !matches!(op, Op::Mov { src: Operand::Imm(_), .. }))
    }

    /// The map whose address a register holds.
    fn map_in(&self, mut register: u8, mut at: usize) -> Option<MapIdx> {
        for _ in 0..MOST_STEPS {
            let put = self.source(register, at)?;
            if matches!(self.ops[put], Op::LoadImm64 { .. }) {
                return self.function.refs_at(InsnIdx(put)).iter().find_map(|reference| {
                    match reference.target {
                        Referent::Map(map) => Some(map),
                        _ => None,
                    }
                });
            }
            (register, at) = (self.ops[put].copies()?.0, put);
        }
        None
    }

    /// The map in whose element, just looked up, a register points.
    fn element_in(&self, mut register: u8, mut at: usize) -> Option<MapIdx> {
        for _ in 0..MOST_STEPS {
            let put = self.source(register, at)?;
            let op = self.ops[put];
            if is(op, "map_lookup_elem") {
                return (register == 0).then(|| self.map_in(1, put)).flatten();
            }
            if !matches!(op, Op::Alu { op: AluOp::Add, wide: true, src: Operand::Imm(_), .. }) {
                register = op.copies()?.0;
            }
            at = put;
        }
        None
    }
}

/// A call of the helper of that name.
fn is(op: Op, name: &str) -> bool {
    op.helper().and_then(helpers::get).is_some_and(|helper| helper.name == name)
}

/// The call of `scx_bpf_error` that follows whenever the exchange at an instruction gives something back.
fn error_after(cx: &Context<'_, '_>, function: &Function<'_>, at: usize) -> Option<usize> {
    let ops = function.ops();
    let mut held = Registers::of([0]);
    let mut slot = at + 1;
    let mut slot = loop {
        let op = ops.get(slot)?;
        if let Some((tested, jumps_on_null)) = op.null_test() {
            let Successors::Branch { falls, taken } = op.successors(slot) else { return None };
            break held.has(tested).then_some(if jumps_on_null { falls } else { taken })?;
        }
        let Successors::Next(next) = op.successors(slot) else { return None };
        held = match op.copies() {
            Some((from, to)) if held.has(from) => held.with(Registers::of([to])),
            _ => held.without(op.writes()),
        };
        slot = next;
    };
    for _ in 0..ops.len() {
        let is_error = |target| match target {
            Referent::Extern(index) => {
                Object::essential_name(cx.object[index].name) == "scx_bpf_error_bstr" && cx.has_kfunc(index)
            }
            _ => false,
        };
        let op = ops.get(slot)?;
        let is_call = matches!(op, Op::Call(_));
        if is_call && function.refs_at(InsnIdx(slot)).iter().any(|reference| is_error(reference.target)) {
            return Some(slot);
        }
        let (Successors::Next(next) | Successors::Jump(next)) = op.successors(slot) else { return None };
        slot = next;
    }
    None
}
