//! Every document that is emitted fits the schema that is shipped.

use scx_lint::Options;
use scx_lint::lint;
use scx_lint::load::Values;
use scx_lint::object::Object;
use scx_lint::report::{Document, SCHEMA};

use super::{corpus_objects, fixture_objects, name};

#[test]
fn documents_fit_the_schema() {
    let schema = serde_json::from_str(SCHEMA).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    for path in fixture_objects().into_iter().chain(corpus_objects()) {
        let data = std::fs::read(&path).unwrap();
        let mut document = Document::default();
        match Object::open(&data, &name(&path)) {
            Ok(object) => {
                document.append(lint::lint(
                    &name(&path),
                    &object,
                    &[],
                    &Values::default(),
                    &[],
                    &Options::default(),
                ));
            }
            Err(error) => document.add_error(&name(&path), error.code(), error.to_string()),
        }
        let value = serde_json::to_value(&document).unwrap();
        let errors: Vec<_> = validator.iter_errors(&value).map(|e| e.to_string()).collect();
        assert!(errors.is_empty(), "{}: {errors:?}", path.display());
    }
}

#[test]
fn the_schema_refuses_what_is_no_report() {
    let validator = jsonschema::validator_for(&serde_json::from_str(SCHEMA).unwrap()).unwrap();
    assert!(!validator.is_valid(&serde_json::json!({})));
    let mut value = serde_json::to_value(Document::default()).unwrap();
    assert!(validator.is_valid(&value));
    value["schema_version"] = 2.into();
    assert!(!validator.is_valid(&value));
}
