//! An ops variable and its members.

use super::indexes::{FuncIdx, MapIdx};

/// An ops variable.
#[derive(Debug)]
pub struct StructOps<'d> {
    /// Its map.
    pub map: MapIdx,
    /// Name of the ops type, a `___flavour` cut off.
    pub type_name: String,
    /// The section had `.link`: attached through a BPF link.
    pub link: bool,
    /// The section was `?.struct_ops*`.
    pub optional_section: bool,
    /// Members of the type, in its order.
    pub members: Vec<Member<'d>>,
}

/// A member of an ops variable.
#[derive(Debug, Clone)]
pub struct Member<'d> {
    /// Name.
    pub name: &'d str,
    /// Byte offset in the object's own struct.
    pub offset: u32,
    /// Its type is a pointer, to a function or to data.
    pub pointer: bool,
    /// Its value in the file.
    pub value: MemberInit<'d>,
}

/// The value of an ops member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemberInit<'d> {
    /// A callback.
    Program(FuncIdx),
    /// A pointer that is NULL.
    Null,
    /// An integer, enum or bool, zero-extended. The flag says that the type is signed.
    Scalar(u64),
    /// Anything else, as bytes.
    Bytes(&'d [u8]),
}

/// What kind of ops a struct_ops type is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `sched_ext_ops`.
    Cpu,
    /// `sched_ext_ops_cid`.
    Cid,
    /// Another subsystem's.
    Other,
}

impl Form {
    /// The word used in JSON and in texts.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Cid => "cid",
            Self::Other => "other",
        }
    }
}

impl<'d> StructOps<'d> {
    /// The form of scheduler, if it is one.
    pub fn form(&self) -> Form {
        match self.type_name.as_str() {
            "sched_ext_ops" => Form::Cpu,
            "sched_ext_ops_cid" => Form::Cid,
            _ => Form::Other,
        }
    }

    /// The member of that name.
    pub fn member(&self, name: &str) -> Option<&Member<'d>> {
        self.members.iter().find(|member| member.name == name)
    }

    /// The program of the callback of that name; `None` where it is NULL or not a member.
    pub fn callback(&self, name: &str) -> Option<FuncIdx> {
        match self.member(name)?.value {
            MemberInit::Program(program) => Some(program),
            _ => None,
        }
    }

    /// The integer member of that name; 0 where the type has none.
    pub fn scalar(&self, name: &str) -> u64 {
        match self.member(name).map(|member| member.value) {
            Some(MemberInit::Scalar(value)) => value,
            _ => 0,
        }
    }

    /// Callbacks that are set: member name and program, in member order.
    pub fn callbacks(&self) -> impl Iterator<Item = (&'d str, FuncIdx)> + '_ {
        self.members.iter().filter_map(|member| match member.value {
            MemberInit::Program(program) => Some((member.name, program)),
            _ => None,
        })
    }
}
