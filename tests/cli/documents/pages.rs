//! The pages of the manual have what they should have.

use crate::support::document::{file_text, pages_in_docs};
use crate::support::page::pages;
use crate::support::{Database, Outcome, Schema, apply, tarsy_db, test};

#[apply(test)]
fn each_check_has_a_heading_in_the_manual(database: &Database) {
    database.create_schema(Schema::Head);
    let checked = Outcome::of(tarsy_db(database).args(["check", "--fix", "--output", "json"])).expect(0).json();
    let checks = checked["checks"].as_array().expect("a list");
    let mut names: Vec<&str> = checks.iter().filter_map(|check| check["name"].as_str()).collect();
    // Only where they fail.
    names.extend(["row policies", "replica identity", "locks"]);
    let page = file_text("docs/checking.md");
    names.retain(|name| !page.contains(&format!("\n## {name}\n")));
    assert_eq!(names, Vec::<&str>::new());
}

/// A page that lost its commands would no longer be compared with the program.
#[apply(test)]
fn pages_without_a_command_are_few() {
    let compared = pages();
    let mut others: Vec<_> = pages_in_docs().into_iter().filter(|page| !compared.contains(page)).collect();
    others.sort();
    let expected =
        ["docs/README.md", "docs/benchmarks.md", "docs/compatibility.md", "docs/releasing.md", "docs/terms.md"];
    assert_eq!(others, expected);
}
