//! `init --app-role`: the backend's role gets what it needs, and cannot change the schema.

use crate::support::check::is_found;
use crate::support::connection::Connection;
use crate::support::history::{NOW_US, OLD_US, insert_session, insert_whole_sessions};
use crate::support::process::Held;
use crate::support::revision::{init, init_to, ledger};
use crate::support::{Database, Outcome, Role, Running, Schema, apply, baseline, run_at, test};

/// What a run of `init --app-role` granted.
#[track_caller]
fn grants(outcome: &Outcome) -> Vec<String> {
    let document = outcome.json();
    let listed = document["app_role"]["grants"].as_array().unwrap_or_else(|| panic!("no grants in {document:#}"));
    listed.iter().map(|statement| statement.as_str().expect("a text").to_owned()).collect()
}

fn init_for(database: &Database, role: &Role<'_>, arguments: &[&str]) -> Outcome {
    init(database, &[&["--output", "json", "--app-role", &role.name], arguments].concat())
}

/// Makes sure that the server refuses a statement for want of a privilege.
#[track_caller]
fn is_denied(connection: &mut Connection, sql: &str) {
    connection.execute(&format!(
        "DO $$ BEGIN
             {sql};
             RAISE 'this was allowed';
         EXCEPTION WHEN insufficient_privilege THEN NULL; END $$"
    ));
}

/// Makes sure that the role can do what the backend does with all tables of head, and nothing else.
#[track_caller]
fn works_without_changing_the_schema(role: &Role<'_>) {
    let mut backend = Connection::open(&role.url());
    backend.execute(
        "INSERT INTO alert_sessions (session_id, alert_data, agent_type, status, started_at_us, chain_id)
             VALUES ('by-backend', '{}', 'kubernetes', 'pending', 1, 'chain');
         UPDATE alert_sessions SET status = 'completed' WHERE session_id = 'by-backend';
         INSERT INTO events (channel, payload) VALUES ('sessions', '{}');
         SELECT version_num FROM alembic_version; SELECT count(*) FROM chats;
         DELETE FROM events; DELETE FROM alert_sessions WHERE session_id = 'by-backend'",
    );
    for sql in [
        "ALTER TABLE alert_sessions ADD COLUMN mine text",
        "DROP TABLE events",
        "TRUNCATE chats",
        "CREATE INDEX mine ON chats (created_by)",
        "CREATE TABLE mine (id integer)",
        "UPDATE alembic_version SET version_num = 'mine'",
        "DELETE FROM alembic_version",
    ] {
        is_denied(&mut backend, sql);
    }
    backend.close();
}

#[apply(test)]
fn the_role_can_use_the_tables_and_change_none() {
    let database = Database::postgresql();
    let role = Role::new(&database);
    let created = init_for(&database, &role, &["--to", "head"]).expect(0);
    assert_eq!(created.json()["outcome"], "created");
    let name = &role.name;
    let tables = "public.alert_sessions, public.chat_user_messages, public.chats, public.events, \
                  public.llm_interactions, public.mcp_communications, public.stage_executions";
    assert_eq!(
        grants(&created),
        [
            format!("GRANT SELECT ON TABLE public.alembic_version TO {name}"),
            format!("GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE {tables} TO {name}"),
            format!("GRANT USAGE ON SEQUENCE public.events_id_seq TO {name}"),
            format!(
                "ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO {name}"
            ),
            format!("ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT USAGE ON SEQUENCES TO {name}"),
        ]
    );
    works_without_changing_the_schema(&role);
    run_at(&role.url(), &["init", "--to", "head"]).expect(0);
    let checked = run_at(&role.url(), &["check", "--output", "json"]).expect(0);
    is_found(&checked, "privileges", "ok", "the role can read and write all tables");
    run_at(&role.url(), &["info"]).expect(0);
    insert_whole_sessions(&database, 3, OLD_US);
    run_at(&role.url(), &["prune", "--older-than", "90d", "--max-share", "100%", "--yes"]).expect(0);
    assert_eq!(database.count("alert_sessions"), 0);
    // The second time there is nothing to do, and a reader's transaction is enough.
    let again = init(&database, &["--app-role", name, "--to", "head"]).expect(0);
    assert!(again.stdout.contains("nothing to do"), "{}", again.stdout);
    assert!(again.stdout.contains("has what TARSy's backend needs: nothing to grant"), "{}", again.stdout);
    assert_eq!(again.worries(), [""; 0]);
}

#[apply(test)]
fn what_is_missing_is_granted_at_a_revision_that_is_already_there() {
    let database = Database::postgresql().with_schema(Schema::Head);
    let role = Role::new(&database);
    let name = &role.name;
    database.execute(&format!("GRANT ALL ON alert_sessions, alembic_version, events TO {name}"));
    let planned = init_for(&database, &role, &["--to", "head", "--dry-run"]).expect(0);
    let before = database.texts("SELECT relacl::text FROM pg_class WHERE relname = 'chats'");
    assert_eq!(before, [None]);
    let done = init_for(&database, &role, &["--to", "head"]).expect(0);
    assert_eq!(done.json()["outcome"], "present");
    assert_eq!(grants(&planned), grants(&done));
    let granted = grants(&done).join("; ");
    assert!(!granted.contains("DELETE ON TABLE public.alert_sessions"), "{granted}");
    for (table, privileges) in
        [("alembic_version", "r"), ("alert_sessions", "arwd"), ("events", "arwd"), ("chats", "arwd")]
    {
        let sql = format!("SELECT relacl::text FROM pg_class WHERE relname = '{table}'");
        let listed = database.texts(&sql).into_iter().flatten().collect::<String>();
        assert!(listed.contains(&format!("{name}={privileges}/")), "{table}: {listed}");
    }
    works_without_changing_the_schema(&role);
    for text in ["already at revision", "nothing to grant"] {
        let again = init(&database, &["--app-role", name]).expect(0).stdout;
        assert!(again.contains(text), "{again}");
    }
}

#[apply(test)]
fn later_tables_of_the_same_owner_can_be_used() {
    let database = Database::postgresql();
    let role = Role::new(&database);
    init_for(&database, &role, &[]).expect(0);
    init_to(&database, "head");
    works_without_changing_the_schema(&role);
    assert_eq!(grants(&init_for(&database, &role, &[]).expect(0)), [""; 0]);
    // A ledger that is created again gets the default privileges, which are for tables of the history.
    database.execute("DROP TABLE alembic_version");
    init_for(&database, &role, &["--to", "head"]).expect(0);
    works_without_changing_the_schema(&role);
}

#[apply(test)]
fn ten_at_once_all_succeed_and_one_of_them_grants() {
    let database = Database::postgresql();
    let role = Role::new(&database);
    let words = ["init", "--output", "json", "--to", "head", "--app-role", &role.name];
    for expected in [5, 0] {
        let ten: Vec<_> = (0..10).map(|_| Running::start(&database, &words)).collect();
        let granted: usize = ten.into_iter().map(|running| grants(&running.finish().expect(0)).len()).sum();
        assert_eq!(granted, expected);
    }
    database.execute(&format!("REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {}", role.name));
    let ten: Vec<_> = (0..10).map(|_| Running::start(&database, &words)).collect();
    let granted: usize = ten.into_iter().map(|running| grants(&running.finish().expect(0)).len()).sum();
    assert_eq!(granted, 2);
    works_without_changing_the_schema(&role);
}

#[apply(test)]
fn names_and_schemas_are_quoted() {
    let database = Database::postgresql();
    let name = format!("Back \"end's {}", database.name());
    let quoted = format!("\"{}\"", name.replace('"', "\"\""));
    database.execute(&format!(
        "CREATE ROLE {quoted}; CREATE SCHEMA \"My 'schema\"; CREATE SCHEMA mine;
         ALTER DATABASE {} SET search_path = \"My 'schema\", public",
        database.name()
    ));
    let planned = init(&database, &["--output", "json", "--to", "head", "--app-role", &name, "--dry-run"]).expect(0);
    let done = init(&database, &["--output", "json", "--to", "head", "--app-role", &name]).expect(0);
    assert_eq!(grants(&planned), grants(&done));
    let usage = format!("GRANT USAGE ON SCHEMA \"My 'schema\" TO {quoted}");
    assert!(grants(&done).contains(&usage), "{:?}", grants(&done));
    let literal = name.replace('\'', "''");
    let may_read = format!("SELECT has_table_privilege('{literal}', '\"My ''schema\".chats', 'SELECT')::int::bigint");
    assert_eq!(database.number(&may_read), 1);
    database.execute(&format!("DROP OWNED BY {quoted}; DROP ROLE {quoted}"));
}

#[apply(test)]
fn a_role_that_does_not_exist_is_78_and_nothing_is_changed() {
    let database = Database::postgresql();
    for arguments in [&["--app-role", "No One"][..], &["--app-role", "No One", "--dry-run"]] {
        let refused = init(&database, arguments).expect(78);
        refused.tells(&["there is no role `No One`; nothing was changed", "CREATE ROLE \"No One\" LOGIN"]);
    }
    assert_eq!(baseline::listing(&database), "");
}

#[apply(test)]
fn a_role_that_may_not_grant_is_77_with_the_statements() {
    let database = Database::postgresql().with_schema(Schema::Baseline);
    insert_session(&database, "s-1", "completed", Some(NOW_US));
    let backend = Role::new(&database);
    let other = format!("{}_other", database.name());
    database.execute(&format!(
        "CREATE ROLE {other} LOGIN PASSWORD 'other'; GRANT ALL ON ALL TABLES IN SCHEMA public TO {other};
         GRANT SELECT ON alembic_version TO {other} WITH GRANT OPTION"
    ));
    let (_, place) = database.url().rsplit_once('@').expect("the URL names a user");
    let url = format!("postgresql://{other}:other@{place}");
    let before = database.texts("SELECT relacl::text FROM pg_class WHERE relname = 'alembic_version'");
    for arguments in [&["init", "--app-role", &backend.name][..], &["init", "--dry-run", "--app-role", &backend.name]] {
        let refused = run_at(&url, arguments).expect(77);
        refused.tells(&[
            &format!("the role `{other}` may not grant `{}` all that TARSy's backend needs", backend.name),
            "GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE public.alert_sessions",
            "let the owner of these objects, or a superuser, run the statements",
        ]);
        assert!(!refused.stderr.contains("ON TABLE public.alembic_version"), "{}", refused.stderr);
    }
    assert_eq!(database.texts("SELECT relacl::text FROM pg_class WHERE relname = 'alembic_version'"), before);
    database.execute(&format!("DROP OWNED BY {other}; DROP ROLE {other}"));
}

#[apply(test)]
fn the_owner_needs_nothing_and_is_warned_of() {
    let database = Database::postgresql().with_schema(Schema::Baseline);
    let done = init(&database, &["--app-role", "postgres"]).expect(0);
    assert!(done.stdout.contains("nothing to grant"), "{}", done.stdout);
    done.tells(&["`postgres` can change the schema, because it is a superuser, or may act as the owner of"]);
    let empty = Database::postgresql();
    let planned = init(&empty, &["--app-role", "postgres", "--dry-run"]).expect(0);
    assert!(planned.stdout.contains("nothing to grant"), "{}", planned.stdout);
}

#[apply(test)]
fn the_script_has_the_grants() {
    let database = Database::postgresql();
    let role = Role::new(&database);
    for target in ["baseline", "head", "head"] {
        let printed = init(&database, &["--to", target, "--app-role", &role.name, "--sql"]).expect(0);
        assert!(printed.stdout.starts_with("-- run with: psql"), "{}", printed.stdout);
        database.execute(&printed.stdout);
        database.execute(&format!("REVOKE USAGE ON ALL SEQUENCES IN SCHEMA public FROM {}", role.name));
    }
    assert_eq!(ledger(&database), [Some("b67c135119d7".to_owned())]);
    let printed = init(&database, &["--to", "head", "--app-role", &role.name, "--sql"]).expect(0);
    database.execute(&printed.stdout);
    works_without_changing_the_schema(&role);
    let printed = init(&database, &["--to", "head", "--app-role", &role.name, "--sql"]).expect(0);
    assert!(printed.stdout.ends_with("nothing to do\n"), "{}", printed.stdout);
}

#[apply(test)]
fn sqlite_has_no_roles() {
    let database = Database::sqlite();
    for arguments in [&["init", "--app-role", "backend"][..], &["check", "--as-role", "backend"]] {
        let refused = run_at("sqlite:///history.db", arguments).expect(78);
        refused.tells(&[&format!("`{}` needs PostgreSQL", arguments[1]), "SQLite has no roles"]);
    }
    assert!(!database.file().exists());
    run_at("sqlite:///history.db", &["init", "--app-role", ""]).expect(2);
}

#[apply(test)]
fn another_session_that_grants_at_the_same_moment_is_waited_for() {
    let database = Database::postgresql().with_schema(Schema::Head);
    let role = Role::new(&database);
    let mut other = Held::connect(&database);
    other.execute("BEGIN; GRANT SELECT ON chats TO pg_monitor");
    let running = Running::start(&database, &["init", "--to", "head", "--app-role", &role.name]);
    // The server lets the second one wait, and then refuses it.
    database.wait_until("SELECT count(*) FROM pg_locks WHERE locktype = 'transactionid' AND NOT granted");
    other.execute("COMMIT");
    running.finish().expect(0);
    works_without_changing_the_schema(&role);
    other.close();
}

#[apply(test)]
fn an_owner_whose_name_needs_quotes_grants_and_a_member_grants_for_it() {
    let database = Database::postgresql();
    let backend = Role::new(&database);
    let (owner, member) = (format!("My \"Owner\" {}", database.name()), format!("{}_member", database.name()));
    let quoted = format!("\"{}\"", owner.replace('"', "\"\""));
    database.execute(&format!(
        "CREATE ROLE {quoted} LOGIN PASSWORD 'owner'; CREATE ROLE {member} LOGIN PASSWORD 'owner' IN ROLE {quoted};
         GRANT CREATE ON SCHEMA public TO {quoted}"
    ));
    let (_, place) = database.url().rsplit_once('@').expect("the URL names a user");
    let url = |login: &str| format!("postgresql://{login}:owner@{place}");
    let by_owner = url(&owner.replace(' ', "%20").replace('"', "%22"));
    run_at(&by_owner, &["init", "--to", "2"]).expect(0);
    let words = ["init", "--output", "json", "--app-role", &backend.name];
    let planned = run_at(&url(&member), &[&words[..], &["--dry-run"]].concat()).expect(0);
    assert_eq!(grants(&run_at(&url(&member), &words).expect(0)), grants(&planned));
    let default = format!("ALTER DEFAULT PRIVILEGES FOR ROLE {quoted} IN SCHEMA public GRANT USAGE ON SEQUENCES");
    assert!(grants(&planned).iter().any(|statement| statement.starts_with(&default)), "{:?}", grants(&planned));
    for url in [&by_owner, &url(&member)] {
        assert_eq!(grants(&run_at(url, &words).expect(0)), [""; 0]);
    }
    run_at(&by_owner, &["init", "--to", "head"]).expect(0);
    works_without_changing_the_schema(&backend);
    database.execute(&format!("DROP OWNED BY {quoted}, {member}; DROP ROLE {member}, {quoted}"));
}

#[apply(test)]
fn what_an_older_role_could_do_beyond_the_needs_is_revoked() {
    let database = Database::postgresql().with_schema(Schema::Head);
    let role = Role::new(&database);
    let name = &role.name;
    database.execute(&format!(
        "GRANT ALL ON ALL TABLES IN SCHEMA public TO {name}; GRANT CREATE ON SCHEMA public TO {name};
         GRANT UPDATE (version_num) ON alembic_version TO {name}"
    ));
    let planned = init_for(&database, &role, &["--dry-run"]).expect(0);
    assert_eq!(grants(&init_for(&database, &role, &[]).expect(0)), grants(&planned));
    works_without_changing_the_schema(&role);
    let mut backend = Connection::open(&role.url());
    backend.execute("CREATE FUNCTION pg_temp.mine() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$");
    for table in ["alembic_version", "alert_sessions"] {
        is_denied(
            &mut backend,
            &format!("CREATE TRIGGER mine BEFORE UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION pg_temp.mine()"),
        );
        is_denied(&mut backend, &format!("TRUNCATE {table}"));
    }
    backend.close();
    assert_eq!(grants(&init_for(&database, &role, &[]).expect(0)), [""; 0]);
}

#[apply(test)]
fn a_privilege_that_cannot_be_revoked_is_77_with_the_statement() {
    let database = Database::postgresql();
    let (owner, backend) = (Role::new(&database), format!("{}_backend", database.name()));
    database.execute(&format!(
        "CREATE ROLE {backend}; GRANT CREATE ON SCHEMA public TO {backend}, {owner}",
        owner = owner.name
    ));
    let refused = run_at(&owner.url(), &["init", "--app-role", &backend]).expect(77);
    let statement = format!("REVOKE CREATE ON SCHEMA public FROM {backend}");
    refused.tells(&["nothing was changed", &statement]);
    database.execute(&statement);
    run_at(&owner.url(), &["init", "--app-role", &backend]).expect(0);
    database.execute(&format!("DROP OWNED BY {backend}; DROP ROLE {backend}"));
}

#[apply(test)]
fn a_url_and_reserved_names_are_no_roles() {
    let database = Database::postgresql();
    for words in [&["init", "--app-role"][..], &["check", "--as-role"]] {
        for url in ["postgresql://user:hidden@db/tarsy", "sqlite:///hidden.db", "POSTGRES://user:hidden@db/tarsy"] {
            for words in [[words, &[url]].concat(), vec![words[0], &format!("{}={url}", words[1])]] {
                let refused = run_at(database.url(), &words).expect(2);
                refused.tells(&["invalid value '<URL>'", "expected the name of a role, not a URL"]);
                assert!(!refused.stderr.contains("hidden"), "{}", refused.stderr);
            }
        }
        for name in ["public", "none", "pg_monitor", "pg_database_owner"] {
            let refused = run_at(database.url(), &[words, &[name]].concat()).expect(2);
            refused.tells(&[&format!("invalid value '{name}'"), "expected the role with which the backend logs in"]);
        }
    }
    assert_eq!(baseline::listing(&database), "");
}
