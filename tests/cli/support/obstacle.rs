//! Obstacles of a migration on its target.

use super::migration::migrate_to;
use super::{Database, Outcome, Role};

/// The migration as a role that is not a superuser.
pub(crate) fn migrate_as(source: &Database, role: &Role<'_>) -> Outcome {
    Outcome::of(&mut migrate_to(source, &role.url()))
}

/// The kinds and objects of the obstacles that a refused migration lists.
#[track_caller]
pub(crate) fn obstacles(refused: &Outcome) -> Vec<(String, String)> {
    let document = refused.json();
    let listed = document["error"]["details"].as_array().unwrap_or_else(|| panic!("no list in {document:#}"));
    let text = |obstacle: &serde_json::Value, key: &str| obstacle[key].as_str().expect("a text").to_owned();
    assert!(listed.iter().all(|obstacle| obstacle["weight"] == "refusal" && !text(obstacle, "advice").is_empty()));
    listed.iter().map(|obstacle| (text(obstacle, "kind"), text(obstacle, "object"))).collect()
}

/// Asserts that this is the only obstacle.
#[track_caller]
pub(crate) fn is_listed(refused: &Outcome, kind: &str, object: &str, words: &[&str]) {
    assert_eq!(obstacles(refused), [(kind.to_owned(), object.to_owned())], "{}", refused.stdout);
    let obstacle = refused.json()["error"]["details"][0].to_string();
    for word in words {
        assert!(obstacle.contains(word), "no `{word}` in {obstacle}");
    }
}

/// What the baseline gives a role that does not own the database.
pub(crate) fn grant_everyday_rights(target: &Database, role: &Role<'_>) {
    target.execute(&format!("GRANT CREATE ON SCHEMA public TO {}", role.name));
}
