//! Why an input is not a BPF object.

use object::elf;

/// An input that cannot be read as a relocatable BPF ELF. Exit status 2, never a finding.
///
/// Each variant has a stable [`code`](Error::code) for machines and a message that says what the
/// input is and, where that helps, what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No bytes at all.
    #[error("file is empty, expected a compiled BPF object (clang -target bpf -g -O2 -c)")]
    Empty,
    /// The first bytes belong to no format that is known here.
    #[error("not an ELF file, expected a compiled BPF object (clang -target bpf -g -O2 -c)")]
    NotElf,
    /// Printable text: a source file, most often.
    #[error(
        "not an ELF file but text; if it is a BPF C source, compile it first: clang -target bpf -g -O2 -c"
    )]
    Text,
    /// LLVM bitcode: the output of `clang -emit-llvm`.
    #[error(
        "LLVM bitcode, not an ELF file; compile it to BPF: llc -march=bpf -filetype=obj, or drop -emit-llvm / -flto"
    )]
    Bitcode,
    /// A Mach-O file.
    #[error("Mach-O file, not ELF; the object was built for the macOS host, add -target bpf")]
    MachO,
    /// A Windows executable or COFF image.
    #[error("PE executable, not ELF; the object was built for Windows, add -target bpf")]
    Pe,
    /// An `ar` archive.
    #[error("ar archive, not an object file; unpack it with 'ar x' and name the members")]
    Archive,
    /// A compressed file.
    #[error("{format} compressed file, expected a BPF object; decompress it first")]
    Compressed {
        /// Name of the compression format.
        format: &'static str,
    },
    /// `ELFCLASS32`, or an unknown class.
    #[error("ELF class {class}, expected 64-bit; BPF objects are always 64-bit (-target bpf)")]
    WrongClass {
        /// `e_ident[EI_CLASS]`; 1 is 32-bit.
        class: u8,
    },
    /// `e_ident[EI_DATA]` is neither 1 nor 2.
    #[error("ELF byte order {value}, expected 1 (little endian) or 2 (big endian)")]
    UnknownByteOrder {
        /// `e_ident[EI_DATA]`.
        value: u8,
    },
    /// An ELF for a CPU.
    #[error("ELF {} for {}, expected a BPF object, or a program that embeds one; what was meant for BPF is compiled with -target bpf", type_name(*.file_type), machine_name(*.machine))]
    HostElf {
        /// `e_machine`.
        machine: u16,
        /// `e_type`.
        file_type: u16,
    },
    /// A BPF ELF that is not `ET_REL`.
    #[error("BPF ELF {}, expected a relocatable object (ET_REL); pass the output of clang -c, not of a linker", type_name(*.file_type))]
    NotRelocatable {
        /// `e_type`.
        file_type: u16,
    },
    /// Headers point outside the file.
    #[error("{what} at {at:#x} lies outside the file, the object is truncated or corrupted")]
    Truncated {
        /// Which part is missing.
        what: &'static str,
        /// Its byte offset in the file.
        at: u64,
    },
    /// `sh_name` lies outside the section name table.
    #[error("section {section}: name offset {offset:#x} lies outside the section name table")]
    SectionName {
        /// Section index.
        section: u32,
        /// `sh_name`.
        offset: u32,
    },
    /// A section that the loader reads lies outside the file.
    #[error(
        "section {section} '{name}': its bytes lie outside the file, the object is truncated or corrupted"
    )]
    SectionData {
        /// Section index.
        section: u32,
        /// Section name.
        name: String,
    },
    /// A section that the loader reads has a form that it cannot read.
    #[error("section {section} '{name}': {problem}")]
    SectionForm {
        /// Section index.
        section: u32,
        /// Section name.
        name: String,
        /// What is wrong.
        problem: &'static str,
    },
    /// Stripped of its symbols.
    #[error("no symbol table, the object was stripped; use llvm-strip -g, which keeps symbols and BTF")]
    NoSymbolTable,
    /// More than one `SHT_SYMTAB`.
    #[error("several symbol tables, expected one")]
    SeveralSymbolTables,
    /// The symbol table names no string table.
    #[error("symbol table links to section {link} for its strings, which does not exist")]
    SymbolStrings {
        /// `sh_link` of the symbol table.
        link: u32,
    },
    /// `sh_entsize` of the symbol table.
    #[error("symbol table entries of {size} bytes, expected 24")]
    SymbolSize {
        /// `sh_entsize`.
        size: u64,
    },
}

impl Error {
    /// The stable name of the error in JSON (`objects[].error.code`).
    pub fn code(&self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::NotElf => "not-elf",
            Self::Text => "text",
            Self::Bitcode => "llvm-bitcode",
            Self::MachO => "mach-o",
            Self::Pe => "pe",
            Self::Archive => "archive",
            Self::Compressed { .. } => "compressed",
            Self::WrongClass { .. } => "wrong-class",
            Self::UnknownByteOrder { .. } => "unknown-byte-order",
            Self::HostElf { .. } => "host-elf",
            Self::NotRelocatable { .. } => "not-relocatable",
            Self::Truncated { .. } | Self::SectionData { .. } => "truncated",
            Self::SectionName { .. }
            | Self::SectionForm { .. }
            | Self::SeveralSymbolTables
            | Self::SymbolStrings { .. }
            | Self::SymbolSize { .. } => "malformed-elf",
            Self::NoSymbolTable => "no-symbol-table",
        }
    }
}

fn type_name(file_type: u16) -> String {
    match elf::FileType(file_type) {
        elf::ET_REL => "relocatable object".into(),
        elf::ET_EXEC => "executable".into(),
        elf::ET_DYN => "shared object or PIE executable".into(),
        elf::ET_CORE => "core dump".into(),
        elf::FileType(other) => format!("file of type {other}"),
    }
}

fn machine_name(machine: u16) -> String {
    match elf::Machine(machine) {
        elf::EM_X86_64 => "x86-64".into(),
        elf::EM_AARCH64 => "arm64".into(),
        elf::EM_386 => "x86".into(),
        elf::EM_ARM => "arm".into(),
        elf::EM_S390 => "s390".into(),
        elf::EM_PPC64 => "powerpc64".into(),
        elf::EM_RISCV => "RISC-V".into(),
        elf::EM_LOONGARCH => "LoongArch".into(),
        elf::Machine(other) => format!("machine {other}"),
    }
}
