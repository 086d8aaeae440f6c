//! What libbpf refuses when it opens the object, for the rules that report one cause each.

use super::super::context::Context;
use crate::finding::{Outcome, Site, Subject, SubjectKind};
use crate::object::{Cause, Item, Refusal};
use crate::rule::Rule;

/// Reports every refusal of one cause.
pub(in crate::checks) fn report(
    cx: &Context<'_, '_>,
    out: &mut Outcome,
    rule: &'static Rule,
    cause: Cause,
    help: &'static str,
) {
    for refusal in cx.object.refusals.iter().filter(|refusal| refusal.cause == cause) {
        let (subject, detail) = subject(cx, refusal);
        let message = match (refusal.text.is_empty(), detail) {
            (_, Some(detail)) => format!("libbpf refuses to open the object: {detail}"),
            (false, None) => {
                format!("libbpf refuses to open the object: {}", refusal.text.trim_end_matches('.'))
            }
            (true, None) => "libbpf refuses to open the object without a word".to_owned(),
        };
        let finding =
            out.found(rule, subject, message).phase(crate::rule::Phase::Open).errno(refusal.errno).help(help);
        if !refusal.text.is_empty() {
            finding.quote(refusal.text.clone());
        }
        match refusal.item {
            Item::Insn(function, insn) => {
                finding.at(Site::Insn(function, insn), "this reference");
            }
            _ if cause == Cause::SeveralArenas => {
                for arena in cx.object.arenas() {
                    finding.at(Site::Map(arena), "an arena is declared here");
                }
            }
            _ => {}
        }
    }
}

/// What a refusal is about, and our own words for it where libbpf's say too little.
fn subject(cx: &Context<'_, '_>, refusal: &Refusal) -> (Subject, Option<String>) {
    let named = |kind, name: &str| Subject { kind, name: name.to_owned() };
    match &refusal.item {
        Item::Object => (Subject::object(cx.object), None),
        Item::Section(text) if matches!(refusal.cause, Cause::MissingBtf | Cause::MalformedBtf) => {
            (Subject::section(".BTF"), Some(text.clone()))
        }
        Item::Section(name) => (Subject::section(name), None),
        Item::Symbol(name) => (named(SubjectKind::Program, name), None),
        Item::Map(name) => (named(SubjectKind::Map, name), None),
        Item::Insn(function, _) => (Subject::program(cx.object, *function), None),
        Item::Extern(name) => (Subject::external(name), None),
        Item::Member(ops, member) if member.is_empty() => (named(SubjectKind::StructOps, ops), None),
        Item::Member(ops, member) => (named(SubjectKind::Member, &format!("{ops}.{member}")), None),
    }
}
