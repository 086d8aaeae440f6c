//! What the document says of an input: its ops variables, programs and maps.

use serde::Serialize;

use super::number::number;
use crate::elf::ByteOrder;
use crate::finding::{Subject, SubjectKind};
use crate::load::Loader;
use crate::object::{Form, MapType, ProgramKind};

/// One input.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct ObjectDoc {
    /// Path as given.
    pub path: String,
    /// Where in an executable it was found.
    pub embedded: Option<Embedded>,
    /// libbpf's name for it.
    pub name: String,
    /// Its license string.
    pub license: String,
    /// `little` or `big`; null for an input that cannot be read.
    pub byte_order: Option<ByteOrder>,
    /// What user space is taken to edit.
    pub loader: Loader,
    /// What user space is said to set, as `NAME=VALUE`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
    /// Why it cannot be read.
    pub error: Option<InputError>,
    /// On which kernels it works, and what stops it on the others, in one sentence; empty until the report is complete.
    pub sentence: String,
    /// Ops variables.
    pub struct_ops: Vec<StructOpsDoc>,
    /// Entry programs.
    pub programs: Vec<ProgramDoc>,
    /// Maps in libbpf's order.
    pub maps: Vec<MapDoc>,
}

/// Where an executable or shared library holds an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Embedded {
    /// Its skeleton's name; empty where the executable is stripped and does not tell.
    pub name: String,
    /// Byte offset in the file.
    pub offset: u64,
    /// Another object of the executable has that name too: crates that are linked together may each have a `bpf_skel`.
    #[serde(skip)]
    pub is_one_of_several: bool,
}

impl ObjectDoc {
    /// How many programs load with it.
    pub fn loaded(&self) -> usize {
        self.programs.iter().filter(|program| program.autoload).count()
    }

    /// The path, and which of an executable's objects it is: `scx_sched(bpf_bpf)`, with its offset where that is not enough.
    pub fn title(&self) -> String {
        self.embedded.as_ref().map_or_else(|| self.path.clone(), |embedded| embedded.title(&self.path))
    }
}

impl Embedded {
    /// The path of the executable, and which of its objects this is.
    pub fn title(&self, path: &str) -> String {
        match &*self.name {
            "" => format!("{path}(+{:#x})", self.offset),
            name if self.is_one_of_several => format!("{path}({name}+{:#x})", self.offset),
            name => format!("{path}({name})"),
        }
    }
}

/// An input that cannot be read as a BPF object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct InputError {
    /// Stable code.
    pub code: String,
    /// One line.
    pub message: String,
}

/// An ops variable.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
#[allow(missing_docs)]
pub struct StructOpsDoc {
    pub map: String,
    #[serde(rename = "type")]
    pub type_name: String,
    pub form: Form,
    pub link: bool,
    pub autocreate: bool,
    pub members: Vec<MemberDoc>,
    pub arenas: Vec<String>,
}

/// A member of an ops variable: a callback or a value that is set.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
#[allow(missing_docs)]
pub struct MemberDoc {
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<MemberValue>,
}

/// The value of a member.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
#[allow(missing_docs)]
pub enum MemberValue {
    Number(#[serde(serialize_with = "number")] u64),
    Text(String),
}

/// An entry program.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
#[allow(missing_docs)]
pub struct ProgramDoc {
    pub name: String,
    pub section: String,
    pub kind: ProgramKind,
    pub sleepable: bool,
    pub autoload: bool,
    pub insns: usize,
    pub insns_linked: usize,
    pub subprograms: Vec<String>,
    pub maps: Vec<String>,
    pub bound_maps: Vec<String>,
    pub kfuncs: Vec<KfuncDoc>,
}

/// A kfunc that a program refers to.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
#[allow(missing_docs)]
pub struct KfuncDoc {
    pub name: String,
    pub weak: bool,
}

/// A map.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
#[allow(missing_docs)]
pub struct MapDoc {
    pub name: String,
    pub kernel_name: String,
    #[serde(rename = "type")]
    pub map_type: MapType,
    pub flags: u32,
    pub flag_names: Vec<&'static str>,
    pub key_size: u32,
    pub value_size: u32,
    pub max_entries: u32,
    #[serde(serialize_with = "number")]
    pub map_extra: u64,
    pub used_by: Vec<String>,
}

impl StructOpsDoc {
    /// Does a finding of attach or run about this subject say something about this ops variable: about itself, a member,
    /// or a program that is its callback. A subject of any other kind concerns all.
    pub(super) fn is_meant_by(&self, subject: &Subject) -> bool {
        match subject.kind {
            SubjectKind::StructOps => subject.name == self.map,
            SubjectKind::Member => {
                subject.name.strip_prefix(self.map.as_str()).is_some_and(|rest| rest.starts_with('.'))
            }
            SubjectKind::Program => {
                self.members.iter().any(|member| member.program.as_deref() == Some(&subject.name))
            }
            _ => true,
        }
    }
}
