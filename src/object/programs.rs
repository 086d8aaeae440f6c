//! Function symbols to programs (libbpf `bpf_object__add_programs`), and which subprograms each entry
//! program gets appended (`bpf_object__reloc_code`).

use super::open::{Opening, Role};
use super::{Cause, Entry, FuncIdx, Function, InsnIdx, Item, ProgramKind, Value, sec};
use crate::elf::{Binding, SectionIdx, SymbolKind};
use crate::errno::Errno;
use crate::insn::{Code, INSN_SIZE};

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
        let (kind, sleepable) = sec::classify(&section_name);
        let autoload = !section.name.starts_with('?');
        Ok(Function {
            name,
            section: section.index,
            section_name,
            start: offset as usize / INSN_SIZE,
            code: Code::new(&bytes[offset as usize..end as usize], self.object.elf.byte_order),
            global: symbol.binding != Binding::Local,
            hidden: symbol.hidden,
            entry: (!is_text).then(|| Entry { kind, sleepable, autoload, linked: Vec::new(), uses: Vec::new() }),
            refs: Vec::new(),
            calls: Vec::new(),
        })
    }

    /// Appends subprograms to every entry program and settles which struct_ops programs load.
    pub(super) fn link(&mut self) {
        self.settle_autoload();
        for index in 0..self.object.functions.len() {
            self.object.functions[index].refs.sort_by_key(|r| r.insn);
            self.plain_calls(index);
        }
        for index in 0..self.object.functions.len() {
            if self.object.functions[index].entry.is_some() {
                let linked = self.reach(FuncIdx(index));
                if let Some(entry) = &mut self.object.functions[index].entry {
                    entry.linked = linked;
                }
                let uses = self.object.find_uses(FuncIdx(index));
                if let Some(entry) = &mut self.object.functions[index].entry {
                    entry.uses = uses;
                }
            }
        }
    }

    /// A struct_ops program that some ops map uses loads if one of those maps is created
    /// (`bpf_object_adjust_struct_ops_autoload`); one that none uses keeps what its section name says.
    fn settle_autoload(&mut self) {
        let mut used: Vec<(FuncIdx, bool)> = Vec::new();
        for ops in &self.object.struct_ops {
            let created = self.object.maps[ops.map.0].autocreate;
            used.extend(ops.members.iter().filter_map(|member| match member.value {
                Value::Program(program) => Some((program, created)),
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
        let Some(text) = self.object.text else { return };
        let function = &self.object.functions[index];
        let relocated: Vec<InsnIdx> = function
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
                let target = usize::try_from(slot).ok().and_then(|slot| self.object.function_at(text, slot));
                (InsnIdx(at), target)
            })
            .collect();
        let calls = &mut self.object.functions[index].calls;
        calls.extend(plain);
        calls.sort_by_key(|(insn, _)| *insn);
    }

    /// Pre-order walk over calls and function addresses, each function once.
    fn reach(&self, program: FuncIdx) -> Vec<FuncIdx> {
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
        for callback in self.exception_callbacks(program) {
            if !std::mem::replace(&mut seen[callback.0], true) {
                order.push(callback);
            }
        }
        order
    }

    /// Functions named by an `exception_callback:` tag on the program.
    fn exception_callbacks(&self, program: FuncIdx) -> Vec<FuncIdx> {
        let Some(btf) = &self.object.btf else { return Vec::new() };
        let name = &self.object.functions[program.0].name;
        btf.decl_tags()
            .filter_map(|(target, _, text)| Some((target, text.strip_prefix("exception_callback:")?)))
            .filter(|(target, _)| btf.get(*target).is_some_and(|ty| btf.name(&ty) == name))
            .filter_map(|(_, callback)| {
                let found =
                    self.object.functions.iter().position(|f| f.entry.is_none() && f.name == callback);
                found.map(FuncIdx)
            })
            .collect()
    }
}
