//! `migrate-sqlite-to-postgres`: every value arrives, the source is not changed, and the target's indexes and keys are
//! recreated.

use crate::support::cases::each;
use crate::support::column::{BIGINT, BOOLEAN, DOUBLE, INTEGER, JSON, JSONB, TEXT};
use crate::support::history::{NOW_US, insert_many, insert_session, row_key};
use crate::support::migration::{arguments, migrate, migrate_read_only, source_and_target};
use crate::support::sqlite_file::{files, with_left_over_wal};
use crate::support::{Database, Outcome, Running, Schema, apply, bare_tarsy_db, test};

/// One value: its column, how it is written, and what PostgreSQL shows for it after the move.
struct Sample {
    table: &'static str,
    column: &'static str,
    /// The SQL expression that writes it on SQLite.
    written: &'static str,
    /// The SQL expression that shows it on PostgreSQL.
    shown: &'static str,
    expected: Option<&'static str>,
}

const fn sample(
    (table, column): (&'static str, &'static str),
    written: &'static str,
    shown: &'static str,
    expected: &'static str,
) -> Sample {
    Sample { table, column, written, shown, expected: Some(expected) }
}

const OCTETS: &str = "encode(convert_to(final_analysis, 'UTF8'), 'hex')";
const JSON_TEXT: &str = "tool_result::text";
const JSONB_TEXT: &str = "conversation::text";
const DOUBLE_TEXT: &str = "temperature::text";

const SAMPLES: &[Sample] = &[
    // Tab and CR LF; quotes and backslashes as COPY's text format would mangle them; U+0001 and DEL.
    sample(TEXT, "char(97, 9, 98, 13, 10, 99)", OCTETS, "6109620d0a63"),
    sample(TEXT, r#"'it''s "\N" \\.'"#, OCTETS, "6974277320225c4e22205c5c2e"),
    sample(TEXT, "char(1, 127)", OCTETS, "017f"),
    // A byte order mark, U+2028, an emoji of three code points, right to left, U+10FFFF, e and its accent.
    sample(TEXT, "char(65279, 120)", OCTETS, "efbbbf78"),
    sample(TEXT, "char(8232)", OCTETS, "e280a8"),
    sample(TEXT, "char(128105, 8205, 128640)", OCTETS, "f09f91a9e2808df09f9a80"),
    sample(TEXT, "char(8238, 1513)", OCTETS, "e280aed7a9"),
    sample(TEXT, "char(1114111)", OCTETS, "f48fbfbf"),
    sample(TEXT, "char(101, 769)", OCTETS, "65cc81"),
    sample(TEXT, "''", OCTETS, ""),
    sample(TEXT, "'0012'", OCTETS, "30303132"),
    sample(TEXT, "replace(hex(zeroblob(1000000)), '00', 'xy')", "length(final_analysis)::text", "2000000"),
    // `json` keeps every byte.
    sample(JSON, r#"'{"b": 1,  "a": 2, "b" :3}'"#, JSON_TEXT, r#"{"b": 1,  "a": 2, "b" :3}"#),
    sample(JSON, "' [-0.0, 1e400, 1E+2]' || char(10)", JSON_TEXT, " [-0.0, 1e400, 1E+2]\n"),
    sample(JSON, "'[123456789012345678901234567890]'", JSON_TEXT, "[123456789012345678901234567890]"),
    sample(JSON, r#"'"\u00e9 \ud83d\ude80 \\u0000"'"#, JSON_TEXT, r#""\u00e9 \ud83d\ude80 \\u0000""#),
    sample(JSON, "'null'", JSON_TEXT, "null"),
    Sample { table: JSON.0, column: JSON.1, written: "NULL", shown: JSON_TEXT, expected: None },
    // A bare number is stored as INTEGER or REAL.
    sample(JSON, "'1'", JSON_TEXT, "1"),
    sample(JSON, "'-9223372036854775808'", JSON_TEXT, "-9223372036854775808"),
    sample(JSON, "'1.50'", "tool_result::text::float8::text", "1.5"),
    sample(JSON, "'1e22'", "tool_result::text::float8::text", "1e+22"),
    sample(JSON, "'1e-7'", "tool_result::text::float8::text", "1e-07"),
    // `jsonb` keeps the value.
    sample(JSONB, r#"'{"messages": [], "b": 1, "messages": [1]}'"#, JSONB_TEXT, r#"{"b": 1, "messages": [1]}"#),
    sample(JSONB, "'[-0.0, 1E+2, 1.50]'", JSONB_TEXT, "[0.0, 100, 1.50]"),
    sample(JSONB, "'[123456789012345678901234567890]'", JSONB_TEXT, "[123456789012345678901234567890]"),
    sample(JSONB, "'[1e400]'", "length(conversation::text)::text", "403"),
    sample(JSONB, r#"'["\u00e9 \ud83d\ude80 \\u0000"]'"#, JSONB_TEXT, r#"["é 🚀 \\u0000"]"#),
    sample(JSONB, "'null'", JSONB_TEXT, "null"),
    sample(JSONB, "'7'", JSONB_TEXT, "7"),
    sample(JSONB, "'2.5'", JSONB_TEXT, "2.5"),
    Sample { table: JSONB.0, column: JSONB.1, written: "NULL", shown: JSONB_TEXT, expected: None },
    Sample { table: DOUBLE.0, column: DOUBLE.1, written: "NULL", shown: DOUBLE_TEXT, expected: None },
    sample(DOUBLE, "9e999", DOUBLE_TEXT, "Infinity"),
    sample(DOUBLE, "-9e999", DOUBLE_TEXT, "-Infinity"),
    sample(DOUBLE, "5e-324", DOUBLE_TEXT, "5e-324"),
    sample(DOUBLE, "0.1", DOUBLE_TEXT, "0.1"),
    sample(DOUBLE, "1", DOUBLE_TEXT, "1"),
    sample(BIGINT, "9223372036854775807", "completed_at_us::text", "9223372036854775807"),
    sample(BIGINT, "-9223372036854775808", "completed_at_us::text", "-9223372036854775808"),
    sample(INTEGER, "2147483647", "duration_ms::text", "2147483647"),
    sample(INTEGER, "-2147483648", "duration_ms::text", "-2147483648"),
    // SQLite makes an INTEGER of both.
    sample(INTEGER, "12.0", "duration_ms::text", "12"),
    sample(BOOLEAN, "'1'", "success::text", "true"),
    sample(BOOLEAN, "0", "success::text", "false"),
];

#[apply(test)]
fn every_value_arrives_as_it_is() {
    let (source, target) = source_and_target();
    for (number, Sample { table, column, written, .. }) in SAMPLES.iter().enumerate() {
        insert_session(&source, &number.to_string(), "completed", Some(NOW_US));
        let (key_column, key) = row_key(table, &number.to_string());
        source.execute(&format!("UPDATE {table} SET {column} = {written} WHERE {key_column} = '{key}'"));
    }
    // Of two values for one key jsonb keeps the last, which has to be asked for.
    let allowed = ["--on", "duplicate-key=last", "--report", "report.json"];
    let moved = Outcome::of(migrate(&source, &target).args(allowed)).expect(0).json();
    for (number, Sample { table, column, written, shown, expected }) in SAMPLES.iter().enumerate() {
        let (key_column, key) = row_key(table, &number.to_string());
        let found = target.texts(&format!("SELECT {shown} FROM {table} WHERE {key_column} = '{key}'"));
        assert_eq!(found, [expected.map(str::to_owned)], "{table}.{column} = {written}");
    }
    assert_eq!(moved["verified"], "full");
    assert_eq!(moved["rows"], 4 * SAMPLES.len());
    for table in moved["tables"].as_array().expect("a list of tables") {
        assert_eq!(table["rows"], SAMPLES.len(), "{table}");
        assert_eq!(table["digest"].as_str().map(str::len), Some(64), "{table}");
    }
    assert_eq!(target.texts("SELECT version_num FROM alembic_version"), [Some("ae85467a75d2".to_owned())]);
}

#[apply(test)]
fn negative_zero_keeps_its_sign() {
    let (source, target) = source_and_target();
    insert_session(&source, "zero", "completed", None);
    // A column of type FLOAT would not keep the sign: SQLite stores small whole numbers in it as integers.
    source.execute(
        "ALTER TABLE llm_interactions DROP COLUMN temperature;
         ALTER TABLE llm_interactions ADD COLUMN temperature;
         UPDATE llm_interactions SET temperature = -1e-200 * 1e-200",
    );
    let stored: f64 = source.column("SELECT temperature FROM llm_interactions").remove(0);
    assert!(stored == 0.0 && stored.is_sign_negative(), "{stored}");
    Outcome::of(&mut migrate(&source, &target)).expect(0);
    assert_eq!(target.texts("SELECT temperature::text FROM llm_interactions"), [Some("-0".to_owned())]);
}

#[apply(test)]
fn sessions_of_every_status_and_without_a_start_arrive() {
    let (source, target) = source_and_target();
    let statuses = ["cancelled", "completed", "failed", "in_progress", "no such status", "pending", "timed_out"];
    for status in statuses {
        insert_session(&source, status, status, (status != "pending").then_some(NOW_US));
    }
    Outcome::of(&mut migrate(&source, &target)).expect(0);
    let found = target.texts("SELECT status || coalesce(started_at_us::text, '-') FROM alert_sessions ORDER BY 1");
    let expected = statuses.map(|status| match status {
        "pending" => Some("pending-".to_owned()),
        _ => Some(format!("{status}{NOW_US}")),
    });
    assert_eq!(found, expected);
    for table in ["stage_executions", "llm_interactions", "mcp_communications"] {
        assert_eq!(target.count(table), 7, "{table}");
    }
}

#[apply(test)]
fn an_empty_history_and_one_without_a_ledger_are_moved() {
    let (source, target) = source_and_target();
    source.execute("DROP TABLE alembic_version");
    let moved = Outcome::of(&mut migrate(&source, &target)).expect(0).json();
    assert_eq!(moved["rows"], 0);
    assert_eq!(target.texts("SELECT version_num FROM alembic_version"), [Some("ae85467a75d2".to_owned())]);
    // Without rows on either side it may as well be moved again.
    Outcome::of(&mut migrate(&source, &target)).expect(0);
}

#[apply(test)]
fn statistics_that_sqlite_keeps_for_itself_are_no_table_of_the_history() {
    let (source, target) = source_and_target();
    insert_session(&source, "one", "completed", Some(NOW_US));
    source.execute("ANALYZE");
    Outcome::of(&mut migrate(&source, &target)).expect(0);
    assert_eq!(target.count("alert_sessions"), 1);
}

#[apply(test)]
fn the_source_is_not_changed_in_either_journal_mode() {
    each([("WAL", 2), ("DELETE", 1)], |(journal_mode, version)| {
        let (source, target) = source_and_target();
        insert_session(&source, "one", "completed", Some(NOW_US));
        source.execute(&format!("PRAGMA journal_mode = {journal_mode}"));
        let before = files(source.directory());
        assert_eq!(before["history.db"].0[18], version, "{journal_mode}");
        Outcome::of(&mut migrate(&source, &target)).expect(0);
        assert!(before == files(source.directory()), "{journal_mode}: {:?}", files(source.directory()).keys());
        assert_eq!(target.count("alert_sessions"), 1);
    });
}

#[apply(test)]
fn a_source_in_a_directory_that_cannot_be_written_is_moved() {
    each(["WAL", "DELETE"], |journal_mode| {
        let (source, target) = source_and_target();
        insert_session(&source, "one", "completed", Some(NOW_US));
        source.execute(&format!("PRAGMA journal_mode = {journal_mode}"));
        migrate_read_only(&source, &target).expect(0);
        assert_eq!(target.count("llm_interactions"), 1, "{journal_mode}");
    });
}

/// The server's definitions of all indexes and foreign keys.
fn definitions(target: &Database) -> Vec<Option<String>> {
    target.texts(
        "SELECT pg_get_indexdef(indexrelid) || indisvalid FROM pg_index
         WHERE indrelid IN (SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace)
         UNION ALL
         SELECT format('%s on %s: %s %s', conname, conrelid::regclass, pg_get_constraintdef(oid), convalidated)
         FROM pg_constraint WHERE connamespace = 'public'::regnamespace
         ORDER BY 1",
    )
}

#[apply(test)]
fn indexes_and_foreign_keys_come_back_and_an_operators_own_with_them() {
    let (source, target) = source_and_target();
    insert_session(&source, "one", "completed", Some(NOW_US));
    let target = target.with_schema(Schema::Baseline);
    target.execute(
        r#"CREATE INDEX "Our index" ON alert_sessions (lower(agent_type) DESC NULLS LAST) INCLUDE (chain_id)
               WITH (fillfactor = 70) WHERE status <> 'it''s';
           CREATE UNIQUE INDEX our_unique ON alert_sessions (chain_id, session_id);
           CREATE TABLE "Our notes" (id serial PRIMARY KEY, session varchar REFERENCES alert_sessions ON DELETE CASCADE
               DEFERRABLE INITIALLY DEFERRED, chain varchar, FOREIGN KEY (chain, session)
               REFERENCES alert_sessions (chain_id, session_id) MATCH FULL);
           ALTER TABLE llm_interactions ADD CONSTRAINT our_check CHECK (duration_ms >= 0);"#,
    );
    let before = definitions(&target);
    assert!(before.len() > 30, "{before:?}");
    Outcome::of(&mut migrate(&source, &target)).expect(0);
    assert_eq!(before, definitions(&target));
    assert_eq!(target.count("alert_sessions"), 1);
}

#[apply(test)]
fn an_operators_foreign_key_that_carries_a_comment_does_not_stand_in_the_way() {
    let (source, target) = source_and_target();
    let target = target.with_schema(Schema::Baseline);
    target.execute(
        "CREATE TABLE notes (id int PRIMARY KEY, session varchar CONSTRAINT ours REFERENCES alert_sessions);
         COMMENT ON CONSTRAINT ours ON notes IS 'see the wiki'",
    );
    Outcome::of(&mut migrate(&source, &target)).expect(0);
    let comment = "SELECT obj_description(oid, 'pg_constraint') FROM pg_constraint WHERE conname = 'ours'";
    assert_eq!(target.texts(comment), [Some("see the wiki".to_owned())]);
}

#[apply(test)]
fn an_operators_partitioned_table_with_a_foreign_key_does_not_stand_in_the_way() {
    let (source, target) = source_and_target();
    let target = target.with_schema(Schema::Baseline);
    target.execute(
        "CREATE TABLE notes (id int, session varchar REFERENCES alert_sessions) PARTITION BY RANGE (id);
         CREATE TABLE notes_1 PARTITION OF notes FOR VALUES FROM (0) TO (10)",
    );
    let before = definitions(&target);
    Outcome::of(&mut migrate(&source, &target)).expect(0);
    assert_eq!(before, definitions(&target));
}

#[apply(test)]
fn of_two_moves_at_once_one_wins_and_the_other_is_refused() {
    let (source, target) = source_and_target();
    insert_many(&source, 50, 10_000, NOW_US);
    let runs = [(); 2].map(|()| Running::start(&source, &arguments(&target)));
    let mut codes = runs.map(|run| run.finish().code);
    codes.sort_unstable();
    assert_eq!(codes, [Some(0), Some(7)]);
    assert_eq!(target.count("llm_interactions"), 50);
}

#[apply(test)]
fn a_link_to_the_source_leads_to_its_left_over_wal() {
    let target = Database::postgresql();
    let source = with_left_over_wal();
    let links = tempfile::tempdir().expect("a temporary directory");
    let link = links.path().join("history.db");
    std::os::unix::fs::symlink(source.file(), &link).expect("a link can be made");
    let mut command = bare_tarsy_db(links.path());
    command.args(["migrate-sqlite-to-postgres", "--from", "history.db", "--to", target.url()]);
    Outcome::of(&mut command).expect(0);
    assert_eq!(target.count("alert_sessions"), source.count("alert_sessions"));
}
