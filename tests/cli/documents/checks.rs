//! The page about `check` explains each check.

use crate::support::document::file_text;
use crate::support::{Database, Outcome, Schema, apply, tarsy_db, test};

#[apply(test)]
fn each_check_has_a_heading_in_the_manual(database: &Database) {
    database.create_schema(Schema::Head);
    let checked = Outcome::of(tarsy_db(database).args(["check", "--fix", "--output", "json"])).expect(0).json();
    let checks = checked["checks"].as_array().expect("a list");
    let mut names: Vec<&str> = checks.iter().filter_map(|check| check["name"].as_str()).collect();
    // Only where it fails.
    names.push("row policies");
    let page = file_text("docs/checking.md");
    names.retain(|name| !page.contains(&format!("\n## {name}\n")));
    assert_eq!(names, Vec::<&str>::new());
}
