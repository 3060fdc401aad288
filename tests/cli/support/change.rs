//! What the policies of a move changed, as its report has it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::Database;

/// The options for these choices, and a report.
pub(crate) fn with_policies<'c>(choices: &[&'c str]) -> Vec<&'c str> {
    choices.iter().flat_map(|choice| ["--on", *choice]).chain(["--report", "report.json"]).collect()
}

/// What a report says of each change, a line for each, with the bytes of the original in hexadecimal.
pub(crate) fn changes(report: &Value) -> Vec<String> {
    let line = |change: &Value| {
        let text = |name: &str| change[name].as_str().unwrap_or_else(|| panic!("no {name} in {change}")).to_owned();
        let original = STANDARD.decode(text("original")).expect("base64");
        let original = original.iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().concat();
        let [table, key, column, class] = ["table", "primary_key", "column", "class"].map(text);
        format!("{table} {key} {column} {class}={} {} {original}", text("policy"), text("stored"))
    };
    let mut lines: Vec<_> = report["changes"].as_array().expect("a list of changes").iter().map(line).collect();
    lines.sort();
    lines
}

/// The rows that a move has left out, as statements that insert them again.
pub(crate) fn dropped_rows(report: &Value) -> Vec<String> {
    let changes = report["changes"].as_array().expect("a list of changes").iter();
    let inserts = changes.filter_map(|change| {
        let row = change["row"].as_object()?;
        let columns = row.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        let values = row.values().map(|value| value.as_str().expect("a literal")).collect::<Vec<_>>().join(", ");
        Some(format!("INSERT INTO {} ({columns}) VALUES ({values})", change["table"].as_str().expect("a table")))
    });
    inserts.collect()
}

/// The line of a change to a value that the source still has.
pub(crate) fn change_of(
    source: &Database,
    table: &str,
    (key_column, key): (&str, &str),
    column: &str,
    choice: &str,
) -> String {
    // A number as its decimal text, as Rust writes it: `inf`.
    let stored = source.texts(&format!(
        "SELECT typeof({column}) || ' '
                || hex(iif(typeof({column}) = 'real', lower({column}), CAST({column} AS BLOB)))
         FROM {table} WHERE {key_column} = '{key}'"
    ));
    let [Some(stored)] = &stored[..] else { panic!("one row {key} of {table}") };
    format!("{table} {key} {column} {choice} {stored}")
}
