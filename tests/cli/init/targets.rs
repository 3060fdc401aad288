//! `init --to`: how a revision is named, what would be done, and what would be run.

use crate::support::baseline;
use crate::support::cases::each;
use crate::support::history::{NOW_US, contents, insert_session};
use crate::support::revision::{IDS, init, init_to, ledger, stands_at};
use crate::support::{Database, Outcome, Role, Schema, apply, tarsy_db, test};

const ALLOWED: &str = "`head`, `baseline`, a revision's number from 1 to 23, its id or an unambiguous beginning of it";

#[apply(test)]
fn a_role_that_may_not_create_tables_is_told_which_grant_it_needs() {
    let database = Database::postgresql();
    database.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC");
    let role = Role::new(&database);
    let run = || Outcome::of(tarsy_db(&database).env("DATABASE_URL", role.url()).arg("init"));
    let grant = format!("GRANT CREATE, USAGE ON SCHEMA public TO {}", role.name);
    let refused = run().expect(77);
    refused.tells(&["cannot create the schema", "permission denied for schema public", &format!("`{grant}`")]);
    database.execute(&grant);
    run().expect(0);
}

type Files = (Vec<std::ffi::OsString>, Option<Vec<u8>>);

/// The names of what is in the database's directory, and the octets of its file.
fn files(database: &Database) -> Files {
    let entries = std::fs::read_dir(database.directory()).expect("a directory");
    let mut names: Vec<_> = entries.map(|entry| entry.expect("an entry").file_name()).collect();
    names.sort();
    (names, std::fs::read(database.file()).ok())
}

/// What must not change, whatever is asked.
fn everything(database: &Database) -> (String, Vec<String>, Files) {
    let files = files(database);
    match database.is_sqlite() && files.1.is_none() {
        true => (String::new(), Vec::new(), files),
        false => (baseline::listing(database), contents(database), files),
    }
}

#[apply(test)]
fn a_revision_has_several_names() {
    let cases = [
        ("baseline", 1),
        ("2", 2),
        ("02", 2),
        ("7c617b3e7c2c", 2),
        ("7", 7),
        ("7c", 2),
        ("11", 11),
        ("11b", 11),
        ("head", 23),
    ];
    each(cases, |(name, number)| {
        let database = Database::sqlite();
        init_to(&database, name);
        assert_eq!(ledger(&database), [Some(IDS[number - 1].to_owned())], "{name}");
    });
}

#[apply(test)]
fn what_is_no_revision_is_a_usage_error_that_says_what_is() {
    let database = Database::sqlite();
    each(["", "0", "24", "Head", "7c617b3e7c2c0", "-1"], |wrong| {
        let refused = init(&database, &[&format!("--to={wrong}")]).expect(2);
        assert!(refused.stderr.contains(&format!("expected {ALLOWED}")), "{}", refused.stderr);
    });
    let several = init(&database, &["--to=a"]).expect(2);
    assert!(several.stderr.contains("`a` is the beginning of several revisions"), "{}", several.stderr);
    assert_eq!(files(&database).0.len(), 0);
}

#[apply(test)]
fn a_setting_that_is_no_revision_is_78_and_says_where_it_is() {
    let database = Database::sqlite();
    let refused = Outcome::of(tarsy_db(&database).env("TARSY_DB_SCHEMA", "newest").arg("init")).expect(78);
    assert!(refused.stderr.contains("TARSY_DB_SCHEMA") && refused.stderr.contains(ALLOWED), "{}", refused.stderr);
    std::fs::write(database.directory().join("tarsy-db.toml"), "[schema]\ntarget = \"24\"\n").expect("a file");
    let refused = init(&database, &[]).expect(78);
    assert!(refused.stderr.contains("tarsy-db.toml") && refused.stderr.contains(ALLOWED), "{}", refused.stderr);
    assert!(!database.file().exists());
}

#[apply(test)]
fn the_flag_beats_the_environment_beats_the_file() {
    let database = Database::sqlite();
    std::fs::write(database.directory().join("tarsy-db.toml"), "[schema]\ntarget = \"2\"\n").expect("a file");
    let is_at = |number: usize| assert_eq!(ledger(&database), [Some(IDS[number - 1].to_owned())]);
    init(&database, &[]).expect(0);
    is_at(2);
    Outcome::of(tarsy_db(&database).env("TARSY_DB_SCHEMA", "3eafea").arg("init")).expect(0);
    is_at(3);
    Outcome::of(tarsy_db(&database).env("TARSY_DB_SCHEMA", "5").args(["init", "--to", "4"])).expect(0);
    is_at(4);
    // A later revision is not changed.
    init(&database, &["--to", "baseline"]).expect(0);
    is_at(4);
}

#[apply(test)]
fn a_dry_run_on_nothing_creates_nothing(database: &Database) {
    let before = everything(database);
    each([["--dry-run", "--output=table"], ["--dry-run", "--output=json"], ["--sql", "--output=table"]], |arguments| {
        init(database, &[&["--to", "head"], &arguments[..]].concat()).expect(0);
        assert_eq!(everything(database), before);
    });
    let report = init(database, &["--to", "head", "--dry-run", "--output", "json"]).expect(0).json();
    assert_eq!((&report["outcome"], &report["dry_run"]), (&"created".into(), &true.into()));
    assert!(report["from"].is_null());
    assert_eq!(report["pending"].as_array().map(Vec::len), Some(23));
}

#[apply(test)]
fn a_dry_run_names_what_is_pending_and_changes_nothing(database: &Database) {
    init_to(database, "baseline");
    insert_session(database, "s-1", "completed", Some(NOW_US));
    let before = everything(database);

    let table = init(database, &["--to", "head", "--dry-run"]).expect(0).stdout;
    assert!(table.contains("would upgrade"), "{table}");
    assert!(IDS[1..].iter().all(|id| table.contains(id)), "{table}");

    let report = init(database, &["--to", "18", "--dry-run", "--output", "json"]).expect(0).json();
    assert_eq!((&report["outcome"], &report["dry_run"]), (&"upgraded".into(), &true.into()));
    assert_eq!((&report["from"], &report["revision"]), (&IDS[0].into(), &IDS[17].into()));
    let pending = report["pending"].as_array().expect("a list");
    let named: Vec<_> = pending.iter().filter_map(|step| step["revision"].as_str()).collect();
    assert_eq!(named, IDS[1..18]);
    let numbers: Vec<_> = pending.iter().filter_map(|step| step["number"].as_u64()).collect();
    assert_eq!(numbers, (2..=18).collect::<Vec<_>>());
    assert!(pending[0]["change"].as_str().is_some_and(|change| change.contains("interaction_type")));
    assert!(report["sql"].is_null());
    assert_eq!(everything(database), before);

    let report = init(database, &["--to", "18", "--output", "json"]).expect(0).json();
    assert_eq!((&report["dry_run"], &report["applied"]), (&false.into(), &pending.clone().into()));
    let report = init(database, &["--dry-run", "--output", "json"]).expect(0).json();
    assert_eq!((&report["outcome"], &report["applied"]), (&"present".into(), &serde_json::json!([])));
}

#[apply(test)]
fn how_long_a_large_history_is_locked_is_said_beforehand(database: &Database) {
    init_to(database, "baseline");
    insert_session(database, "s-1", "completed", Some(NOW_US));
    let small = init(database, &["--to", "head", "--dry-run"]).expect(0);
    assert!(!small.stdout.contains("until the commit"), "{}", small.stdout);

    // What the estimate is made of, as if there were a million sessions.
    let (many, lock) = match database.is_sqlite() {
        true => ("UPDATE alert_sessions SET rowid = 1000000", "other programs cannot write"),
        false => ("UPDATE pg_class SET reltuples = 1e6 WHERE relname = 'alert_sessions'", "TARSy's tables are locked"),
    };
    database.execute(many);
    let said = "about 1,000,000 rows of `alert_sessions`";
    let announced = init(database, &["--to", "head", "--dry-run"]).expect(0).stdout;
    assert!(announced.contains(lock) && announced.contains(said), "{announced}");
    let filling = &init(database, &["--to", "5", "--dry-run", "--output", "json"]).expect(0).json()["filling"];
    assert_eq!(
        (&filling["tables"][1]["table"], &filling["tables"][1]["rows"]),
        (&"alert_sessions".into(), &1_000_000.into())
    );
    assert!(filling["seconds"].as_u64().is_some_and(|seconds| seconds >= 30), "{filling}");

    let upgraded = init(database, &["--to", "head"]).expect(0).stderr;
    let (announcement, first) = (upgraded.find(said), upgraded.find("applying"));
    assert!(announcement.is_some() && announcement < first, "{upgraded}");
    let done = init(database, &["--to", "head", "--dry-run"]).expect(0).stdout;
    assert!(!done.contains("until the commit"), "{done}");
}

#[apply(test)]
fn the_printed_sql_leads_there_from_nothing(database: &Database) {
    let sql = init(database, &["--to", "head", "--sql"]).expect(0).stdout;
    database.execute(&sql);
    stands_at(database, 23);
    Outcome::of(tarsy_db(database).arg("check")).expect(0);
}

#[apply(test)]
fn the_printed_sql_leads_there_from_data(database: &Database) {
    init_to(database, "baseline");
    insert_session(database, "s-1", "in_progress", Some(NOW_US));
    insert_session(database, "s-2", "pending", None);
    database.execute(r#"UPDATE llm_interactions SET conversation = '{"messages": ["Final Answer: 42"]}'"#);
    let before = everything(database);
    each([(2, "2"), (6, "6"), (18, "18"), (23, "head")], |(number, target)| {
        if number == 2 {
            let printed = init(database, &["--to", target, "--sql"]).expect(0);
            assert_eq!(everything(database), before);
            if !database.is_sqlite() {
                let (_, rest) = database.url().split_once("://").expect("a URL");
                let (login, _) = rest.rsplit_once('@').expect("a login");
                let (_, password) = login.split_once(':').expect("a password");
                assert!(!(printed.stdout + &printed.stderr).contains(password));
            }
        }
        let report = init(database, &["--to", target, "--sql", "--output", "json"]).expect(0).json();
        let statements = report["sql"].as_array().expect("a list").iter().filter_map(|sql| sql.as_str());
        database.execute(&statements.collect::<Vec<_>>().join(";\n"));
        stands_at(database, number);
    });
    let filled = "SELECT count(*) FROM alert_sessions WHERE pod_id = 'unknown' AND last_interaction_at > 0";
    assert_eq!(database.number(filled), 2);
    let classified = "SELECT count(*) FROM llm_interactions WHERE interaction_type = 'final_analysis'";
    assert_eq!(database.number(classified), 2);
    let nothing = init(database, &["--to", "head", "--sql"]).expect(0).stdout;
    assert!(nothing.starts_with("-- ") && nothing.trim_end().ends_with(": nothing to do"), "{nothing}");
}

#[apply(test)]
fn the_printed_sql_adopts(database: &Database) {
    init_to(database, "10");
    database.execute("DROP TABLE alembic_version");
    let sql = init(database, &["--to", "20", "--sql"]).expect(0).stdout;
    database.execute(&sql);
    stands_at(database, 20);
    database.execute("DELETE FROM alembic_version");
    let sql = init(database, &["--to", "20", "--sql"]).expect(0).stdout;
    database.execute(&sql);
    stands_at(database, 20);
}

#[apply(test)]
fn an_event_trigger_that_refuses_is_the_hint() {
    let database = Database::postgresql().with_schema(Schema::Baseline);
    database.execute(
        "CREATE FUNCTION no() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not today'; END $$;
         CREATE EVENT TRIGGER no ON ddl_command_start EXECUTE FUNCTION no()",
    );
    let refused = Outcome::of(tarsy_db(&database).args(["init", "--to", "head"])).expect(4);
    refused.tells(&["not today", "an event trigger of your own refuses it"]);
    database.execute("DROP EVENT TRIGGER no");
}

#[apply(test)]
fn a_search_path_without_a_schema_is_the_hint() {
    let database = Database::postgresql().with_schema(Schema::Baseline);
    database.execute(&format!("ALTER DATABASE {} SET search_path = ''", database.name()));
    for command in ["init", "info", "check"] {
        let refused = Outcome::of(tarsy_db(&database).args([command, "--output", "json"])).expect(77);
        let said = format!("{}{}", refused.stdout, refused.stderr);
        assert!(said.contains("the search path has no schema that the role may use"), "{said}");
        assert!(command == "check" || said.contains("RESET search_path"), "{said}");
    }
}
