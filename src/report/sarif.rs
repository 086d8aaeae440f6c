//! SARIF 2.1.0 (OASIS), in the shape that GitHub code scanning asks for.
//!
//! A finding is a result, and so is a scheduler that failed on a real kernel. What cannot be told, inputs that cannot be read
//! and kernels that cannot be asked are notifications of the invocation: a code scanning service would show a result for
//! them as an alert.

use std::collections::HashSet;
use std::io::{self, Write};

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::document::{Document, KernelDoc};
use super::dossier::questions;
use super::findings::FindingDoc;
use super::fingerprint::{fingerprints, fingerprints_of};
use super::matrix::kernels_of;
use super::place::{Place, Repository, encode};
use super::runs::LiveOutcome;
use super::words::{sentence, unmatched};
use crate::rule::{Level, Rule};

const SCHEMA: &str = "https://json.schemastore.org/sarif-2.1.0.json";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Log {
    #[serde(rename = "$schema")]
    schema: &'static str,
    version: &'static str,
    runs: [Run; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Run {
    tool: Value,
    automation_details: Value,
    invocations: [Invocation; 1],
    original_uri_base_ids: Value,
    column_kind: &'static str,
    artifacts: Vec<Value>,
    results: Vec<Finding>,
    properties: Value,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Invocation {
    execution_successful: bool,
    tool_execution_notifications: Vec<Value>,
}

/// `result` of the standard.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Finding {
    rule_id: &'static str,
    rule_index: usize,
    level: &'static str,
    message: Value,
    locations: [Value; 1],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    related_locations: Vec<Value>,
    partial_fingerprints: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    baseline_state: Option<&'static str>,
    properties: Value,
}

/// Prints the document as a SARIF log.
///
/// # Errors
/// The writer's.
pub fn sarif(document: &Document, repository: &Repository, out: &mut impl Write) -> io::Result<()> {
    let mut rules: Vec<&'static Rule> = Vec::new();
    let fired = document.findings.iter().map(|finding| finding.rule);
    let seen = || document.runs.iter().flat_map(|run| &run.findings);
    let fired = fired.chain(seen().map(|finding| finding.rule));
    for rule in fired.chain(document.undecided.iter().map(|undecided| undecided.rule)) {
        if !rules.contains(&rule) {
            rules.push(rule);
        }
    }
    rules.sort_by_key(|rule| rule.name);
    let mut artifacts = Vec::new();
    let prints = fingerprints(document);
    let results = document
        .findings
        .iter()
        .zip(prints)
        .chain(seen().zip(fingerprints_of(document, seen())))
        .filter_map(|(finding, print)| {
            let index = rules.iter().position(|rule| *rule == finding.rule)?;
            Some(result(document, repository, finding, index, &print))
        })
        .collect();
    // One file may hold several objects, and be named by several paths.
    let mut files = HashSet::new();
    for place in document.objects.iter().map(|object| repository.object(&object.path)) {
        if files.insert(place.uri()) {
            artifacts.push(json!({ "location": artifact(&place) }));
        }
    }
    let root = format!("file://{}/", encode(repository.root.to_string_lossy().trim_end_matches('/')));
    let log = Log {
        schema: SCHEMA,
        version: "2.1.0",
        runs: [Run {
            tool: json!({ "driver": driver(&rules, repository) }),
            automation_details: json!({ "id": "scx-lint/" }),
            invocations: [Invocation {
                execution_successful: !document.has_input_errors()
                    && document.runs.iter().all(|run| run.outcome != LiveOutcome::Unasked),
                tool_execution_notifications: notifications(document, repository, &rules),
            }],
            original_uri_base_ids: json!({
                "%SRCROOT%": { "uri": root, "description": { "text": "The root of the repository." } }
            }),
            column_kind: "utf16CodeUnits",
            artifacts,
            results,
            properties: json!({ "kernels": document.kernels.iter().map(KernelDoc::title).collect::<Vec<_>>() }),
        }],
    };
    serde_json::to_writer_pretty(&mut *out, &log)?;
    writeln!(out)
}

fn driver(rules: &[&'static Rule], repository: &Repository) -> Value {
    let mut driver = json!({
        "name": "scx-lint",
        "fullName": "scx-lint, preflight for sched_ext BPF schedulers",
        "version": env!("CARGO_PKG_VERSION"),
        "semanticVersion": env!("CARGO_PKG_VERSION"),
        "rules": rules.iter().map(|rule| descriptor(rule, repository)).collect::<Vec<_>>(),
    });
    if let Some(page) = &repository.rule_pages {
        driver["informationUri"] = json!(page);
    }
    driver
}

/// `reportingDescriptor`: a rule.
fn descriptor(rule: &Rule, repository: &Repository) -> Value {
    let summary = format!("{}.", rule.summary());
    let page = rule.page();
    let mut tags = vec!["sched_ext".to_owned(), "bpf".to_owned(), rule.family.as_str().replace(' ', "-")];
    tags.push(rule.phase.as_str().to_owned());
    let mut descriptor = json!({
        "id": rule.name,
        "name": pascal(rule.name),
        "shortDescription": { "text": summary },
        "fullDescription": { "text": summary },
        "defaultConfiguration": { "level": rule.level.as_str() },
        "help": { "text": page, "markdown": page },
        "properties": {
            "tags": tags,
            "precision": "very-high",
            "problem.severity": match rule.level {
                Level::Error => "error",
                Level::Warning => "warning",
                Level::Note | Level::Allow => "recommendation",
            },
        },
    });
    if let Some(address) = repository.rule_page(rule) {
        descriptor["helpUri"] = json!(address);
    }
    descriptor
}

/// `missing-arena` as `MissingArena`, which is what the standard calls a readable name.
fn pascal(name: &str) -> String {
    name.split('-')
        .map(|word| {
            let mut letters = word.chars();
            letters
                .next()
                .map(|first| first.to_ascii_uppercase())
                .into_iter()
                .chain(letters)
                .collect::<String>()
        })
        .collect()
}

fn result(
    document: &Document,
    repository: &Repository,
    finding: &FindingDoc,
    rule_index: usize,
    print: &str,
) -> Finding {
    let places = repository.places_inside(&document.objects[finding.object], &finding.locations);
    let object = &document.objects[finding.object];
    let mut first = location(&places[0], None);
    first["logicalLocations"] = json!([{
        "name": finding.subject.name,
        "fullyQualifiedName": format!("{}::{}", object.name, finding.subject.name),
        "kind": finding.subject.kind.as_str(),
    }]);
    let related = places.iter().enumerate().skip(1).map(|(id, place)| location(place, Some(id)));
    Finding {
        rule_id: finding.rule.name,
        rule_index,
        level: finding.level.as_str(),
        message: message(document, finding),
        locations: [first],
        related_locations: related.collect(),
        partial_fingerprints: json!({ "scxLint/v1": print, "primaryLocationLineHash": print }),
        baseline_state: document.baseline.then_some(if finding.known { "unchanged" } else { "new" }),
        properties: json!({
            "phase": finding.phase,
            "errno": finding.errno,
            "kernelMessage": finding.kernel_message,
            "kernels": finding.kernels.iter().filter_map(|&k| document.kernels.get(k)).map(|k| &k.name).collect::<Vec<_>>(),
            "object": object.title(),
        }),
    }
}

/// Everything that the finding says, for services that show no more than the message.
fn message(document: &Document, finding: &FindingDoc) -> Value {
    let mut text = sentence(&finding.message);
    let kernels = kernels_of(document, &finding.kernels);
    if !kernels.is_empty() {
        text.push_str(&format!(" Kernels: {}.", kernels.join(", ")));
    }
    if let Some(words) = &finding.kernel_message {
        let errno = finding.errno.as_ref().map_or_else(String::new, |errno| format!("{errno}: "));
        text.push_str(&format!(" At {}: {errno}{words}", finding.phase.as_str()));
    }
    // Brackets would begin a link (section 3.11.6 of the standard).
    let text = text.replace('\\', "\\\\").replace('[', "\\[").replace(']', "\\]");
    let mut message = json!({ "text": text });
    if let Some(help) = &finding.help {
        message["markdown"] = json!(format!("{text}\n\n{}", help.replace('\\', "\\\\").replace('[', "\\[")));
    }
    message
}

fn artifact(place: &Place) -> Value {
    if place.inside {
        json!({ "uri": place.uri(), "uriBaseId": "%SRCROOT%" })
    } else {
        json!({ "uri": place.uri() })
    }
}

fn location(place: &Place, id: Option<usize>) -> Value {
    let mut physical = Map::new();
    physical.insert("artifactLocation".to_owned(), artifact(place));
    // GitHub shows a result without a region nowhere; line 1 of the object stands for the object.
    let mut region = json!({ "startLine": place.line.unwrap_or(1) });
    if let Some(column) = place.column {
        region["startColumn"] = json!(column);
    }
    if let Some(text) = place.text.as_deref().filter(|text| !text.is_empty()) {
        region["snippet"] = json!({ "text": text });
    }
    physical.insert("region".to_owned(), region);
    let mut location = json!({ "physicalLocation": physical });
    if let Some(id) = id {
        location["id"] = json!(id);
    }
    if !place.label.is_empty() {
        location["message"] = json!({ "text": place.label.replace('[', "\\[").replace(']', "\\]") });
    }
    if let Some(program) = &place.program {
        location["logicalLocations"] = json!([{ "name": program, "kind": "function" }]);
    }
    location
}

fn notifications(document: &Document, repository: &Repository, rules: &[&'static Rule]) -> Vec<Value> {
    let mut notifications = Vec::new();
    for object in &document.objects {
        if let Some(error) = &object.error {
            notifications.push(json!({
                "level": "error",
                "message": { "text": format!("{}: {}.", object.path, error.message) },
                "descriptor": { "id": error.code },
                "locations": [{ "physicalLocation": { "artifactLocation": artifact(&repository.object(&object.path)) } }],
            }));
        }
    }
    for run in &document.runs {
        let object = &document.objects[run.object];
        let mut notify = |level: &str, text: String| {
            notifications.push(json!({
                "level": level,
                "message": { "text": format!("{}: on {}: {text}", object.title(), run.kernel) },
                "locations": [{ "physicalLocation": { "artifactLocation": artifact(&repository.object(&object.path)) } }],
            }));
        };
        match run.outcome {
            LiveOutcome::Passed => notify("note", format!("{}.", run.words)),
            LiveOutcome::Unasked => notify("error", format!("the kernel could not be asked: {}.", run.words)),
            LiveOutcome::Failed => {}
        }
        for difference in &run.differs {
            notify("warning", format!("the kernel and this report differ: {difference}."));
        }
    }
    for line in unmatched(document) {
        notifications.push(json!({ "level": "note", "message": { "text": format!("{line}.") } }));
    }
    for (part, open, kernels) in questions(&document.parts()) {
        let index = rules.iter().position(|rule| *rule == open.rule);
        let title = part.object.title();
        let kernels = kernels_of(document, &kernels);
        let on =
            if kernels.is_empty() { String::new() } else { format!(" Kernels: {}.", kernels.join(", ")) };
        let places = repository.places_inside(part.object, &open.locations);
        notifications.push(json!({
            "level": "note",
            "message": { "text": format!(
                "{title}: cannot tell: {}.{on} {} would tell.", open.question(), open.way_out()
            ) },
            "associatedRule": { "id": open.rule.name, "index": index },
            "locations": [location(&places[0], None)],
        }));
    }
    for object in document.objects.iter().filter(|object| object.error.is_none()) {
        notifications.push(json!({
            "level": "note",
            "message": { "text": format!("{}: {}.", object.title(), object.sentence) },
            "locations": [{ "physicalLocation": { "artifactLocation": artifact(&repository.object(&object.path)) } }],
        }));
    }
    notifications
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_has_a_readable_name() {
        assert_eq!(pascal("missing-arena"), "MissingArena");
        assert_eq!(pascal("enq-last-without-enqueue"), "EnqLastWithoutEnqueue");
    }
}
