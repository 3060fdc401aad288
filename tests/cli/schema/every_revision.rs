//! Every command at every revision.

use crate::support::birth;
use crate::support::cases::each;
use crate::support::check::check;
use crate::support::revision::{IDS, init_to};
use crate::support::{Database, Outcome, apply, tarsy_db, test};

fn json(database: &Database, arguments: &[&str]) -> serde_json::Value {
    Outcome::of(tarsy_db(database).args(arguments).args(["--output", "json"])).expect(0).json()
}

#[apply(test)]
fn info_check_wait_and_prune_work_at_every_revision(database: &Database) {
    init_to(database, "baseline");
    birth::fill(database, 1);
    each(1..=IDS.len(), |revision| {
        init_to(database, &revision.to_string());
        let id = IDS[revision - 1];
        let target = ["wait", "--for", "schema", "--max-attempts", "1"];
        Outcome::of(tarsy_db(database).env("TARSY_DB_SCHEMA", id).args(target)).expect(0);
        check(database, &["--deep"]).expect(0);
        let info = json(database, &["info", "--exact"]);
        assert_eq!(info["revision"], id);
        assert_eq!(info["sessions"]["by_status"][0]["sessions"], 1, "{info:#}");
        let plan = json(database, &["prune", "--dry-run", "--events", "--older-than", "1d"]);
        assert_eq!(plan["plan"]["sessions"], 1, "{plan:#}");
        let rows = plan["plan"]["tables"].as_array().expect("tables").iter();
        assert_eq!(rows.map(|table| table["rows"].as_u64().expect("a number")).sum::<u64>(), 4, "{plan:#}");
    });
    let removed = json(database, &["prune", "--max-share", "100%", "--yes", "--older-than", "1d"]);
    assert_eq!(removed["removed"]["sessions"], 1);
    for table in ["alert_sessions", "stage_executions", "llm_interactions", "mcp_communications"] {
        assert_eq!(database.count(table), 0, "{table}");
    }
}

#[apply(test)]
fn a_revision_that_is_not_reached_is_waited_for(database: &Database) {
    init_to(database, "22");
    let wait = ["wait", "--for", "schema", "--max-attempts", "1"];
    Outcome::of(tarsy_db(database).env("TARSY_DB_SCHEMA", "head").args(wait)).expect(3);
    Outcome::of(tarsy_db(database).env("TARSY_DB_SCHEMA", "c4d5").args(wait)).expect(0);
}
