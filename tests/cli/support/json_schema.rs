//! Holds JSON documents against `docs/output.schema.json`.

use std::sync::LazyLock;

use serde_json::Value;

use super::document::project;

static SCHEMA: LazyLock<Value> = LazyLock::new(|| {
    let text = std::fs::read_to_string(project().join("docs/output.schema.json")).expect("the schema is there");
    serde_json::from_str(&text).expect("the schema is JSON")
});

/// Makes sure that a document of `--output json` is as the schema describes it, and has no other fields, although later
/// versions may add some.
#[track_caller]
pub(crate) fn conforms(document: &Value) {
    let faults = faults(document);
    assert!(faults.is_empty(), "{}\nin {document:#}", faults.join("\n"));
}

/// Whether a field that the schema requires has to be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Required {
    Checked,
    /// The document is of an earlier release.
    Ignored,
}

/// Where a document is not as the schema describes it.
pub(crate) fn faults(document: &Value) -> Vec<String> {
    faults_in(document, Required::Checked)
}

/// The same for a document of an earlier release, in which fields may be missing that were added later.
pub(crate) fn faults_of_earlier(document: &Value) -> Vec<String> {
    faults_in(document, Required::Ignored)
}

fn faults_in(document: &Value, required: Required) -> Vec<String> {
    let command = document["command"].as_str().unwrap_or_default();
    let is_result = document.as_object().is_some_and(|fields| fields.len() > 4 || !fields.contains_key("error"));
    let kind = if is_result { command } else { "failure" };
    let mut faults = Vec::new();
    compare(document, &SCHEMA["$defs"][kind], "", required, &mut faults);
    faults
}

fn compare(value: &Value, schema: &Value, place: &str, required: Required, faults: &mut Vec<String>) {
    let mut fault = |what: String| faults.push(format!("{}: {what}", if place.is_empty() { "/" } else { place }));
    let Some(keywords) = schema.as_object() else { return fault(format!("no schema, but {schema}")) };
    let (mut properties, mut others) = (None, None);
    for (keyword, operand) in keywords {
        match keyword.as_str() {
            "description" => {}
            "$ref" => {
                let name = operand.as_str().and_then(|path| path.strip_prefix("#/$defs/")).expect("a definition");
                compare(value, &SCHEMA["$defs"][name], place, required, faults);
                return;
            }
            "anyOf" => {
                let fits = |schema: &&Value| {
                    let mut faults = Vec::new();
                    compare(value, schema, place, required, &mut faults);
                    faults.is_empty()
                };
                if operand.as_array().expect("a list").iter().filter(fits).count() == 0 {
                    fault(format!("{value} is none of {operand}"));
                }
            }
            "type" if is_of_type(value, operand) => {}
            "type" => return fault(format!("{value} is not of type {operand}")),
            "const" if value == operand => {}
            "enum" if operand.as_array().expect("a list").contains(value) => {}
            "const" | "enum" => fault(format!("{value} is not {operand}")),
            "format" => {
                if let Some(text) = value.as_str().filter(|text| !is_of_format(text, operand)) {
                    fault(format!("{text} is not of format {operand}"));
                }
            }
            "required" if required == Required::Ignored => {}
            "required" => {
                let names = operand.as_array().expect("a list").iter().filter_map(Value::as_str);
                for name in names.filter(|name| value.as_object().is_some_and(|value| !value.contains_key(*name))) {
                    fault(format!("no {name}"));
                }
            }
            "properties" => properties = operand.as_object(),
            "additionalProperties" => others = Some(operand),
            "items" => {
                for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                    compare(item, operand, &format!("{place}/{index}"), required, faults);
                }
                return;
            }
            other => fault(format!("the keyword {other} is not known to this test")),
        }
    }
    for (name, field) in value.as_object().into_iter().flatten() {
        let schema = properties.and_then(|properties| properties.get(name)).or(others);
        match (schema, properties) {
            (Some(schema), _) => compare(field, schema, &format!("{place}/{name}"), required, faults),
            (None, Some(_)) => faults.push(format!("{place}: {name} is not in the schema")),
            (None, None) => {}
        }
    }
}

fn is_of_type(value: &Value, names: &Value) -> bool {
    let is = |name: &str| match name {
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "object" => value.is_object(),
        "array" => value.is_array(),
        "null" => value.is_null(),
        other => panic!("the type {other} is not known to this test"),
    };
    match names {
        Value::Array(names) => names.iter().filter_map(Value::as_str).any(is),
        name => name.as_str().is_some_and(is),
    }
}

fn is_of_format(text: &str, format: &Value) -> bool {
    match format.as_str() {
        Some("date-time") => text.ends_with('Z') && chrono::DateTime::parse_from_rfc3339(text).is_ok(),
        Some("date") => text.parse::<chrono::NaiveDate>().is_ok(),
        other => panic!("the format {other:?} is not known to this test"),
    }
}
