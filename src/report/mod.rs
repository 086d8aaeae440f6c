//! Reports: one owned document, printed in several formats.
//!
//! [`Document`] is JSON version 1; the formats for people print the same document. What the document says is kept as types
//! ([`Rule`](crate::rule::Rule), [`Phase`](crate::rule::Phase) and so on); the formats make words of them.

mod answer;
mod build;
mod concise;
mod describe;
mod document;
mod dossier;
mod fate;
mod findings;
#[cfg(feature = "cli")]
mod fingerprint;
#[cfg(feature = "cli")]
mod full;
#[cfg(feature = "cli")]
mod github;
#[cfg(feature = "cli")]
mod gitlab;
#[cfg(feature = "cli")]
mod graph;
#[cfg(feature = "cli")]
mod guard;
#[cfg(feature = "cli")]
mod html;
mod inspect;
mod json;
#[cfg(feature = "cli")]
mod junit;
mod location;
#[cfg(feature = "cli")]
mod markdown;
mod matrix;
mod number;
mod objects;
mod passed;
#[cfg(feature = "cli")]
mod place;
mod printable;
mod programs_on;
mod runs;
#[cfg(feature = "cli")]
mod sarif;
mod serialize;
#[cfg(feature = "cli")]
mod sources;
#[cfg(feature = "cli")]
mod variables;
mod verdict;
mod words;

pub use concise::concise;
pub use document::{Assumptions, Document, KernelDoc, Summary};
pub use fate::Fate;
pub use findings::{AllowedBy, FindingDoc, SuppressedDoc, UndecidedDoc, UnmatchedDoc};
pub use inspect::inspect;
pub use json::{SCHEMA, json};
pub use location::LocationDoc;
pub use matrix::{Cell, Matrix, MatrixRow};
pub use objects::{
    Embedded, InputError, KfuncDoc, MapDoc, MemberDoc, MemberValue, ObjectDoc, ProgramDoc, StructOpsDoc,
};
pub use passed::{PassedDoc, PassedOver};
#[cfg(feature = "cli")]
pub(crate) use printable::escape;
pub use programs_on::ProgramOn;
pub use runs::{LIVE_FAILURE, LIVE_GROWTH, LIVE_RULES, LiveOutcome, LiveRun, live_rule};
pub use verdict::{Answer, Verdict};

/// What needs the feature `cli`: the report for people, and the formats of services and editors, which give places inside a
/// repository.
#[cfg(feature = "cli")]
mod with_cli {
    pub use super::fingerprint::{fingerprints, recorded_fingerprints};
    pub use super::full::{About, Style, full, render};
    pub use super::github::github;
    pub use super::gitlab::gitlab;
    pub use super::graph::{dot, mermaid};
    pub use super::guard::{Guard, Spelling, without_commands};
    pub use super::html::html;
    pub use super::junit::junit;
    pub use super::markdown::markdown;
    pub use super::place::{Place, Repository};
    pub use super::sarif::sarif;
    pub use super::sources::Sources;
}
#[cfg(feature = "cli")]
pub use with_cli::{
    About, Guard, Place, Repository, Sources, Spelling, Style, dot, fingerprints, full, github, gitlab, html,
    junit, markdown, mermaid, recorded_fingerprints, render, sarif, without_commands,
};
