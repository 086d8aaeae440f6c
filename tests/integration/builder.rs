//! Objects built wholly in memory: no compiler and no libbpf had a hand in them.
//!
//! As much of BTF and of a scheduler as the arena rule needs: arenas and arrays in `.maps`, one ops variable, member
//! programs, and subprograms in `.text`, each with the maps it refers to and the functions it calls.

use object::write::{Object, Relocation, SectionId, Symbol, SymbolId, SymbolSection};
use object::{
    Architecture, BinaryFormat, Endianness, RelocationFlags, SectionKind, SymbolFlags, SymbolKind,
    SymbolScope,
};

/// `BPF_MAP_TYPE_ARRAY` and `BPF_MAP_TYPE_ARENA`.
pub(crate) const ARRAY: u32 = 2;
pub(crate) const ARENA: u32 = 33;
/// `BPF_F_MMAPABLE`, and the flag of the strict arena rule.
pub(crate) const MMAPABLE: u32 = 1 << 10;
pub(crate) const MAP_ALWAYS: u32 = 1 << 20;

/// A map.
#[derive(Debug, Clone)]
pub(crate) struct MapSpec {
    pub(crate) map_type: u32,
    pub(crate) flags: u32,
}

/// A function: maps by index into [`Spec::maps`], callees by index into [`Spec::subprograms`].
#[derive(Debug, Clone, Default)]
pub(crate) struct FunctionSpec {
    pub(crate) maps: Vec<usize>,
    pub(crate) calls: Vec<usize>,
}

/// A scheduler.
#[derive(Debug, Clone)]
pub(crate) struct Spec {
    /// Name of the ops type.
    pub(crate) ops_type: &'static str,
    pub(crate) maps: Vec<MapSpec>,
    /// Member programs; the members are called `op0`, `op1` and so on.
    pub(crate) programs: Vec<FunctionSpec>,
    /// A program that is no member, in a `syscall` section.
    pub(crate) outsider: Option<FunctionSpec>,
    pub(crate) subprograms: Vec<FunctionSpec>,
}

/// The type section and the strings of a `.BTF`, under construction.
pub(crate) struct Btf {
    types: Vec<u8>,
    strings: Vec<u8>,
    count: u32,
}

pub(crate) const KIND_INT: u32 = 1;
const KIND_PTR: u32 = 2;
const KIND_ARRAY: u32 = 3;
pub(crate) const KIND_STRUCT: u32 = 4;
const KIND_FUNC_PROTO: u32 = 13;
const KIND_VAR: u32 = 14;
const KIND_DATASEC: u32 = 15;

impl Btf {
    pub(crate) fn new() -> Self {
        Self { types: Vec::new(), strings: vec![0], count: 0 }
    }

    pub(crate) fn string(&mut self, text: &str) -> u32 {
        let at = self.strings.len() as u32;
        self.strings.extend_from_slice(text.as_bytes());
        self.strings.push(0);
        at
    }

    /// One record: `struct btf_type` and what follows it. Gives its id.
    pub(crate) fn add(&mut self, name: &str, kind: u32, vlen: usize, size_or_type: u32, rest: &[u32]) -> u32 {
        let name = if name.is_empty() { 0 } else { self.string(name) };
        for word in [name, kind << 24 | vlen as u32, size_or_type].iter().chain(rest) {
            self.types.extend_from_slice(&word.to_le_bytes());
        }
        self.count += 1;
        self.count
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        let mut out = vec![0x9f, 0xeb, 1, 0];
        let (types, strings) = (self.types.len() as u32, self.strings.len() as u32);
        for word in [24, 0, types, types, strings] {
            out.extend_from_slice(&word.to_le_bytes());
        }
        out.extend_from_slice(&self.types);
        out.extend_from_slice(&self.strings);
        out
    }
}

/// `int (*field)[number]`, as libbpf reads a number in a map definition.
fn number(btf: &mut Btf, int: u32, number: u32) -> u32 {
    let array = btf.add("", KIND_ARRAY, 0, 0, &[int, int, number]);
    btf.add("", KIND_PTR, 0, array, &[])
}

/// The variables of one data section: name, type, size.
pub(crate) fn data_sec(btf: &mut Btf, section: &str, vars: &[(String, u32, u32)]) {
    let mut rows = Vec::new();
    let mut offset = 0;
    for (name, ty, size) in vars {
        // 1 is global linkage.
        let var = btf.add(name, KIND_VAR, 0, *ty, &[1]);
        rows.extend([var, offset, *size]);
        offset += size;
    }
    btf.add(section, KIND_DATASEC, vars.len(), offset, &rows);
}

fn map_type(btf: &mut Btf, int: u32, map: &MapSpec) -> (u32, u32) {
    let mut fields = vec![("type", map.map_type), ("map_flags", map.flags), ("max_entries", 16)];
    if map.map_type == ARRAY {
        fields.extend([("key_size", 4), ("value_size", 8)]);
    }
    let mut members = Vec::new();
    for (index, (name, value)) in fields.iter().enumerate() {
        let ty = number(btf, int, *value);
        members.extend([btf.string(name), ty, 64 * index as u32]);
    }
    let size = 8 * fields.len() as u32;
    (btf.add("", KIND_STRUCT, fields.len(), size, &members), size)
}

/// One instruction.
pub(crate) fn insn(code: u8, registers: u8, imm: i32) -> [u8; 8] {
    let [a, b, c, d] = imm.to_le_bytes();
    [code, registers, 0, 0, a, b, c, d]
}

impl FunctionSpec {
    /// `r1 = map ll` for each map, a call of each callee, and an exit.
    fn code(&self) -> Vec<u8> {
        let mut code = Vec::new();
        for _ in &self.maps {
            code.extend(insn(0x18, 0x01, 0));
            code.extend(insn(0, 0, 0));
        }
        for _ in &self.calls {
            code.extend(insn(0x85, 0x10, -1));
        }
        code.extend(insn(0xb7, 0x00, 0));
        code.extend(insn(0x95, 0x00, 0));
        code
    }
}

struct Writer<'s> {
    object: Object<'s>,
    maps: Vec<SymbolId>,
    subprograms: Vec<SymbolId>,
}

impl Writer<'_> {
    fn symbol(
        &mut self,
        name: String,
        kind: SymbolKind,
        section: SectionId,
        value: u64,
        size: u64,
    ) -> SymbolId {
        self.object.add_symbol(Symbol {
            name: name.into_bytes(),
            value,
            size,
            kind,
            scope: SymbolScope::Dynamic,
            weak: false,
            section: SymbolSection::Section(section),
            flags: SymbolFlags::None,
        })
    }

    fn relocate(&mut self, section: SectionId, offset: u64, symbol: SymbolId, r_type: u32) {
        let flags = RelocationFlags::Elf { r_type: object::elf::RelocationType(r_type) };
        self.object.add_relocation(section, Relocation { offset, symbol, addend: 0, flags }).unwrap();
    }

    /// The relocations of a function that starts at `start` of a section.
    fn function(&mut self, section: SectionId, start: u64, function: &FunctionSpec) {
        for (index, &map) in function.maps.iter().enumerate() {
            // R_BPF_64_64
            self.relocate(section, start + 16 * index as u64, self.maps[map], 1);
        }
        let calls = start + 16 * function.maps.len() as u64;
        for (index, &callee) in function.calls.iter().enumerate() {
            // R_BPF_64_32
            self.relocate(section, calls + 8 * index as u64, self.subprograms[callee], 10);
        }
    }
}

impl Spec {
    /// The bytes of the object file.
    pub(crate) fn build(&self) -> Vec<u8> {
        let object = Object::new(BinaryFormat::Elf, Architecture::Bpf, Endianness::Little);
        let mut writer = Writer { object, maps: Vec::new(), subprograms: Vec::new() };
        let mut btf = Btf::new();
        let int = btf.add("int", KIND_INT, 0, 4, &[1 << 24 | 32]);
        let add = |writer: &mut Writer<'_>, name: &str, kind| {
            writer.object.add_section(Vec::new(), name.into(), kind)
        };

        let license = add(&mut writer, "license", SectionKind::Data);
        writer.object.append_section_data(license, b"GPL\0", 1);

        let mut vars = Vec::new();
        for (index, map) in self.maps.iter().enumerate() {
            let (ty, size) = map_type(&mut btf, int, map);
            vars.push((format!("map{index}"), ty, size));
        }
        if !vars.is_empty() {
            let section = add(&mut writer, ".maps", SectionKind::Data);
            for (name, _, size) in &vars {
                let at = writer.object.append_section_data(section, &vec![0; *size as usize], 8);
                let symbol = writer.symbol(name.clone(), SymbolKind::Data, section, at, u64::from(*size));
                writer.maps.push(symbol);
            }
            data_sec(&mut btf, ".maps", &vars);
        }

        let text = add(&mut writer, ".text", SectionKind::Text);
        let mut starts = Vec::new();
        for (index, function) in self.subprograms.iter().enumerate() {
            let code = function.code();
            let at = writer.object.append_section_data(text, &code, 8);
            let symbol = writer.symbol(format!("sub{index}"), SymbolKind::Text, text, at, code.len() as u64);
            writer.subprograms.push(symbol);
            starts.push(at);
        }
        for (function, start) in self.subprograms.iter().zip(starts) {
            writer.function(text, start, function);
        }

        let members: Vec<(String, &FunctionSpec)> = self
            .programs
            .iter()
            .enumerate()
            .map(|(index, program)| (format!("op{index}"), program))
            .collect();
        let mut callbacks = Vec::new();
        for (name, program) in &members {
            let symbol = Self::program(&mut writer, &format!("struct_ops/{name}"), name, program);
            callbacks.push(symbol);
        }
        if let Some(outsider) = &self.outsider {
            Self::program(&mut writer, "syscall", "outsider", outsider);
        }

        let proto = btf.add("", KIND_FUNC_PROTO, 0, int, &[]);
        let callback = btf.add("", KIND_PTR, 0, proto, &[]);
        let char_type = btf.add("char", KIND_INT, 0, 1, &[1 << 24 | 8]);
        let name_type = btf.add("", KIND_ARRAY, 0, 0, &[char_type, int, 128]);
        let mut fields = Vec::new();
        for (index, (name, _)) in members.iter().enumerate() {
            fields.extend([btf.string(name), callback, 64 * index as u32]);
        }
        let name_at = 8 * members.len();
        fields.extend([btf.string("name"), name_type, 8 * name_at as u32]);
        let size = name_at + 128;
        let ops = btf.add(self.ops_type, KIND_STRUCT, members.len() + 1, size as u32, &fields);
        data_sec(&mut btf, ".struct_ops.link", &[("demo_ops".to_owned(), ops, size as u32)]);
        let section = add(&mut writer, ".struct_ops.link", SectionKind::Data);
        let mut value = vec![0; size];
        value[name_at..name_at + 4].copy_from_slice(b"demo");
        writer.object.append_section_data(section, &value, 8);
        writer.symbol("demo_ops".to_owned(), SymbolKind::Data, section, 0, size as u64);
        for (index, symbol) in callbacks.into_iter().enumerate() {
            // R_BPF_64_ABS64
            writer.relocate(section, 8 * index as u64, symbol, 2);
        }

        let section = add(&mut writer, ".BTF", SectionKind::Other);
        writer.object.append_section_data(section, &btf.finish(), 4);
        writer.object.write().unwrap()
    }

    fn program(writer: &mut Writer<'_>, section: &str, name: &str, function: &FunctionSpec) -> SymbolId {
        let id = writer.object.add_section(Vec::new(), section.into(), SectionKind::Text);
        let code = function.code();
        writer.object.append_section_data(id, &code, 8);
        let symbol = writer.symbol(name.to_owned(), SymbolKind::Text, id, 0, code.len() as u64);
        writer.function(id, 0, function);
        symbol
    }
}
