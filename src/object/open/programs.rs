//! Function symbols to programs (libbpf `bpf_object__add_programs`), and which subprograms each entry
//! program gets appended (`bpf_object__reloc_code`).

use std::collections::{HashMap, HashSet};
use std::sync::OnceLock;

use rustc_hash::FxHashMap;

use super::{Opening, Role, sec};
use crate::btf::Linkage;
use crate::elf::{self, Binding, SectionIdx, SymbolKind};
use crate::errno::Errno;
use crate::insn::{Code, INSN_SIZE};
use crate::object::function::{Entry, Function};
use crate::object::indexes::{FuncIdx, InsnIdx};
use crate::object::kind::ProgramKind;
use crate::object::ops::MemberInit;
use crate::object::refusal::{Cause, Item};

impl<'d> Opening<'d> {
    /// Collects every function symbol of every code section, sorted by section and offset.
    pub(super) fn programs(&mut self) {
        let mut by_section: Vec<Vec<usize>> = vec![Vec::new(); self.roles.len()];
        for (index, symbol) in self.object.elf.symbols.iter().enumerate() {
            if symbol.kind == SymbolKind::Func && self.role(symbol.section) == Role::Code {
                by_section[symbol.section as usize].push(index);
            }
        }
        // Without functions a section still counts as `.text`.
        self.object.text = (0..self.roles.len())
            .rev()
            .find(|&i| self.roles[i] == Role::Code && self.object.elf.sections[i].name == ".text")
            .map(|i| SectionIdx(i as u32));
        for (section, symbols) in by_section.into_iter().enumerate() {
            for symbol in symbols {
                match self.function(section, symbol) {
                    Ok(function) => self.object.functions.push(function),
                    Err((errno, name, text)) => self.refuse(Cause::Symbol, errno, Item::Symbol(name), text),
                }
            }
        }
        self.object.functions.sort_by_key(|function| (function.section, function.start));
    }

    fn function(&self, section: usize, symbol: usize) -> Result<Function<'d>, (Errno, String, String)> {
        let (section, symbol) = (&self.object.elf.sections[section], &self.object.elf.symbols[symbol]);
        let (offset, size) = (symbol.value, symbol.size);
        let Some(name) = symbol.name.clone() else {
            let text = format!("sec '{}': failed to get symbol name for offset {offset}", section.name);
            return Err((Errno::LIBBPF_ERRNO__FORMAT, String::new(), text));
        };
        let fail =
            |errno, text: String| Err((errno, name.to_string(), format!("sec '{}': {text}", section.name)));
        let bytes = section.data.unwrap_or_default();
        let end = offset.checked_add(size).filter(|&end| end <= bytes.len() as u64);
        let Some(end) = end else {
            return fail(
                Errno::LIBBPF_ERRNO__FORMAT,
                format!("program at offset {offset} crosses section boundary"),
            );
        };
        let is_text = self.object.text == Some(section.index);
        if !is_text && symbol.binding == Binding::Local {
            return fail(Errno::EOPNOTSUPP, format!("program '{name}' is static and not supported"));
        }
        if size == 0 || size % INSN_SIZE as u64 != 0 || offset % INSN_SIZE as u64 != 0 {
            return fail(Errno::EINVAL, format!("corrupted program '{name}', offset {offset}, size {size}"));
        }
        let section_name = section.name.strip_prefix('?').unwrap_or(&section.name).to_owned();
        let class = sec::classify(&section_name, self.object.libbpf);
        let autoload = !section.name.starts_with('?');
        Ok(Function {
            name,
            section: section.index,
            section_name,
            start: offset as usize / INSN_SIZE,
            code: Code::new(&bytes[offset as usize..end as usize], self.object.elf.byte_order),
            is_global: symbol.binding != Binding::Local && !symbol.hidden,
            ops: OnceLock::new(),
            entry: (!is_text).then(|| Entry {
                kind: class.kind,
                sleepable: class.sleepable,
                since: class.since,
                autoload,
                linked: Vec::new(),
                uses: Vec::new(),
            }),
            refs: Vec::new(),
            calls: Vec::new(),
        })
    }

    /// Which functions the verifier takes for global: their FUNCs say it, but that libbpf makes those of hidden symbols static
    /// (`mark_btf_static`). A copy that the compiler made of a global function has a local symbol and the same FUNC.
    pub(super) fn settle_globals(&mut self) {
        let (Some(btf), Some(ext)) = (&self.object.btf, &self.object.ext) else { return };
        let mut linkages: FxHashMap<(u32, usize), Option<Linkage>> = FxHashMap::default();
        let mut sections: Vec<u32> =
            self.object.functions.iter().map(|function| function.section.0).collect();
        sections.dedup();
        for section in sections.iter().filter_map(|&section| self.object.elf.section_at(section)) {
            for info in ext.funcs(btf, &section.name) {
                let linkage = btf.get(info.type_id).and_then(|func| func.linkage());
                linkages.insert((section.index.0, info.insn_off as usize / INSN_SIZE), linkage);
            }
        }
        let symbols =
            self.object.elf.symbols.iter().filter(|symbol| symbol.hidden && symbol.binding != Binding::Local);
        let hidden: HashSet<_> = symbols.map(|symbol| (symbol.section, symbol.value)).collect();
        for function in &mut self.object.functions {
            let start = (function.section.0, (function.start * INSN_SIZE) as u64);
            if let Some(linkage) = linkages.get(&(function.section.0, function.start)) {
                function.is_global = *linkage == Some(Linkage::Global) && !hidden.contains(&start);
            }
        }
    }

    /// Appends subprograms to every entry program and settles which struct_ops programs load.
    ///
    /// # Errors
    /// What programs refer to adds up to far more than the file: thousands of programs that each reach thousands of
    /// functions or maps. Every such program would be refused, and listing them would take memory without end.
    pub(super) fn link(&mut self, file_len: usize) -> Result<(), elf::Error> {
        self.settle_autoload();
        let mut budget = Budget(file_len.saturating_add(4 << 20));
        self.spend_on_contents(&mut budget)?;
        let mut slots = MOST_SLOTS;
        let callbacks = self.exception_callbacks();
        for index in 0..self.object.functions.len() {
            self.object.functions[index].refs.sort_by_key(|r| r.insn);
            self.plain_calls(index);
        }
        for index in 0..self.object.functions.len() {
            if self.object.functions[index].entry.is_some() {
                let linked = self.reach(FuncIdx(index), &callbacks);
                for &function in &linked {
                    budget.spend(self.object[function].name.len(), "subprograms")?;
                    let len = self.object[function].code.len();
                    slots = slots.checked_sub(len).ok_or(elf::Error::TooComplex { what: "subprograms" })?;
                }
                if let Some(entry) = &mut self.object.functions[index].entry {
                    entry.linked = linked;
                }
                let uses = self.object.find_uses(FuncIdx(index));
                for used in &uses {
                    budget.spend(2 * self.object[used.map].name.len(), "uses of maps")?;
                }
                for map in self.object.bound_maps(&uses) {
                    budget.spend(self.object[map].name.len(), "uses of maps")?;
                }
                for kfunc in self.object.kfuncs_of(FuncIdx(index)) {
                    budget.spend(kfunc.name.len(), "calls of kernel functions")?;
                }
                if let Some(entry) = &mut self.object.functions[index].entry {
                    entry.uses = uses;
                }
            }
        }
        Ok(())
    }

    /// What a report repeats of maps and ops variables: types and members may share one name.
    fn spend_on_contents(&self, budget: &mut Budget) -> Result<(), elf::Error> {
        for map in &self.object.maps {
            budget.spend(map.name.len(), "maps")?;
        }
        for ops in &self.object.struct_ops {
            for member in &ops.members {
                let value = if let MemberInit::Bytes(bytes) = member.value { bytes.len() } else { 0 };
                budget.spend(member.name.len() + value, "members of ops variables")?;
            }
        }
        Ok(())
    }

    /// A struct_ops program that some ops map uses loads if one of those maps is created
    /// (`bpf_object_adjust_struct_ops_autoload`); one that none uses keeps what its section name says.
    fn settle_autoload(&mut self) {
        let mut used: Vec<(FuncIdx, bool)> = Vec::new();
        for ops in &self.object.struct_ops {
            let created = self.object.maps[ops.map.0].autocreate;
            used.extend(ops.members.iter().filter_map(|member| match member.value {
                MemberInit::Program(program) => Some((program, created)),
                _ => None,
            }));
        }
        for &(program, _) in &used {
            let load = used.iter().any(|&(other, created)| other == program && created);
            if let Some(entry) = &mut self.object.functions[program.0].entry
                && entry.kind == ProgramKind::STRUCT_OPS
            {
                entry.autoload = load;
            }
        }
    }

    /// Adds calls inside one section, which need no relocation: their distance is already right.
    fn plain_calls(&mut self, index: usize) {
        let text = self.object.text;
        let function = &self.object.functions[index];
        let relocated: HashSet<InsnIdx> = function
            .calls
            .iter()
            .map(|(insn, _)| *insn)
            .chain(function.refs.iter().map(|r| r.insn))
            .collect();
        let plain: Vec<_> = function
            .code
            .slots()
            .filter(|(at, insn)| insn.is_subprog_call() && !relocated.contains(&InsnIdx(*at)))
            .map(|(at, insn)| {
                let slot = (function.start + at) as i64 + i64::from(insn.imm) + 1;
                let target = usize::try_from(slot).ok().and_then(|slot| self.object.function_at(text?, slot));
                (InsnIdx(at), target)
            })
            .collect();
        let calls = &mut self.object.functions[index].calls;
        calls.extend(plain);
        calls.sort_by_key(|(insn, _)| *insn);
    }

    /// Pre-order walk over calls and function addresses, each function once.
    fn reach(&self, program: FuncIdx, callbacks: &HashMap<&str, Vec<FuncIdx>>) -> Vec<FuncIdx> {
        let mut order = Vec::new();
        let mut seen = vec![false; self.object.functions.len()];
        seen[program.0] = true;
        let callees = |function: FuncIdx| {
            let calls = &self.object.functions[function.0].calls;
            calls.iter().filter_map(|(_, target)| *target)
        };
        let mut stack = vec![callees(program)];
        while let Some(top) = stack.last_mut() {
            match top.next() {
                Some(next) if !std::mem::replace(&mut seen[next.0], true) => {
                    order.push(next);
                    stack.push(callees(next));
                }
                Some(_) => {}
                None => {
                    stack.pop();
                }
            }
        }
        let tagged = callbacks.get(&*self.object[program].name);
        for &callback in tagged.into_iter().flatten() {
            if !std::mem::replace(&mut seen[callback.0], true) {
                order.push(callback);
            }
        }
        order
    }

    /// Tags `exception_callback:`: by the name of the tagged program the functions that its tags name.
    fn exception_callbacks(&self) -> HashMap<&'d str, Vec<FuncIdx>> {
        let mut callbacks: HashMap<&str, Vec<FuncIdx>> = HashMap::new();
        let Some(btf) = &self.object.btf else { return callbacks };
        let mut by_name: HashMap<&str, FuncIdx> = HashMap::new();
        for (index, function) in self.object.functions.iter().enumerate() {
            if function.entry.is_none() {
                by_name.entry(&function.name).or_insert(FuncIdx(index));
            }
        }
        for (target, _, text) in btf.decl_tags() {
            let named = text.strip_prefix("exception_callback:").and_then(|name| by_name.get(name));
            if let (Some(&callback), Some(tagged)) = (named, btf.get(target)) {
                callbacks.entry(btf.name(&tagged)).or_default().push(callback);
            }
        }
        callbacks
    }
}

/// Instructions that the final code of all programs may have together. Real schedulers have a few hundred thousand; a file of a
/// megabyte could name thousands of programs that each call a hundred thousand instructions.
const MOST_SLOTS: usize = 16 << 20;

/// Bytes that may yet be kept of names and references.
struct Budget(usize);

impl Budget {
    /// Takes one reference with a text of so many bytes.
    fn spend(&mut self, text: usize, what: &'static str) -> Result<(), elf::Error> {
        // A string and the pointers to it.
        let bytes = text.saturating_add(48);
        self.0 = self.0.checked_sub(bytes).ok_or(elf::Error::TooComplex { what })?;
        Ok(())
    }
}
