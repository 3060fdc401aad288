//! `prune --archive`: every value is in the archive as it was, or its session stays.

use crate::support::archive::prune_into;
use crate::support::column::{BIGINT, DOUBLE, INTEGER, JSON, JSONB, TEXT};
use crate::support::history::{NOW_US, OLD_US, columns, contents, insert_session, rows, session_ids, values};
use crate::support::migration::migrate;
use crate::support::{Database, Outcome, Schema, apply, tarsy_db, test};

/// Gives a database one old session for each value, named by its place.
fn fill(database: &Database, samples: &[((&str, &str), &str)]) {
    database.create_schema(Schema::Baseline);
    for (number, ((table, column), value)) in samples.iter().enumerate() {
        insert_session(database, &number.to_string(), "completed", Some(OLD_US));
        database.execute(&format!("UPDATE {table} SET {column} = {value} WHERE session_id = '{number}'"));
    }
}

/// What a file can hold, also where a column is of another type.
const ON_SQLITE: [((&str, &str), &str); 28] = [
    // Invalid UTF-8, NUL in the middle and at the end, no text at all.
    (TEXT, "CAST(X'ff61c328' AS TEXT)"),
    (TEXT, "CAST(X'610062' AS TEXT)"),
    (TEXT, "CAST(X'00' AS TEXT)"),
    (TEXT, "CAST(X'ff00' AS TEXT)"),
    (TEXT, "''"),
    (TEXT, "NULL"),
    (TEXT, "X'00ff61'"),
    (TEXT, "X''"),
    (TEXT, "'it''s $1 ?1 \"q\" \\'"),
    (TEXT, "char(128640, 65279, 1114111)"),
    (TEXT, "'0012'"),
    (TEXT, "replace(hex(zeroblob(3000000)), '00', 'xy')"),
    (("alert_sessions", "chain_id"), "CAST(X'ff' AS TEXT)"),
    (JSON, "'1'"),
    (JSON, "'1.5'"),
    (JSON, "'-9223372036854775808'"),
    (JSON, "'1e300'"),
    (JSON, "'true'"),
    (JSON, "'null'"),
    (JSON, "NULL"),
    (JSON, "'no JSON'"),
    (JSON, "CAST(X'7bff7d' AS TEXT)"),
    (JSON, "X'7b7d'"),
    (JSONB, "' {\"a\":  1.50} '"),
    (DOUBLE, "9e999"),
    (DOUBLE, "-5e-324"),
    (DOUBLE, "'text'"),
    (INTEGER, "1.5"),
];

#[apply(test)]
fn a_file_holds_in_its_archive_what_it_held() {
    let database = Database::sqlite();
    fill(&database, &ON_SQLITE);
    let (before, archive) = (contents(&database), Database::sqlite());
    prune_into(&database, &archive, &[]).expect(0);
    assert_eq!(database.count("alert_sessions"), 0);
    for (before, after) in before.iter().zip(contents(&archive)) {
        assert!(*before == after, "{before:.300}\n{after:.300}");
    }
    assert_eq!(contents(&archive).len(), before.len());
}

/// What PostgreSQL holds, and a file as well: `json` keeps every byte, `jsonb` the value.
const ON_POSTGRESQL: [((&str, &str), &str); 24] = [
    (TEXT, "''"),
    (TEXT, "NULL"),
    (TEXT, "'it''s $1 ?1 \"q\" \\'"),
    (TEXT, "U&'\\+01F680\\FEFF\\+10FFFF\\0001'"),
    (TEXT, "'0012'"),
    (TEXT, "repeat('xy', 3000000)"),
    (JSON, "'1'"),
    (JSON, "'-9223372036854775808'"),
    (JSON, "'true'"),
    (JSON, "'null'"),
    (JSON, "NULL"),
    (JSON, "'\"1\"'"),
    (JSON, "' {\"b\": 1,  \"a\": 2, \"b\" :3}'"),
    (JSON, "'[1e400]'"),
    (JSONB, "'7'"),
    (JSONB, "'null'"),
    (JSONB, "NULL"),
    (JSONB, "'[1E+2, 1.50, 1e400]'"),
    (DOUBLE, "'Infinity'"),
    (DOUBLE, "'-Infinity'"),
    (DOUBLE, "5e-324"),
    (DOUBLE, "0.1"),
    (BIGINT, "-9223372036854775808"),
    (INTEGER, "-2147483648"),
];

#[apply(test)]
fn a_server_gets_back_from_the_archive_what_it_held() {
    let database = Database::postgresql();
    fill(&database, &ON_POSTGRESQL);
    // The target needs a row, or it is no append.
    insert_session(&database, "new", "completed", Some(NOW_US));
    let (before, archive) = (contents(&database), Database::sqlite());
    prune_into(&database, &archive, &[]).expect(0);
    assert_eq!(session_ids(&database), ["new"]);
    Outcome::of(tarsy_db(&archive).args(["check", "--deep"])).expect(0);
    Outcome::of(migrate(&archive, &database).arg("--append")).expect(0);
    let after = contents(&database);
    for (before, after) in before.iter().zip(&after) {
        assert!(before == after, "{before:.300}\n{after:.300}");
    }
    assert_eq!(after.len(), before.len());
}

#[apply(test)]
fn what_no_file_can_hold_stays_and_is_listed() {
    let database = Database::postgresql();
    fill(
        &database,
        &[
            (DOUBLE, "'NaN'"),
            (DOUBLE, "'-0'"),
            // A bare number becomes one, which is written in another way.
            (JSON, "'1.50'"),
            (JSON, "'1e3'"),
            (JSON, "' 1'"),
            (JSON, "'12345678901234567890'"),
            (DOUBLE, "0"),
        ],
    );
    let columns = columns(&database);
    let (before, archive) = (values(&database, &columns), Database::sqlite());
    let pruned = prune_into(&database, &archive, &[]).expect(65).json();
    assert_eq!(session_ids(&database), ["0", "1", "2", "3", "4", "5"]);
    assert_eq!(session_ids(&archive), ["6"]);
    let reasons = pruned["stuck"].as_array().expect("a list").iter().map(|stuck| stuck["reason"].to_string());
    for (number, reason) in reasons.enumerate() {
        let column = if number < 2 { "`temperature`" } else { "`tool_result`" };
        let key = if number < 2 { "llm_interactions llm-" } else { "mcp_communications mcp-" };
        assert!(reason.contains(column) && reason.contains(&format!("{key}{number}: ")), "{reason}");
    }
    let after = values(&database, &columns);
    assert_eq!(after.len(), 4 * 6);
    assert!(after.iter().all(|row| before.contains(row)));
}

#[apply(test)]
fn a_session_of_many_chunks_is_in_the_archive_as_it_was(database: &Database) {
    database.create_schema(Schema::Baseline);
    insert_session(database, "many", "completed", Some(OLD_US));
    let (repeated, cast) = match database.is_sqlite() {
        true => ("replace(hex(zeroblob(size)), '00', 'x')", ""),
        false => ("repeat('x', size)", "::jsonb"),
    };
    // Two rows are larger than what is written at once, one even than what is removed meanwhile.
    database.execute(&format!(
        r#"INSERT INTO llm_interactions (interaction_id, session_id, duration_ms, success, model_name, conversation)
           WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 3000),
               sizes AS (SELECT n, CASE n WHEN 1000 THEN 400000 WHEN 2000 THEN 3000000 ELSE 10 END AS size FROM numbers)
           SELECT 'l-' || n, 'many', 1, true, 'gemini', ('{{"n": ' || n || ', "x": "' || {repeated} || '"}}'){cast} FROM sizes"#
    ));
    let (before, archive) = (rows(database), Database::sqlite());
    let pruned = prune_into(database, &archive, &[]).expect(0).json();
    assert_eq!(pruned["removed"]["rows"]["llm_interactions"], 3001, "{pruned:#}");
    assert_eq!(session_ids(database).len(), 0);
    assert!(rows(&archive) == before);
}
