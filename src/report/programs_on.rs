//! What the document says of single programs on a kernel.

use serde::Serialize;

use super::location::{LocationDoc, locate};
use super::verdict::Answer;
use crate::errno::Errno;
use crate::finding::{Fate, Location, ProgramFate, Site};
use crate::object::{FuncIdx, InsnIdx, Object};

/// What becomes of a program on a kernel, loaded alone with the maps of its object.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
#[allow(missing_docs)]
pub struct ProgramOn {
    pub object: usize,
    pub kernel: usize,
    pub program: String,
    /// It loads with the object on that kernel.
    pub autoload: bool,
    pub load: Answer,
    pub errno: Option<Errno>,
    /// The first words of libbpf or of the verifier that say why it does not load.
    pub message: Option<String>,
    /// The function of the instruction that the verifier refuses, or that is in question.
    pub function: Option<String>,
    /// That instruction, counted from the function's start.
    pub insn: Option<usize>,
    /// Instructions that the verifier processes.
    pub insns: Option<u32>,
    /// Why nobody can tell.
    pub reason: Option<String>,
    pub location: Option<LocationDoc>,
}

impl ProgramOn {
    /// What becomes of a program.
    pub(super) fn of(number: usize, kernel: usize, object: &Object<'_>, of: &ProgramFate) -> Self {
        let row = Self {
            object: number,
            kernel,
            program: object[of.program].name.to_string(),
            autoload: of.autoload,
            load: Answer::Unknown,
            errno: None,
            message: None,
            function: None,
            insn: None,
            insns: None,
            reason: None,
            location: None,
        };
        match &of.fate {
            Fate::Accepted { insns } => Self { load: Answer::Pass, insns: Some(*insns), ..row },
            Fate::Refused { errno, message, at, insns, location } => Self {
                load: Answer::Fail,
                errno: *errno,
                message: message.clone(),
                insns: *insns,
                ..row.at(object, of.program, *at, location.as_ref(), "refused here")
            },
            Fate::Unknown { reason, at, location } => Self {
                reason: Some(reason.clone()),
                ..row.at(object, of.program, *at, location.as_ref(), "not known here")
            },
        }
    }

    /// The same at an instruction, and with a place to look at: what is said of it, or else that instruction.
    fn at(
        self,
        object: &Object<'_>,
        program: FuncIdx,
        at: Option<(FuncIdx, InsnIdx)>,
        location: Option<&Location>,
        label: &str,
    ) -> Self {
        let insn = |(function, insn)| Location::via(Site::Insn(function, insn), program, label);
        let location = location.cloned().or_else(|| at.map(insn));
        Self {
            function: at.map(|(function, _)| object[function].name.to_string()),
            insn: at.map(|(_, insn)| insn.0),
            location: location.and_then(|location| locate(object, &location).into_iter().next()),
            ..self
        }
    }
}
