//! Why an input is not a BPF object.

use std::fmt;

use object::elf;

/// An input that cannot be read as a relocatable BPF ELF. Exit status 2, never a finding.
///
/// Each variant has a stable [`code`](Error::code) for machines and a message of one line: what the
/// input is, what libbpf would say of it, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// No bytes at all.
    Empty,
    /// The first bytes belong to no format that is known here.
    NotElf,
    /// Printable text: a source file, most often.
    Text,
    /// LLVM bitcode: the output of `clang -emit-llvm`.
    Bitcode,
    /// A Mach-O file.
    MachO,
    /// A Windows executable or COFF image.
    Pe,
    /// An `ar` archive.
    Archive,
    /// A compressed file.
    Compressed {
        /// Name of the compression format.
        format: &'static str,
    },
    /// `ELFCLASS32`, or an unknown class.
    WrongClass {
        /// `e_ident[EI_CLASS]`; 1 is 32-bit.
        class: u8,
    },
    /// `e_ident[EI_DATA]` is neither 1 nor 2.
    UnknownByteOrder {
        /// `e_ident[EI_DATA]`.
        value: u8,
    },
    /// An ELF for a CPU.
    HostElf {
        /// `e_machine`.
        machine: u16,
        /// `e_type`.
        file_type: u16,
    },
    /// A BPF ELF that is not `ET_REL`.
    NotRelocatable {
        /// `e_type`.
        file_type: u16,
    },
    /// Headers point outside the file.
    Truncated {
        /// Which part is missing.
        what: &'static str,
        /// Its byte offset in the file.
        at: u64,
    },
    /// `sh_name` lies outside the section name table.
    SectionName {
        /// Section index.
        section: u32,
        /// `sh_name`.
        offset: u32,
    },
    /// A section that the loader reads lies outside the file.
    SectionData {
        /// Section index.
        section: u32,
        /// Section name.
        name: String,
    },
    /// A section that the loader reads has a form that it cannot read.
    SectionForm {
        /// Section index.
        section: u32,
        /// Section name.
        name: String,
        /// What is wrong.
        problem: &'static str,
    },
    /// Stripped of its symbols.
    NoSymbolTable,
    /// More than one `SHT_SYMTAB`.
    SeveralSymbolTables,
    /// The symbol table names no string table.
    SymbolStrings {
        /// `sh_link` of the symbol table.
        link: u32,
    },
    /// A file that is made to grow when it is read: what it holds adds up to many times its size.
    /// No compiler writes one; libbpf has no such limit.
    TooComplex {
        /// What adds up.
        what: &'static str,
    },
    /// `sh_entsize` of the symbol table.
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
            Self::TooComplex { .. } => "too-complex",
        }
    }
}

impl Error {
    /// What `bpf_object__open` of libbpf 1.7 says of such a file, without the path and other names in its line;
    /// `None` where it fails without a word.
    pub fn libbpf(&self) -> Option<&'static str> {
        Some(match self {
            Self::Empty
            | Self::NotElf
            | Self::Text
            | Self::Bitcode
            | Self::MachO
            | Self::Pe
            | Self::Archive
            | Self::Compressed { .. }
            | Self::UnknownByteOrder { .. } => "is not a proper ELF object",
            Self::WrongClass { .. } => "is not a 64-bit ELF object",
            Self::HostElf { .. } | Self::NotRelocatable { .. } => "is not a valid eBPF object file",
            Self::Truncated { what: SECTION_TABLE, .. } => "failed to get section names strings",
            Self::Truncated { what: NAME_TABLE, .. } | Self::SectionName { .. } => {
                "failed to get section name string"
            }
            Self::Truncated { .. } => "is not a proper ELF object",
            Self::SectionData { .. } => "failed to get section data",
            Self::SectionForm { name, .. } if name == "version" => "invalid kver section",
            Self::SectionForm { name, .. } if name == "license" => "invalid license section",
            Self::NoSymbolTable => "couldn't find symbol table",
            Self::SeveralSymbolTables => "multiple symbol tables",
            // The first program's name; "symbol strings section missing or invalid" where there is no program.
            Self::SymbolStrings { .. } => "failed to get symbol name",
            Self::SectionForm { .. } | Self::SymbolSize { .. } | Self::TooComplex { .. } => return None,
        })
    }

    /// What the file is, and what to do about it.
    fn parts(&self) -> (String, &'static str) {
        const COMPILE: &str = "expected the output of clang -target bpf -g -O2 -c";
        const AGAIN: &str = "the file is damaged, copy or compile it again";
        match self {
            Self::Empty => ("empty file".into(), COMPILE),
            Self::NotElf => ("no ELF file".into(), COMPILE),
            Self::Text => (
                "text, no ELF file".into(),
                "BPF C source has to be compiled first: clang -target bpf -g -O2 -c",
            ),
            Self::Bitcode => (
                "LLVM bitcode, no ELF file".into(),
                "compile it on with llc -march=bpf -mcpu=v3 -filetype=obj, or drop -emit-llvm and -flto",
            ),
            Self::MachO => ("Mach-O file, built for macOS".into(), "compile the BPF source with -target bpf"),
            Self::Pe => ("PE file, built for Windows".into(), "compile the BPF source with -target bpf"),
            Self::Archive => ("ar archive".into(), "unpack it with 'ar x' and name the objects in it"),
            Self::Compressed { format } => (format!("{format} file"), "decompress it first"),
            Self::WrongClass { class: 1 } => {
                ("32-bit ELF file".into(), "BPF objects are 64-bit, compile the BPF source with -target bpf")
            }
            Self::WrongClass { class } => (format!("ELF file of unknown class {class}"), AGAIN),
            Self::UnknownByteOrder { value } => (format!("ELF file of unknown byte order {value}"), AGAIN),
            Self::HostElf { machine, file_type } => (
                format!("ELF {} for {}", type_name(*file_type), machine_name(*machine)),
                "expected a BPF object, or a program that embeds one; what was meant for BPF is compiled with -target bpf",
            ),
            Self::NotRelocatable { file_type } => (
                format!("BPF ELF {}", type_name(*file_type)),
                "expected a relocatable object, the output of clang -c or bpftool gen object",
            ),
            Self::Truncated { what, at } => (format!("ELF file without {what}, expected at {at:#x}"), AGAIN),
            Self::SectionName { section, offset } => (
                format!(
                    "BPF object whose section {section} has its name at {offset:#x}, outside the name table"
                ),
                AGAIN,
            ),
            Self::SectionData { section, name } => {
                (format!("BPF object whose section {section} '{name}' lies outside the file"), AGAIN)
            }
            Self::SectionForm { section, name, problem } => {
                (format!("BPF object whose section {section} '{name}' {problem}"), AGAIN)
            }
            Self::NoSymbolTable => (
                "BPF object without a symbol table".into(),
                "it was stripped; strip with llvm-strip -g, which keeps symbols and BTF",
            ),
            Self::SeveralSymbolTables => ("BPF object with several symbol tables".into(), AGAIN),
            Self::SymbolStrings { link } => {
                (format!("BPF object with its symbol names in section {link}, which does not exist"), AGAIN)
            }
            Self::TooComplex { what } => (
                format!("BPF object whose {what} add up to many times its size"),
                "no compiler writes such a file, compile it again",
            ),
            Self::SymbolSize { size } => {
                (format!("BPF object with symbol table entries of {size} bytes, expected 24"), AGAIN)
            }
        }
    }
}

/// Parts that can be missing, for which libbpf has words of its own.
pub(super) const SECTION_TABLE: &str = "the section header table";
pub(super) const NAME_TABLE: &str = "the section name table";

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, advice) = self.parts();
        match self.libbpf() {
            _ if matches!(self, Self::TooComplex { .. }) => write!(f, "{what}; {advice}"),
            Some(words) => write!(f, "{what} (libbpf: {words}); {advice}"),
            None => write!(f, "{what} (libbpf refuses it without a word); {advice}"),
        }
    }
}

impl std::error::Error for Error {}

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
