//! `migrate-sqlite-to-postgres`: all obstacles on the target are listed before the first row is copied.

use std::time::Duration;

use tarsy_db::internals::{Access, ObstacleKind, ObstacleSeverity, Operation, PoolLimits, TargetTables, look, open};

use crate::support::baseline;
use crate::support::cases::each;
use crate::support::database::block_on;
use crate::support::history::{NOW_US, insert_session};
use crate::support::migration::{migrate, migrate_to, one_session_and_nothing, one_session_and_target};
use crate::support::obstacle::{grant_everyday_rights, is_listed, migrate_as, obstacles};
use crate::support::process::Held;
use crate::support::role::give_tables_to;
use crate::support::server::Server;
use crate::support::{Database, Outcome, Role, Schema, apply, bare_tarsy_db, test};

#[apply(test)]
fn all_obstacles_are_listed_at_once() {
    let (source, target) = one_session_and_target();
    insert_session(&target, "theirs", "completed", Some(NOW_US));
    target.execute(
        "ALTER TABLE llm_interactions SET UNLOGGED;
         ALTER TABLE stage_executions ADD COLUMN ours int;
         UPDATE stage_executions SET ours = 1; ALTER TABLE stage_executions ALTER ours SET NOT NULL",
    );
    let role = Role::new(&target);
    target.execute(&format!("ALTER ROLE {} SET default_transaction_read_only = on", role.name));
    target.execute(&format!("REVOKE TEMPORARY ON DATABASE {} FROM PUBLIC", target.name()));
    target.execute(&format!("GRANT SELECT ON ALL TABLES IN SCHEMA public TO {}", role.name));
    target.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC");
    let before = baseline::listing(&target);
    let refused = migrate_as(&source, &role).expect(7);
    let tables = "alert_sessions, llm_interactions, mcp_communications, stage_executions";
    let mut expected = vec![
        ("read_only", "the database"),
        ("privilege", "schema public"),
        ("privilege", "the database"),
        ("privilege", tables),
        ("unlogged", "llm_interactions"),
        ("column", "stage_executions.ours"),
    ];
    expected.extend(tables.split(", ").map(|table| ("rows", table)));
    let expected: Vec<_> = expected.iter().map(|(kind, object)| ((*kind).to_owned(), (*object).to_owned())).collect();
    assert_eq!(obstacles(&refused), expected);
    assert_eq!(baseline::listing(&target), before);
    // For people, the tables with rows are one problem.
    let arguments = ["migrate-sqlite-to-postgres", "--from", "history.db", "--to", &role.url()];
    let shown = Outcome::of(bare_tarsy_db(source.directory()).args(arguments)).expect(7).stderr;
    for line in [
        "the target cannot take the data: 7 problems; nothing was changed",
        "  - schema public cannot be used by role",
        ", stage_executions holds 1 row; a move needs empty tables",
    ] {
        assert!(shown.contains(line), "no `{line}` in {shown}");
    }
}

#[apply(test)]
fn a_source_that_leaves_no_number_for_the_next_event_is_refused() {
    let source = Database::sqlite().with_schema(Schema::Head);
    source
        .execute("INSERT INTO events (id, channel, payload, created_at) VALUES (1, 'c', '{}', '2026-01-01 00:00:00')");
    let to = |number: i64| source.execute(&format!("UPDATE events SET id = {number}"));
    let target = Database::postgresql();
    to(2_147_483_647);
    let empty = baseline::listing(&target);
    for flags in [&[][..], &["--dry-run"], &["--append"]] {
        let refused = Outcome::of(migrate(&source, &target).args(flags)).expect(7);
        is_listed(&refused, "sequence", "events.id", &["goes up to 2147483647 in the source", "smaller ones"]);
        assert_eq!(baseline::listing(&target), empty);
    }
    to(2_147_483_646);
    let warned = Outcome::of(migrate(&source, &target).arg("--dry-run")).expect(0).json();
    assert_eq!(warned["warnings"][0]["kind"], "sequence", "{warned:#}");
    to(1);
    Outcome::of(&mut migrate(&source, &target)).expect(0);
    to(2_147_483_647);
    Outcome::of(migrate(&source, &target).arg("--append")).expect(7);
    target.execute("INSERT INTO events (channel) VALUES ('theirs')");
}

#[apply(test)]
fn privileges_alone_are_77() {
    let (source, target) = one_session_and_nothing();
    target.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC");
    target.execute(&format!("REVOKE TEMPORARY ON DATABASE {} FROM PUBLIC", target.name()));
    let role = Role::new(&target);
    let name = &role.name;
    let listed = |outcome: &Outcome| obstacles(outcome).into_iter().map(|(_, object)| object).collect::<Vec<_>>();
    assert_eq!(listed(&migrate_as(&source, &role).expect(77)), ["schema public", "the database"]);
    target.execute(&format!("GRANT TEMPORARY ON DATABASE {} TO {name}", target.name()));
    let closed = migrate_as(&source, &role).expect(77);
    is_listed(&closed, "privilege", "schema public", &["permission denied", "GRANT CREATE ON SCHEMA public TO"]);
    target.execute("REVOKE USAGE ON SCHEMA public FROM PUBLIC");
    is_listed(&migrate_as(&source, &role).expect(77), "privilege", "the search path", &["GRANT USAGE, CREATE"]);
    target.execute("GRANT USAGE ON SCHEMA public TO PUBLIC");
}

#[apply(test)]
fn a_role_that_may_only_write_rows_cannot_drop_indexes() {
    let (source, target) = one_session_and_target();
    let role = Role::new(&target);
    let name = &role.name;
    target.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC");
    target.execute(&format!(
        "GRANT ALL ON ALL TABLES IN SCHEMA public TO {name}; GRANT CREATE ON SCHEMA public TO {name};
         CREATE ROLE {name}_owner"
    ));
    give_tables_to(&target, &format!("{name}_owner"));
    let tables = "alert_sessions, llm_interactions, mcp_communications, stage_executions";
    let owner = format!("GRANT {name}_owner TO {name}");
    is_listed(&migrate_as(&source, &role).expect(77), "privilege", tables, &["permission denied", &owner]);
    // A member of the owner role can, unless a table of another owner has a foreign key to TARSy's.
    target.execute(&format!("{owner}; CREATE TABLE notes (session varchar REFERENCES alert_sessions)"));
    is_listed(&migrate_as(&source, &role).expect(77), "privilege", "notes", &["permission denied"]);
    target.execute(&format!("ALTER TABLE notes OWNER TO {name}_owner"));
    // Without CREATE on the schema the owner of a table cannot create an index on it.
    target.execute(&format!("REVOKE CREATE ON SCHEMA public FROM {name}"));
    is_listed(&migrate_as(&source, &role).expect(77), "privilege", "schema public", &["GRANT CREATE"]);
    target.execute(&format!("GRANT CREATE ON SCHEMA public TO {name}"));
    target.execute(&format!("REVOKE ALL ON alembic_version FROM {name}, {name}_owner"));
    is_listed(&migrate_as(&source, &role).expect(77), "privilege", "alembic_version", &["GRANT SELECT"]);
    target.execute(&format!("GRANT SELECT ON alembic_version TO {name}_owner"));
    target.execute(&format!("REVOKE TRUNCATE, INSERT ON alert_sessions FROM {name}, {name}_owner"));
    is_listed(&migrate_as(&source, &role).expect(77), "privilege", "alert_sessions", &["GRANT INSERT, TRUNCATE"]);
    target.execute(&format!("GRANT TRUNCATE, INSERT ON alert_sessions TO {name}"));
    assert_eq!(migrate_as(&source, &role).expect(0).worries(), [""; 0]);
    target.execute(&format!("DROP OWNED BY {name}_owner CASCADE; DROP ROLE {name}_owner"));
}

#[apply(test)]
fn a_sequence_that_cannot_be_set_is_named() {
    let (source, target) = one_session_and_nothing();
    Outcome::of(bare_tarsy_db(source.directory()).args(["init", "--to", "head"]).env("DATABASE_URL", source.url()))
        .expect(0);
    Outcome::of(bare_tarsy_db(source.directory()).args(["init", "--to", "head"]).env("DATABASE_URL", target.url()))
        .expect(0);
    let role = Role::new(&target);
    let name = &role.name;
    target.execute(&format!(
        "CREATE ROLE {name}_owner; GRANT {name}_owner TO {name}; GRANT CREATE ON SCHEMA public TO {name}"
    ));
    give_tables_to(&target, &format!("{name}_owner"));
    target.execute(&format!("REVOKE UPDATE ON SEQUENCE events_id_seq FROM {name}_owner"));
    is_listed(&migrate_as(&source, &role).expect(77), "privilege", "events_id_seq", &["GRANT UPDATE ON SEQUENCE"]);
    target.execute(&format!("GRANT UPDATE ON SEQUENCE events_id_seq TO {name}"));
    migrate_as(&source, &role).expect(0);
    target.execute(&format!("DROP OWNED BY {name}_owner CASCADE; DROP ROLE {name}_owner"));
}

#[apply(test)]
fn a_database_that_takes_no_writes_is_69() {
    let (source, target) = one_session_and_target();
    target.execute(&format!("ALTER DATABASE {} SET default_transaction_read_only = on", target.name()));
    let refused = Outcome::of(&mut migrate(&source, &target)).expect(69);
    let advice = format!("ALTER DATABASE {} RESET default_transaction_read_only", target.name());
    is_listed(&refused, "read_only", "the database", &[&advice]);
}

#[apply(test)]
fn a_standby_is_69() {
    let server = Server::start(&[]);
    let source = Database::sqlite().with_schema(Schema::Baseline);
    server.stop("fast");
    server.become_standby();
    server.run();
    let refused = Outcome::of(&mut migrate_to(&source, &server.url("postgres"))).expect(69);
    is_listed(&refused, "standby", "the server", &["connect to the primary"]);
}

#[apply(test)]
fn what_has_the_name_of_a_table_is_named_as_what_it_is() {
    let cases = [
        ("CREATE VIEW alert_sessions AS SELECT 1 AS one", "view alert_sessions"),
        ("CREATE MATERIALIZED VIEW stage_executions AS SELECT 1 AS one", "materialized view stage_executions"),
        ("CREATE SEQUENCE llm_interactions", "sequence llm_interactions"),
        ("CREATE TABLE t (a int); CREATE INDEX mcp_communications ON t (a)", "index mcp_communications"),
        ("CREATE TYPE alert_sessions AS (one int)", "composite type alert_sessions"),
        ("CREATE DOMAIN alert_sessions AS int", "type alert_sessions"),
        ("CREATE TYPE alembic_version AS ENUM ('one')", "type alembic_version"),
        ("CREATE VIEW alembic_version AS SELECT 1 AS one", "view alembic_version"),
        (
            "CREATE TABLE alert_sessions (started_at_us bigint) PARTITION BY RANGE (started_at_us)",
            "partitioned table alert_sessions",
        ),
        (
            "CREATE FOREIGN DATA WRAPPER w; CREATE SERVER s FOREIGN DATA WRAPPER w;
             CREATE FOREIGN TABLE alert_sessions (a int) SERVER s",
            "foreign table alert_sessions",
        ),
    ];
    each(cases, |(sql, object)| {
        let (source, target) = one_session_and_nothing();
        target.execute(sql);
        is_listed(
            &Outcome::of(&mut migrate(&source, &target)).expect(7),
            "name",
            object,
            &["rename it"][..usize::from(!object.starts_with("partitioned"))],
        );
    });
}

#[apply(test)]
fn tables_that_cannot_be_loaded_as_they_are_are_refused() {
    let cases = [
        (
            "ALTER TABLE alert_sessions ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY",
            "row_security",
            "alert_sessions",
            "NO FORCE ROW LEVEL SECURITY",
        ),
        ("ALTER TABLE alert_sessions ADD COLUMN ours int NOT NULL", "column", "alert_sessions.ours", "DROP NOT NULL"),
        (
            "ALTER TABLE alert_sessions DROP COLUMN error_message,
                 ADD COLUMN error_message varchar GENERATED ALWAYS AS (status) STORED",
            "column",
            "alert_sessions.error_message",
            "DROP EXPRESSION",
        ),
        (
            "DO $$ BEGIN EXECUTE (SELECT format('CREATE TABLE whole (LIKE mcp_communications) PARTITION BY LIST (%I)',
                 'communication_id')); END $$;
             ALTER TABLE whole ATTACH PARTITION mcp_communications DEFAULT",
            "inheritance",
            "mcp_communications",
            "DETACH PARTITION",
        ),
        ("ALTER TABLE mcp_communications SET UNLOGGED", "unlogged", "mcp_communications", "SET LOGGED"),
    ];
    each(cases, |(sql, kind, object, words)| {
        let (source, target) = one_session_and_target();
        let role = Role::new(&target);
        target.execute(sql);
        grant_everyday_rights(&target, &role);
        give_tables_to(&target, &role.name);
        let code = if kind == "row_security" { 77 } else { 7 };
        is_listed(&migrate_as(&source, &role).expect(code), kind, object, &[words]);
    });
}

#[apply(test)]
fn sessions_that_use_the_tables_are_named_before_the_wait() {
    let (source, target) = one_session_and_target();
    let reader = Held::begin(&target, "SET application_name = 'the reader'; SELECT count(*) FROM alert_sessions");
    let mut command = migrate(&source, &target);
    let refused = Outcome::of(command.args(["--lock-timeout", "200ms"])).expect(75);
    for words in ["application `the reader`, idle in transaction, for ", ") locks alert_sessions"] {
        assert!(refused.stderr.contains(words), "no `{words}` in {}", refused.stderr);
    }
    // A role with fewer rights sees less.
    let role = Role::new(&target);
    grant_everyday_rights(&target, &role);
    let refused = migrate_as(&source, &role).expect(77);
    assert!(
        refused.stderr.contains("(role postgres, application `the reader`) locks alert_sessions"),
        "{}",
        refused.stderr
    );
    reader.close();
    assert_eq!(Outcome::of(&mut migrate(&source, &target)).expect(0).worries(), [""; 0]);
}

#[apply(test)]
fn a_prepared_transaction_is_75_and_named() {
    let server = Server::start(&["max_prepared_transactions = 2"]);
    let target = Database::on(&server.url("postgres")).with_schema(Schema::Baseline);
    let source = Database::sqlite().with_schema(Schema::Baseline);
    target.execute("BEGIN; LOCK TABLE alert_sessions IN ROW EXCLUSIVE MODE; PREPARE TRANSACTION 'left over'");
    let refused = Outcome::of(&mut migrate(&source, &target)).expect(75);
    let words = ["locks alert_sessions", "ROLLBACK PREPARED 'left over'"];
    is_listed(&refused, "prepared", "the prepared transaction `left over`", &words);
    target.execute("ROLLBACK PREPARED 'left over'");
    Outcome::of(&mut migrate(&source, &target)).expect(0);
}

#[apply(test)]
fn an_encoding_that_cannot_hold_every_text_is_78() {
    let (source, target) = one_session_and_nothing();
    let name = format!("{}_latin1", target.name());
    target.execute(&format!("CREATE DATABASE {name} ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0"));
    let refused = Outcome::of(&mut migrate_to(&source, &target.url().replace(target.name(), &name))).expect(78);
    target.execute(&format!("DROP DATABASE {name} WITH (FORCE)"));
    is_listed(&refused, "encoding", "the database", &["LATIN1", "UTF8"]);
}

#[apply(test)]
fn a_schema_of_the_roles_own_and_a_view_elsewhere_are_no_obstacles() {
    let (source, target) = one_session_and_target();
    let role = Role::new(&target);
    grant_everyday_rights(&target, &role);
    give_tables_to(&target, &role.name);
    target.execute(&format!(
        "CREATE SCHEMA AUTHORIZATION {name}; CREATE SCHEMA elsewhere; CREATE VIEW elsewhere.alert_sessions AS SELECT 1 AS a;
         ALTER ROLE {name} SET search_path = \"$user\", public, elsewhere",
        name = role.name
    ));
    assert_eq!(migrate_as(&source, &role).expect(0).worries(), [""; 0]);
    assert_eq!(target.number("SELECT count(*) FROM public.llm_interactions"), 1);
    assert_eq!(target.number(&format!("SELECT count(*) FROM pg_tables WHERE schemaname = '{}'", role.name)), 0);
    // A view that hides the table is an obstacle.
    target.execute(&format!("CREATE VIEW {}.stage_executions AS SELECT 1 AS a", role.name));
    let refused = migrate_as(&source, &role).expect(7);
    let view = ("name".to_owned(), "view stage_executions".to_owned());
    assert!(obstacles(&refused).contains(&view), "{}", refused.stdout);
    target.execute(&format!("DROP VIEW {}.stage_executions", role.name));
}

#[apply(test)]
fn the_room_on_the_servers_disk_is_known_where_it_runs_here_and_says_where() {
    const EXABYTE: u64 = 1_000_000_000_000_000_000;
    let server = Server::start(&[]);
    let target = Database::on(&server.url("postgres")).with_schema(Schema::Baseline);
    let role = Role::new(&target);
    let looked = |url: &str, need: u64| {
        block_on(async {
            let url = url.parse().expect("a URL");
            let connection =
                open(&url, Access::Read, PoolLimits::ONE, Duration::from_secs(5)).await.expect("a connection");
            let found =
                look(&connection, Operation::Move, &TargetTables::default(), Some(need)).await.expect("it may look");
            found.into_iter().filter(|obstacle| obstacle.kind == ObstacleKind::Disk).collect::<Vec<_>>()
        })
    };
    let [obstacle] = &looked(target.url(), EXABYTE)[..] else { panic!("one obstacle") };
    assert_eq!(obstacle.weight, ObstacleSeverity::Refusal);
    assert!(
        obstacle.what.contains("the history may need about 888.2 PiB, 1.0 GiB of it for the write-ahead log"),
        "{obstacle}"
    );
    assert_eq!(looked(target.url(), 1000), []);
    // This role may not read the path of the data directory.
    assert_eq!(looked(&role.url(), EXABYTE), []);
    target.execute(&format!("GRANT pg_read_all_settings TO {}", role.name));
    assert_eq!(looked(&role.url(), EXABYTE).len(), 1);
}
