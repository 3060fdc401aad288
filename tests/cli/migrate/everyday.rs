//! `migrate-sqlite-to-postgres`: settings of a role or a database neither abort nor distort a load, and obstacles that
//! do not prevent it are warnings.

use crate::support::cases::each;
use crate::support::history::{NOW_US, insert_whole_sessions};
use crate::support::migration::{migrate, one_session_and_nothing, one_session_and_target};
use crate::support::obstacle::{grant_everyday_rights, is_listed, migrate_as};
use crate::support::role::give_tables_to;
use crate::support::server::{PASSWORD, Server};
use crate::support::{Database, Outcome, Role, Schema, apply, run_at, test};

#[apply(test)]
fn an_ordinary_database_causes_no_warning() {
    let (source, target) = one_session_and_nothing();
    let fresh = Outcome::of(&mut migrate(&source, &target)).expect(0);
    assert_eq!(fresh.worries(), [""; 0]);
    let prepared = target.another().with_schema(Schema::Baseline);
    assert_eq!(Outcome::of(&mut migrate(&source, &prepared)).expect(0).worries(), [""; 0]);
    // As a separate role, which owns only what it creates.
    let target = target.another();
    let role = Role::new(&target);
    grant_everyday_rights(&target, &role);
    assert_eq!(migrate_as(&source, &role).expect(0).worries(), [""; 0]);
    // As the owner of the prepared tables.
    target.execute("TRUNCATE alert_sessions, stage_executions, llm_interactions, mcp_communications");
    assert_eq!(migrate_as(&source, &role).expect(0).worries(), [""; 0]);
    assert_eq!(target.count("mcp_communications"), 1);
}

#[apply(test)]
fn the_url_for_the_backend_is_as_protected_as_that_of_the_move() {
    let (source, target) = one_session_and_nothing();
    let moved = |url: &str| {
        let file = source.file().display().to_string();
        run_at(url, &["migrate-sqlite-to-postgres", "--from", &file]).expect(0).stdout
    };
    let parameters = "sslmode=prefer&channel_binding=prefer&target_session_attrs=read-write&options=-c%20a.b%3Dc";
    let login = format!("postgresql://postgres:{PASSWORD}@");
    let (port, name) = (target.port(), target.name());
    let printed = moved(&format!("{login}127.0.0.1:{port}/{name}?{parameters}"));
    let url = format!("postgresql://postgres@127.0.0.1:{port}/{name}?{parameters}");
    assert!(printed.contains(&format!("next: set DATABASE_URL='{url}', with the password")), "{printed}");
    // Which the backend does not read.
    let target = target.another();
    let (port, name) = (target.port(), target.name());
    let printed = moved(&format!("{login}127.0.0.1:{port},127.0.0.1:{port}/{name}"));
    let url = format!("postgresql://postgres@/{name}?host=127.0.0.1,127.0.0.1&port={port},{port}");
    assert!(printed.contains(&format!("next: set DATABASE_URL='{url}', ")), "{printed}");
}

#[apply(test)]
fn a_policy_that_does_not_concern_the_role_and_columns_that_fill_themselves_are_no_obstacles() {
    let (source, target) = one_session_and_target();
    target.execute(
        "ALTER TABLE alert_sessions ENABLE ROW LEVEL SECURITY, ADD COLUMN ours int NOT NULL DEFAULT 7,
             ADD COLUMN number int GENERATED ALWAYS AS IDENTITY, ADD COLUMN free int,
             ADD COLUMN upper varchar NOT NULL GENERATED ALWAYS AS (upper(status)) STORED;
         CREATE FUNCTION ours() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION $$ours$$; END';
         CREATE TRIGGER disabled BEFORE INSERT ON alert_sessions FOR EACH ROW EXECUTE FUNCTION ours();
         CREATE TRIGGER replica BEFORE INSERT ON alert_sessions FOR EACH ROW EXECUTE FUNCTION ours();
         CREATE TRIGGER on_update BEFORE UPDATE OR DELETE ON alert_sessions FOR EACH ROW EXECUTE FUNCTION ours();
         ALTER TABLE alert_sessions DISABLE TRIGGER disabled, ENABLE REPLICA TRIGGER replica",
    );
    assert_eq!(Outcome::of(&mut migrate(&source, &target)).expect(0).worries(), [""; 0]);
    assert_eq!(target.texts("SELECT upper || ours || number FROM alert_sessions"), [Some("COMPLETED71".to_owned())]);
}

#[apply(test)]
fn warnings_are_shown_and_the_history_is_moved() {
    const FUNCTION: &str = "CREATE FUNCTION ours() RETURNS trigger LANGUAGE plpgsql SET search_path = public
        AS 'BEGIN RETURN NEW; END'; CREATE FUNCTION positive(int) RETURNS bool IMMUTABLE LANGUAGE sql AS 'SELECT $1 > 0';";
    let cases = [
        (
            "CREATE TRIGGER ours BEFORE INSERT ON alert_sessions FOR EACH ROW EXECUTE FUNCTION ours()",
            ["alert_sessions has the trigger `ours` (before insert, for each row)", "DISABLE TRIGGER ours"],
        ),
        (
            "CREATE TRIGGER ours AFTER TRUNCATE ON alert_sessions EXECUTE FUNCTION ours()",
            ["the trigger `ours` (after truncate)", "also fires for these old rows"],
        ),
        (
            // If it fired at the commit, it would block ALTER TABLE and come after the comparison.
            "CREATE CONSTRAINT TRIGGER ours AFTER INSERT ON llm_interactions DEFERRABLE INITIALLY DEFERRED
             FOR EACH ROW EXECUTE FUNCTION ours()",
            ["llm_interactions has the trigger `ours` (after insert, for each row)", "also fires for these old rows"],
        ),
        (
            "CREATE TRIGGER ours AFTER INSERT ON llm_interactions EXECUTE FUNCTION ours();
             ALTER TABLE llm_interactions ENABLE ALWAYS TRIGGER ours",
            ["llm_interactions has the trigger `ours` (after insert, once)", "DISABLE TRIGGER ours"],
        ),
        (
            "CREATE TABLE log (a int); CREATE RULE ours AS ON INSERT TO chats DO ALSO INSERT INTO log VALUES (1)",
            ["chats has the rule `ours`, which COPY does not run", "by hand"],
        ),
        (
            "CREATE FUNCTION noted() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';
             CREATE EVENT TRIGGER ours ON sql_drop EXECUTE FUNCTION noted()",
            ["event trigger ours fires", "ALTER EVENT TRIGGER ours DISABLE"],
        ),
        (
            "ALTER TABLE llm_interactions ADD CONSTRAINT ours CHECK (duration_ms >= 0)",
            ["llm_interactions has a constraint of your own", "duration_ms >= 0"],
        ),
        (
            "CREATE INDEX ours ON llm_interactions (positive(duration_ms))",
            ["function positive is called for index `ours` and has no search_path", "ALTER FUNCTION positive"],
        ),
        (
            "ALTER TABLE llm_interactions ADD CONSTRAINT ours CHECK (positive(duration_ms) IS NOT NULL),
                 ADD COLUMN ours bool DEFAULT positive(1)",
            ["positive is called for column `llm_interactions.ours`, constraint `ours` and", "ALTER FUNCTION positive"],
        ),
        ("CREATE PUBLICATION ours FOR TABLE chats", ["publication ours sends the loaded rows", "chats"]),
        ("CREATE PUBLICATION ours FOR ALL TABLES", ["publication ours sends the loaded rows", "all tables"]),
        (
            "CREATE TABLE child () INHERITS (mcp_communications)",
            ["mcp_communications has the child table child", "NO INHERIT mcp_communications"],
        ),
        (
            "CREATE TABLE parent (LIKE mcp_communications INCLUDING DEFAULTS); ALTER TABLE mcp_communications INHERIT parent",
            ["mcp_communications inherits from parent", "NO INHERIT parent"],
        ),
        (
            "CREATE SCHEMA other; CREATE TABLE other.alert_sessions (a int)",
            ["other.alert_sessions is not used: rows are written to the tables in schema public", "search_path"],
        ),
        (
            "CREATE SCHEMA other; ALTER TABLE events SET SCHEMA other; ALTER ROLE CURRENT_USER IN DATABASE {database}
                 SET search_path = public, other",
            ["events is in another schema than the other tables, which are in schema public", "search_path"],
        ),
        (
            "CREATE SUBSCRIPTION ours CONNECTION 'dbname=nowhere' PUBLICATION theirs
                 WITH (connect = false, slot_name = NONE);
             INSERT INTO pg_subscription_rel (srsubid, srrelid, srsubstate)
             SELECT oid, 'alert_sessions'::regclass, 'r' FROM pg_subscription WHERE subname = 'ours'",
            ["subscription ours writes rows of another database to alert_sessions", "DISABLE"],
        ),
    ];
    let source = Database::sqlite().with_schema(Schema::Head);
    insert_whole_sessions(&source, 1, NOW_US);
    each(cases, |(sql, words)| {
        let target = Database::postgresql().with_schema(Schema::Head);
        target.execute(FUNCTION);
        target.execute(&sql.replace("{database}", target.name()));
        Outcome::of(&mut migrate(&source, &target)).expect(0).tells(&words);
        assert_eq!(target.number("SELECT count(*) FROM ONLY llm_interactions"), 1, "{sql}");
        if sql.contains("SUBSCRIPTION") {
            target.execute("DROP SUBSCRIPTION ours");
        }
    });
}

#[apply(test)]
fn a_deferred_trigger_that_alters_a_value_is_found_as_any_other() {
    let (source, target) = one_session_and_target();
    target.execute(
        "CREATE FUNCTION late() RETURNS trigger LANGUAGE plpgsql SET search_path = public AS $$ BEGIN
             UPDATE alert_sessions SET agent_type = 'late'; RETURN NULL; END $$;
         CREATE CONSTRAINT TRIGGER late AFTER INSERT ON alert_sessions DEFERRABLE INITIALLY DEFERRED
         FOR EACH ROW EXECUTE FUNCTION late()",
    );
    let found = Outcome::of(&mut migrate(&source, &target)).expect(8);
    assert!(found.stdout.contains("one: agent_type"), "{}", found.stdout);
    assert_eq!(target.count("alert_sessions"), 0);
}

#[apply(test)]
fn a_commit_that_may_wait_for_a_standby_is_a_warning() {
    // Without a synchronous commit there is no warning.
    let server = Server::start(&["synchronous_standby_names = 'elsewhere'", "synchronous_commit = local"]);
    let target = Database::on(&server.url("postgres"));
    let (source, name) = (Database::sqlite().with_schema(Schema::Baseline), target.name());
    assert_eq!(Outcome::of(&mut migrate(&source, &target)).expect(0).worries(), [""; 0]);
    target.execute(&format!("ALTER DATABASE {name} SET temp_file_limit = '1MB'"));
    Outcome::of(&mut migrate(&source, &target)).expect(0).tells(&["`temp_file_limit` is 1MB", "ALTER DATABASE"]);
    target.execute(&format!("ALTER DATABASE {name} SET synchronous_commit = on"));
    target.execute("SET synchronous_commit = local; INSERT INTO alert_sessions (session_id, alert_id, agent_type, status, chain_id) VALUES ('one', 'a', 'k', 's', 'c')");
    // It is refused for its rows; otherwise it would wait.
    let refused = Outcome::of(&mut migrate(&source, &target)).expect(7);
    assert!(refused.stderr.contains("`synchronous_standby_names` is `elsewhere`"), "{}", refused.stderr);
}

#[apply(test)]
fn limits_and_defaults_of_the_role_do_not_end_the_load() {
    let (source, target) = one_session_and_target();
    let role = Role::new(&target);
    let name = &role.name;
    let transaction_timeout = "SELECT count(*) FROM pg_settings WHERE name = 'transaction_timeout'";
    if target.number(transaction_timeout) == 1 {
        target.execute(&format!("ALTER ROLE {name} SET transaction_timeout = '2s'"));
    }
    // Loading one row takes longer than every timeout.
    target.execute(&format!(
        "GRANT CREATE ON SCHEMA public TO {name};
         ALTER ROLE {name} SET statement_timeout = '2s';
         ALTER ROLE {name} SET idle_in_transaction_session_timeout = '2s';
         ALTER ROLE {name} SET idle_session_timeout = '2s';
         ALTER ROLE {name} SET default_transaction_isolation = 'serializable';
         ALTER ROLE {name} SET default_transaction_deferrable = on;
         ALTER ROLE {name} SET default_table_access_method = 'heap';
         ALTER ROLE {name} SET synchronous_commit = off;
         ALTER ROLE {name} SET row_security = off;
         ALTER ROLE {name} SET bytea_output = 'escape';
         ALTER ROLE {name} SET \"DateStyle\" = 'German';
         ALTER ROLE {name} SET \"TimeZone\" = 'Asia/Kathmandu';
         ALTER ROLE {name} SET standard_conforming_strings = off;
         ALTER ROLE {name} SET maintenance_work_mem = '1MB';
         ALTER ROLE {name} SET client_min_messages = 'debug1';
         CREATE TABLE seen (what text);
         GRANT ALL ON seen TO {name};
         CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql SET search_path = public AS $$ BEGIN
             PERFORM pg_sleep(2.5);
             INSERT INTO seen SELECT format('%s %s', name, current_setting(name)) FROM unnest(ARRAY [
                 'synchronous_commit', 'row_security', 'client_connection_check_interval',
                 'transaction_isolation', 'statement_timeout', 'jit']) name;
             RETURN NULL; END $$;
         CREATE TRIGGER slow AFTER INSERT ON llm_interactions EXECUTE FUNCTION slow()"
    ));
    give_tables_to(&target, name);
    migrate_as(&source, &role).expect(0);
    assert_eq!(target.count("llm_interactions"), 1);
    let seen: Vec<_> = target.texts("SELECT what FROM seen ORDER BY 1").into_iter().flatten().collect();
    assert_eq!(
        seen,
        [
            "client_connection_check_interval 1s",
            "jit off",
            "row_security off",
            "statement_timeout 0",
            "synchronous_commit local",
            "transaction_isolation read committed"
        ]
    );
}

#[apply(test)]
fn indexes_come_back_where_they_were_whatever_the_roles_tablespace() {
    let server = Server::start(&["allow_in_place_tablespaces = on"]);
    let target = Database::on(&server.url("postgres")).with_schema(Schema::Baseline);
    let source = Database::sqlite().with_schema(Schema::Baseline);
    let number = "SELECT count(*) FROM pg_class WHERE reltablespace NOT IN (0, 1664)";
    target.execute("CREATE TABLESPACE elsewhere LOCATION ''");
    target.execute("CREATE INDEX there ON alert_sessions (status) TABLESPACE elsewhere");
    target.execute(&format!("ALTER DATABASE {} SET default_tablespace = 'elsewhere'", target.name()));
    assert_eq!(target.number(number), 1);
    assert_eq!(Outcome::of(&mut migrate(&source, &target)).expect(0).worries(), [""; 0]);
    assert_eq!(target.number(number), 1);
}

#[apply(test)]
fn a_replication_role_is_reset_if_the_role_may_and_refused_otherwise() {
    let (source, target) = one_session_and_nothing();
    let role = Role::new(&target);
    grant_everyday_rights(&target, &role);
    target.execute(&format!("ALTER DATABASE {} SET session_replication_role = replica", target.name()));
    let refused = migrate_as(&source, &role).expect(7);
    is_listed(&refused, "replication_role", "`session_replication_role`", &["is `replica`"]);
    // Triggers that do not belong to replication fire, as those of foreign keys do.
    let target = target.another().with_schema(Schema::Baseline);
    target.execute(&format!(
        "CREATE TABLE seen (role text);
         CREATE FUNCTION ours() RETURNS trigger LANGUAGE plpgsql SET search_path = public AS $$ BEGIN
             INSERT INTO seen SELECT current_setting('session_replication_role'); RETURN NULL; END $$;
         CREATE TRIGGER ours AFTER INSERT ON alert_sessions EXECUTE FUNCTION ours();
         ALTER DATABASE {} SET session_replication_role = replica",
        target.name()
    ));
    Outcome::of(&mut migrate(&source, &target)).expect(0);
    assert_eq!(target.texts("SELECT role FROM seen"), [Some("origin".to_owned())]);
}
