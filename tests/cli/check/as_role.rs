//! `check --as-role`: what the role of TARSy's backend lacks.

use crate::support::check::{check, finding, is_found};
use crate::support::revision::init;
use crate::support::{Database, Role, Schema, apply, run_at, test};

const NAME: &str = "backend role";

#[apply(test)]
fn what_a_role_lacks_is_77_with_the_statements_that_grant_it() {
    let database = Database::postgresql().with_schema(Schema::Head);
    let role = Role::new(&database);
    let name = &role.name;
    let as_role = |code| check(&database, &["--as-role", name]).expect(code);
    let (status, detail) = finding(&as_role(77), NAME);
    assert_eq!(status, "failed");
    let (title, statements) = detail.split_once('\n').expect("statements");
    assert!(title.contains("`tarsy-db init --app-role` grants it"), "{title}");
    // Two of the statements are enough for reading, which the backend does not do alone.
    database.execute(&format!("GRANT SELECT ON ALL TABLES IN SCHEMA public TO {name}"));
    is_found(&as_role(77), NAME, "failed", "GRANT INSERT, UPDATE, DELETE ON TABLE public.alert_sessions, ");
    database.execute(statements);
    is_found(&as_role(0), NAME, "ok", "can read and write all tables");
    database.execute(&format!("REVOKE USAGE ON SEQUENCE events_id_seq FROM {name}"));
    is_found(&as_role(77), NAME, "failed", &format!("GRANT USAGE ON SEQUENCE public.events_id_seq TO {name}"));
    init(&database, &["--app-role", name]).expect(0);
    is_found(&as_role(0), NAME, "ok", "");
    database.execute(&format!(
        "REVOKE USAGE ON SCHEMA public FROM PUBLIC; REVOKE CONNECT ON DATABASE {0} FROM PUBLIC",
        database.name()
    ));
    let (_, detail) = finding(&as_role(77), NAME);
    let expected = [
        format!("GRANT CONNECT ON DATABASE {} TO {name};", database.name()),
        format!("GRANT USAGE ON SCHEMA public TO {name};"),
    ];
    assert_eq!(detail.lines().skip(1).collect::<Vec<_>>(), expected);
}

#[apply(test)]
fn privileges_of_a_group_count_and_a_reader_can_check_them() {
    let database = Database::postgresql().with_schema(Schema::Head);
    let reader = Role::new(&database);
    let group = format!("{}_group", database.name());
    let member = format!("{}_member", database.name());
    database.execute(&format!(
        "GRANT SELECT ON ALL TABLES IN SCHEMA public TO {}; CREATE ROLE {group}; CREATE ROLE {member} LOGIN IN ROLE {group}",
        reader.name
    ));
    init(&database, &["--app-role", &group]).expect(0);
    let words = ["check", "--output", "json", "--as-role", &member];
    is_found(&run_at(&reader.url(), &words).expect(0), NAME, "ok", "");
    database.execute(&format!("GRANT UPDATE ON alembic_version TO {member}"));
    is_found(
        &run_at(&reader.url(), &words).expect(0),
        NAME,
        "warning",
        &format!("REVOKE UPDATE ON TABLE public.alembic_version FROM {member}"),
    );
    database.execute(&format!("DROP OWNED BY {group}, {member}; DROP ROLE {group}, {member}"));
}

#[apply(test)]
fn an_owner_is_noted_and_a_role_or_tables_that_do_not_exist_are_said() {
    let database = Database::postgresql();
    is_found(&check(&database, &["--as-role", "No One"]).expect(78), NAME, "failed", "there is no role `No One`");
    is_found(&check(&database, &["--as-role", "postgres"]).expect(3), NAME, "skipped", "no tables yet");
    database.create_schema(Schema::Baseline);
    is_found(&check(&database, &["--as-role", "postgres"]).expect(0), NAME, "note", "can change the schema");
    let report = check(&database, &[]).json();
    let names = report["checks"].as_array().expect("a list").iter().map(|check| check["name"].as_str());
    assert!(names.into_iter().all(|name| name != Some(NAME)));
}

#[apply(test)]
fn a_role_that_would_not_find_the_tables_is_warned_of_with_the_statement() {
    let database = Database::postgresql();
    let (owner, backend) = (Role::new(&database), format!("{}_backend", database.name()));
    database.execute(&format!(
        "CREATE SCHEMA \"Of tarsy\" AUTHORIZATION {0}; ALTER ROLE {0} SET search_path = \"Of tarsy\";
         CREATE ROLE {backend} LOGIN",
        owner.name
    ));
    let init = run_at(&owner.url(), &["init", "--to", "head", "--app-role", &backend]).expect(0);
    let statement = format!("ALTER ROLE {backend} IN DATABASE {} SET search_path = \"Of tarsy\"", database.name());
    init.tells(&[&format!("`{backend}` does not find the tables in the schema `Of tarsy`"), &statement]);
    let words = ["check", "--output", "json", "--as-role", &backend];
    is_found(&run_at(&owner.url(), &words).expect(0), NAME, "warning", &statement);
    database.execute(&statement);
    is_found(&run_at(&owner.url(), &words).expect(0), NAME, "ok", "");
    database.execute(&format!(
        "ALTER ROLE {backend} IN DATABASE {0} RESET search_path; ALTER DATABASE {0} SET search_path = \"Of tarsy\"",
        database.name()
    ));
    is_found(&run_at(&owner.url(), &words).expect(0), NAME, "ok", "");
    database.execute(&format!("DROP OWNED BY {backend}; DROP ROLE {backend}"));
}

#[apply(test)]
fn settings_that_keep_the_backend_from_its_work_are_said_with_the_statement() {
    let database = Database::postgresql().with_schema(Schema::Head);
    let role = Role::new(&database);
    let (name, of) = (&role.name, database.name());
    init(&database, &["--app-role", name]).expect(0);
    let cases = [
        ("default_transaction_read_only", "on", 69, "failed", "off"),
        ("session_replication_role", "replica", 0, "warning", "origin"),
        ("timezone", "'Asia/Tokyo'", 0, "warning", "'UTC'"),
    ];
    for (setting, value, code, status, right) in cases {
        database.execute(&format!("ALTER ROLE {name} SET {setting} = {value}"));
        let statement = format!("ALTER ROLE {name} IN DATABASE {of} SET {setting} = {right}");
        is_found(&check(&database, &["--as-role", name]).expect(code), NAME, status, &statement);
        database.execute(&statement);
        is_found(&check(&database, &["--as-role", name]).expect(0), NAME, "ok", "");
    }
    database.execute(&format!("ALTER ROLE {name} IN DATABASE {of} RESET ALL; ALTER ROLE {name} RESET ALL"));
    // The setting of the database counts as well.
    database.execute(&format!("ALTER DATABASE {of} SET timezone = 'Asia/Tokyo'"));
    is_found(&check(&database, &["--as-role", name]).expect(0), NAME, "warning", "Asia/Tokyo");
}

/// The statements that `check` lists in a warning about what the role has beyond its needs.
#[track_caller]
fn revokes(database: &Database, role: &str) -> Vec<String> {
    let checked = check(database, &["--as-role", role]).expect(0);
    is_found(&checked, NAME, "warning", "has more than TARSy's backend needs");
    let (_, detail) = finding(&checked, NAME);
    detail.lines().filter(|line| line.ends_with(';')).map(str::to_owned).collect()
}

#[apply(test)]
fn privileges_beyond_the_needs_are_warned_of_with_the_statements() {
    let database = Database::postgresql().with_schema(Schema::Head);
    let role = Role::new(&database);
    let (name, group) = (&role.name, format!("{}_group", database.name()));
    init(&database, &["--app-role", name]).expect(0);
    database.execute(&format!(
        "CREATE ROLE {group}; GRANT {group} TO {name}; GRANT INSERT, UPDATE, DELETE ON alembic_version TO {group};
         GRANT TRIGGER, REFERENCES ON chats, alembic_version TO {group}; GRANT CREATE ON SCHEMA public TO PUBLIC;
         GRANT UPDATE (version_num) ON alembic_version TO PUBLIC; GRANT TRUNCATE ON events TO {name}"
    ));
    let found = revokes(&database, name);
    let expected = [
        format!("REVOKE TRUNCATE ON TABLE public.events FROM {name};"),
        "REVOKE CREATE ON SCHEMA public FROM PUBLIC;".to_owned(),
        format!("REVOKE DELETE, INSERT, REFERENCES, TRIGGER, UPDATE ON TABLE public.alembic_version FROM {group};"),
        format!("REVOKE REFERENCES, TRIGGER ON TABLE public.chats FROM {group};"),
        "REVOKE UPDATE ON TABLE public.alembic_version FROM PUBLIC;".to_owned(),
    ];
    assert_eq!(found, expected);
    let done = init(&database, &["--app-role", name]).expect(0);
    assert!(done.stdout.contains(&expected[0]), "{}", done.stdout);
    done.tells(&["has more than TARSy's backend needs", &expected[1], &expected[2], &expected[3], &expected[4]]);
    assert_eq!(revokes(&database, name), expected[1..]);
    database.execute(&expected[1..].concat());
    is_found(&check(&database, &["--as-role", name]).expect(0), NAME, "ok", "");
    // A role that does not inherit can still become its group.
    database.execute(&format!("ALTER ROLE {name} NOINHERIT; GRANT TRIGGER ON chats TO {group}"));
    assert_eq!(revokes(&database, name), [format!("REVOKE TRIGGER ON TABLE public.chats FROM {group};")]);
    database.execute(&format!("DROP OWNED BY {group}; DROP ROLE {group}"));
}

#[apply(test)]
fn what_another_role_granted_and_roles_of_the_server_are_warned_of() {
    let database = Database::postgresql().with_schema(Schema::Head);
    let role = Role::new(&database);
    let (name, other) = (&role.name, format!("{}_other", database.name()));
    init(&database, &["--app-role", name]).expect(0);
    database.execute(&format!(
        "CREATE ROLE {other}; GRANT TRIGGER ON chats TO {other} WITH GRANT OPTION;
         SET ROLE {other}; GRANT TRIGGER ON chats TO {name}; RESET ROLE"
    ));
    let mut expected = vec![format!("SET ROLE {other}; REVOKE TRIGGER ON TABLE public.chats FROM {name}; RESET ROLE;")];
    if database.number("SELECT current_setting('server_version_num')::bigint") >= 140_000 {
        database.execute(&format!("GRANT pg_write_all_data TO {name}"));
        expected.insert(0, format!("REVOKE pg_write_all_data FROM {name};"));
    }
    init(&database, &["--app-role", name]).expect(0);
    assert_eq!(revokes(&database, name), expected);
    database.execute(&expected.concat());
    is_found(&check(&database, &["--as-role", name]).expect(0), NAME, "ok", "");
    database.execute(&format!("DROP OWNED BY {other}; DROP ROLE {other}"));
}

#[apply(test)]
fn the_owner_of_the_schema_is_noted() {
    let database = Database::postgresql().with_schema(Schema::Head);
    let role = Role::new(&database);
    init(&database, &["--app-role", &role.name]).expect(0);
    database.execute(&format!("ALTER SCHEMA public OWNER TO {}", role.name));
    let checked = check(&database, &["--as-role", &role.name]).expect(0);
    is_found(&checked, NAME, "note", "may act as the owner of the schema public");
    database.execute("ALTER SCHEMA public OWNER TO CURRENT_USER");
}

#[apply(test)]
fn a_role_that_cannot_log_in_is_warned_of() {
    let database = Database::postgresql().with_schema(Schema::Head);
    let role = Role::new(&database);
    let name = &role.name;
    init(&database, &["--app-role", name]).expect(0);
    for (options, reason, remedy) in [
        ("NOLOGIN", "it lacks LOGIN", "LOGIN"),
        ("VALID UNTIL '2001-01-01'", "its password has expired", "VALID UNTIL 'infinity'"),
        ("CONNECTION LIMIT 0", "its connection limit is 0", "CONNECTION LIMIT -1"),
        ("NOLOGIN CONNECTION LIMIT 0", "it lacks LOGIN, its connection limit is 0", "LOGIN CONNECTION LIMIT -1"),
    ] {
        database.execute(&format!("ALTER ROLE {name} {options}"));
        let statement = format!("ALTER ROLE {name} {remedy}");
        let sentence = format!("`{name}` cannot log in, because {reason}; run `{statement}`");
        let checked = check(&database, &["--as-role", name]).expect(0);
        is_found(&checked, NAME, "warning", &sentence);
        assert!(!finding(&checked, NAME).1.contains("can read and write all tables"));
        database.execute(&statement);
        is_found(&check(&database, &["--as-role", name]).expect(0), NAME, "ok", "can read and write all tables");
    }
}

#[apply(test)]
fn row_policies_that_do_not_allow_every_row_are_warned_of() {
    let database = Database::postgresql().with_schema(Schema::Head);
    let role = Role::new(&database);
    let name = &role.name;
    init(&database, &["--app-role", name]).expect(0);
    let finds = |status, text: &str| {
        let checked = check(&database, &["--as-role", name]).expect(0);
        is_found(&checked, NAME, status, text);
    };
    database.execute(
        "ALTER TABLE chats ENABLE ROW LEVEL SECURITY; ALTER TABLE alembic_version ENABLE ROW LEVEL SECURITY;
         CREATE POLICY read ON alembic_version FOR SELECT USING (true); CREATE POLICY read ON chats FOR SELECT USING (true)",
    );
    let sentence = format!("row-level security may hide rows of chats from `{name}`");
    finds("warning", &sentence);
    init(&database, &["--app-role", name]).expect(0).tells(&[&sentence]);
    database.execute(&format!("CREATE POLICY one ON chats TO {name} USING (chat_id = '1')"));
    finds("warning", &sentence);
    database.execute(&format!("CREATE POLICY every ON chats TO {name} USING (true)"));
    finds("ok", "can read and write all tables");
    database.execute("CREATE POLICY fewer ON chats AS RESTRICTIVE FOR DELETE USING (created_by IS NULL)");
    finds("warning", &sentence);
    database.execute(&format!("ALTER ROLE {name} BYPASSRLS"));
    finds("ok", "can read and write all tables");
}

#[apply(test)]
fn the_search_path_of_the_url_or_of_the_own_role_is_not_that_of_the_backend() {
    let database = Database::postgresql();
    let (owner, backend) = (Role::new(&database), format!("{}_backend", database.name()));
    database.execute(&format!("CREATE SCHEMA tarsy AUTHORIZATION {}; CREATE ROLE {backend} LOGIN", owner.name));
    let url = format!("{}?options=-csearch_path%3Dtarsy", owner.url());
    let found = format!("`{backend}` does not find the tables in the schema `tarsy`");
    run_at(&url, &["init", "--to", "head", "--app-role", &backend]).expect(0).tells(&[&found]);
    let words = ["check", "--output", "json", "--as-role", &backend];
    is_found(&run_at(&url, &words).expect(0), NAME, "warning", &found);
    database.execute(&format!("ALTER ROLE {} SET search_path = tarsy", owner.name));
    is_found(&run_at(&owner.url(), &words).expect(0), NAME, "warning", &found);
    database.execute(&format!("ALTER DATABASE {} SET search_path = tarsy", database.name()));
    is_found(&run_at(&url, &words).expect(0), NAME, "ok", "");
    database.execute(&format!("DROP OWNED BY {backend}; DROP ROLE {backend}"));
}
