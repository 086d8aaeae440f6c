//! ELF relocations to what instructions refer to (libbpf `bpf_object__collect_relos`).

use super::{Opening, Role};
use crate::elf::{Relocation, Section, Symbol, SymbolKind};
use crate::errno::Errno;
use crate::insn::Insn;
use crate::object::function::{Ref, Referent};
use crate::object::indexes::{ExternIdx, FuncIdx, InsnIdx, MapIdx};
use crate::object::map::{Map, MapOrigin};
use crate::object::map_type::MapType;
use crate::object::refusal::{Cause, Item};

/// What one relocation comes to.
enum Decision {
    Refer(Referent),
    Call(Option<FuncIdx>),
}

impl<'d> Opening<'d> {
    /// Applies every relocation section in index order.
    pub(super) fn relocations(&mut self) {
        let Some(btf) = self.object.btf.take() else {
            self.program_relocations();
            return;
        };
        for index in 0..self.roles.len() {
            if self.roles[index] != Role::Relocations {
                continue;
            }
            let section = self.object.elf.sections[index].clone();
            match self.role(section.info) {
                Role::StructOps => self.struct_ops_relocations(&btf, &section),
                Role::Maps => self.map_relocations(&btf, &section),
                _ => self.code_relocations(&section),
            }
        }
        self.object.btf = Some(btf);
    }

    /// Without types there are only programs.
    fn program_relocations(&mut self) {
        for index in 0..self.roles.len() {
            if self.roles[index] == Role::Relocations {
                let section = self.object.elf.sections[index].clone();
                self.code_relocations(&section);
            }
        }
    }

    fn code_relocations(&mut self, section: &Section<'d>) {
        let relocations: Vec<_> = self.object.elf.relocations(section).collect();
        for (number, relocation) in relocations.into_iter().enumerate() {
            if let Err((errno, item, text)) = self.code_relocation(section, number, relocation) {
                let symbol = self.object.elf.symbols.get(relocation.symbol as usize);
                let cause = match symbol.map(|symbol| self.role(symbol.section)) {
                    Some(Role::ArenaGlobals) => Cause::ArenaGlobalsWithoutArena,
                    _ => Cause::Relocation,
                };
                self.refuse(cause, errno, item, text);
            }
        }
    }

    /// One relocation of a code section (`bpf_object__collect_prog_relos`).
    fn code_relocation(
        &mut self,
        section: &Section<'d>,
        number: usize,
        relocation: Relocation,
    ) -> Result<(), (Errno, Item, String)> {
        let object = &self.object;
        let fail = |text: String| {
            let item = Item::Section(section.name.to_string());
            Err((Errno::LIBBPF_ERRNO__FORMAT, item, format!("sec '{}': {text}", section.name)))
        };
        let Some(symbol) = object.elf.symbols.get(relocation.symbol as usize) else {
            return fail(format!("symbol #{} not found for relo #{number}", relocation.symbol));
        };
        if symbol.section as usize >= object.elf.sections.len() {
            return fail(format!(
                "corrupted symbol #{} pointing to invalid section #{} for relo #{number}",
                relocation.symbol, symbol.section
            ));
        }
        let target = &object.elf.sections[section.info as usize];
        if !relocation.offset.is_multiple_of(8) || relocation.offset >= target.size {
            return fail(format!("invalid offset 0x{:x} for relo #{number}", relocation.offset));
        }
        let slot = usize::try_from(relocation.offset / 8).unwrap_or(usize::MAX);
        // Code without a symbol, as of a weak function that lost: its relocations are skipped.
        let Some(function) = object.function_at(target.index, slot) else { return Ok(()) };
        let at = InsnIdx(slot - object[function].start);
        let Some(insn) = object[function].code.get(at.0) else { return Ok(()) };
        let value = symbol.value;
        match self.decide(at, insn, symbol, relocation.symbol as usize) {
            Ok(Decision::Refer(target)) => {
                let is_data = !matches!(self.role(symbol.section), Role::Maps);
                self.object.functions[function.0].refs.push(Ref { insn: at, target, value, is_data });
            }
            Ok(Decision::Call(target)) => self.object.functions[function.0].calls.push((at, target)),
            Err(text) => {
                let text = format!("prog '{}': {text}", self.object[function].name);
                return Err((Errno::LIBBPF_ERRNO__RELOC, Item::Insn(function, at), text));
            }
        }
        Ok(())
    }

    /// First match decides, by opcode and symbol and never by relocation type (`bpf_program__record_reloc`).
    fn decide(
        &self,
        at: InsnIdx,
        insn: Insn,
        symbol: &Symbol<'d>,
        symbol_index: usize,
    ) -> Result<Decision, String> {
        let object = &self.object;
        let section_name = object.elf.section_at(symbol.section).map_or("", |s| &*s.name);
        let name = match symbol.kind {
            SymbolKind::Section if symbol.unnamed => section_name,
            _ => symbol.name_or_unknown(),
        };
        if !insn.is_call() && !insn.is_ld_imm64() {
            return Err(format!(
                "invalid relo against '{name}' for insns[{}].code 0x{:x}",
                at.0,
                insn.opcode()
            ));
        }
        if symbol.is_extern() {
            let index = object.externs.iter().position(|e| e.symbol == symbol_index);
            return match index {
                Some(index) => Ok(Decision::Refer(Referent::Extern(ExternIdx(index)))),
                // Refused already, when externs were collected.
                None if !object.refusals.is_empty() => Ok(Decision::Call(None)),
                None => Err(format!("extern relo failed to find extern for '{name}' ({symbol_index})")),
            };
        }
        let text = object.text.map(|section| section.0);
        let in_text = symbol.section != 0 && Some(symbol.section) == text;
        if insn.is_call() {
            if insn.src != crate::insn::PSEUDO_CALL {
                return Err("incorrect bpf_call opcode".into());
            }
            if !in_text {
                return Err(format!("bad call relo against '{name}' in section '{section_name}'"));
            }
            if !symbol.value.is_multiple_of(8) {
                return Err(format!("bad call relo against '{name}' at offset {}", symbol.value));
            }
            let slot = (symbol.value / 8) as i64 + i64::from(insn.imm) + 1;
            return Ok(Decision::Call(self.text_function(slot)));
        }
        if symbol.section == 0 {
            return Err(format!(
                "invalid relo against '{name}' in special section 0x0; forgot to initialize global var?.."
            ));
        }
        let is_function = symbol.kind == SymbolKind::Section && !symbol.binding.is_external()
            || symbol.kind == SymbolKind::Func && symbol.binding.is_external();
        if in_text && is_function {
            if !symbol.value.is_multiple_of(8) || insn.imm % 8 != 0 {
                return Err(format!(
                    "bad subprog addr relo against '{name}' at offset {}+{}",
                    symbol.value, insn.imm
                ));
            }
            let slot = ((symbol.value as i64).wrapping_add(i64::from(insn.imm))) / 8;
            return Ok(Decision::Call(self.text_function(slot)));
        }
        self.decide_data(at, symbol, name, section_name)
    }

    /// The rest of the table: loads of maps and of variables.
    fn decide_data(
        &self,
        at: InsnIdx,
        symbol: &Symbol<'d>,
        name: &str,
        section_name: &str,
    ) -> Result<Decision, String> {
        let object = &self.object;
        let find = |keep: &dyn Fn(&Map<'d>) -> bool| object.maps.iter().position(keep).map(MapIdx);
        let refer = |map| Ok(Decision::Refer(Referent::Map(map)));
        match self.role(symbol.section) {
            Role::ArenaGlobals if self.arena_globals.map(|s| s.0) == Some(symbol.section) => {
                let arena = find(&|map| map.map_type == MapType::ARENA && map.origin == MapOrigin::Declared);
                let none = format!("bad arena data relocation at insn {}, no arena maps defined", at.0);
                arena.map_or(Err(none), refer)
            }
            // libbpf keeps 32 bits of either.
            Role::JumpTables => Ok(Decision::Refer(Referent::JumpTable {
                offset: symbol.value as u32,
                size: symbol.size as u32,
            })),
            Role::Maps if self.maps.map(|s| s.0) == Some(symbol.section) => {
                let map = find(&|map| map.section.0 == symbol.section && map.offset == symbol.value);
                let none =
                    format!("map relo failed to find map for section '{section_name}', off {}", symbol.value);
                map.map_or(Err(none), refer)
            }
            Role::Data | Role::Rodata | Role::Bss | Role::Percpu => {
                let map = find(&|map| map.section.0 == symbol.section && map.origin != MapOrigin::Kconfig);
                map.map_or(Err(format!("data relo failed to find map for section '{section_name}'")), refer)
            }
            _ => Err(format!("bad map relo against '{name}' in section '{section_name}'")),
        }
    }

    fn text_function(&self, slot: i64) -> Option<FuncIdx> {
        self.object.function_at(self.object.text?, usize::try_from(slot).ok()?)
    }
}
