//! `init`: the baseline is created once, adopted, or left alone.

use crate::support::{Database, Outcome, on_both_backends, tarsy_db};

on_both_backends! {
    fn an_empty_database_gets_the_baseline_and_is_then_left_alone(database: &Database) {
        let first = Outcome::of(tarsy_db(database).args(["init", "--output", "json"])).expect(0);
        assert_eq!(first.json()["outcome"], "created");
        assert_eq!(first.json()["revision"], "ae85467a75d2");
        assert_eq!(database.texts("SELECT version_num FROM alembic_version"), [Some("ae85467a75d2".to_owned())]);
        let second = Outcome::of(tarsy_db(database).args(["init", "--output", "json"])).expect(0);
        assert_eq!(second.json()["outcome"], "present");
    }
}
