//! What makes a finding the same one in the next run, and the baseline that this allows.

use std::collections::{HashMap, HashSet};

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::document::Document;
use super::findings::FindingDoc;

/// What makes a finding the same one in the next run: rule, object, subject (kind and name), and its C line.
type Identity<'a> = [&'a str; 6];

/// A stable identity for each finding, 32 hexadecimal digits: the same after lines have moved and when
/// the object is built elsewhere. Equal ones are told apart by their order.
pub fn fingerprints(document: &Document) -> Vec<String> {
    fingerprints_of(document, document.findings.iter())
}

/// The same for findings that are not the document's own.
pub(super) fn fingerprints_of<'a>(
    document: &'a Document,
    findings: impl Iterator<Item = &'a FindingDoc>,
) -> Vec<String> {
    hashes(findings.map(|finding| {
        let object = &document.objects[finding.object];
        let text = finding.locations.iter().find_map(|location| location.text.as_deref());
        [
            finding.rule.name,
            &object.name,
            object.embedded.as_ref().map_or("", |embedded| &embedded.name),
            finding.subject.kind.as_str(),
            &finding.subject.name,
            text.unwrap_or_default().trim(),
        ]
    }))
}

/// The same for open questions; what is asked stands for the C line.
fn fingerprints_of_questions(document: &Document) -> Vec<String> {
    hashes(document.undecided.iter().map(|open| {
        let object = &document.objects[open.object];
        [
            open.rule.name,
            &object.name,
            object.embedded.as_ref().map_or("", |embedded| &embedded.name),
            open.subject.kind.as_str(),
            &open.subject.name,
            &open.reason,
        ]
    }))
}

/// The fingerprints of the findings and of the open questions in a JSON report, of this version of scx-lint or a former one.
///
/// # Errors
/// It is no such report.
pub fn recorded_fingerprints(report: &Value) -> Result<Vec<String>, &'static str> {
    if report["schema_version"] != 1 {
        return Err("schema_version is not 1: no JSON report of scx-lint");
    }
    let findings = report["findings"].as_array().ok_or("it has no findings array")?;
    let questions = report["undecided"].as_array().map(Vec::as_slice).unwrap_or_default();
    let identity = |said: &'_ Value, last| {
        let object = said["object"].as_u64().and_then(|number| usize::try_from(number).ok());
        let object = object.map_or(&Value::Null, |number| &report["objects"][number]);
        let word = |value: &'_ Value| value.as_str().unwrap_or_default().to_owned();
        [
            word(&said["rule"]),
            word(&object["name"]),
            word(&object["embedded"]["name"]),
            word(&said["subject"]["kind"]),
            word(&said["subject"]["name"]),
            last,
        ]
    };
    let findings: Vec<[String; 6]> = findings
        .iter()
        .map(|finding| {
            let locations = finding["locations"].as_array().map(Vec::as_slice).unwrap_or_default();
            let text = locations.iter().find_map(|location| location["text"].as_str());
            identity(finding, text.unwrap_or_default().trim().to_owned())
        })
        .collect();
    let questions: Vec<[String; 6]> = questions
        .iter()
        .map(|open| identity(open, open["reason"].as_str().unwrap_or_default().to_owned()))
        .collect();
    let all = |identities: &[[String; 6]]| {
        hashes(identities.iter().map(|identity| identity.each_ref().map(String::as_str)))
    };
    Ok([all(&findings), all(&questions)].concat())
}

fn hashes<'a>(identities: impl Iterator<Item = Identity<'a>>) -> Vec<String> {
    let mut seen: HashMap<Identity<'a>, u32> = HashMap::new();
    identities
        .map(|identity| {
            let ordinal = seen.entry(identity).or_default();
            *ordinal += 1;
            let mut hash = Sha256::new();
            for part in identity {
                hash.update(part.as_bytes());
                hash.update([0]);
            }
            hash.update(ordinal.to_le_bytes());
            hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
        })
        .collect()
}

impl Document {
    /// Marks the findings and open questions that a former report has too: those with one of these fingerprints.
    pub fn set_baseline(&mut self, known: &HashSet<String>) {
        self.baseline = true;
        let prints = fingerprints(self);
        for (finding, print) in self.findings.iter_mut().zip(prints) {
            finding.known = known.contains(&print);
        }
        let prints = fingerprints_of_questions(self);
        for (open, print) in self.undecided.iter_mut().zip(prints) {
            open.known = known.contains(&print);
        }
        self.summary.known = self.findings.iter().filter(|finding| finding.known).count();
    }
}
