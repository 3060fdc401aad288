//! `init --create-database`: creates the database of the URL once, with the encoding UTF8.

use crate::support::revision::{init, ledger};
use crate::support::server::Server;
use crate::support::{Database, Outcome, Role, Running, apply, bare_tarsy_db, run_at, test};

/// A database, and a URL of one on the same server that does not exist.
fn beside(database: &Database, suffix: &str) -> (String, String) {
    let name = format!("{}{suffix}", database.name());
    let (server, _) = database.url().rsplit_once('/').expect("the URL names a database");
    (format!("{server}/{name}"), name)
}

fn drop_database(database: &Database, name: &str) {
    database.execute(&format!("DROP DATABASE \"{}\" WITH (FORCE)", name.replace('"', "\"\"")));
}

fn exists(database: &Database, name: &str) -> bool {
    let sql = format!("SELECT count(*) FROM pg_database WHERE datname = '{}'", name.replace('\'', "''"));
    database.number(&sql) == 1
}

#[apply(test)]
fn a_database_that_does_not_exist_is_created_once() {
    let database = Database::postgresql();
    let (url, name) = beside(&database, "_New \"one'");
    run_at(&url, &["init"]).expect(78).tells(&["tarsy-db init --create-database"]);
    let words = ["init", "--create-database", "--output", "json"];
    let planned = run_at(&url, &[&words[..], &["--dry-run"]].concat()).expect(0).json();
    assert_eq!((planned["created_database"].clone(), planned["outcome"].clone()), (true.into(), "created".into()));
    assert!(!exists(&database, &name));
    let created = run_at(&url, &words).expect(0).json();
    assert_eq!((created["created_database"].clone(), created["outcome"].clone()), (true.into(), "created".into()));
    let again = run_at(&url, &words).expect(0).json();
    assert_eq!((again["created_database"].clone(), again["outcome"].clone()), (false.into(), "present".into()));
    let facts = format!(
        "SELECT pg_encoding_to_char(encoding) || ' of ' || pg_get_userbyid(datdba) FROM pg_database
         WHERE datname = '{}'",
        name.replace('\'', "''")
    );
    assert_eq!(database.texts(&facts), [Some("UTF8 of postgres".to_owned())]);
    drop_database(&database, &name);
    let text = run_at(&url, &["init", "--create-database"]).expect(0).stdout;
    assert!(text.starts_with("created the database ") && text.contains("\ncreated the schema in "), "{text}");
    drop_database(&database, &name);
}

#[apply(test)]
fn ten_at_once_all_succeed() {
    let database = Database::postgresql();
    let (url, name) = beside(&database, "_ten");
    let words = ["init", "--create-database", "--output", "json"];
    let ten: Vec<_> = (0..10).map(|_| Running::start_at(&url, database.directory(), &words)).collect();
    let created = ten.into_iter().map(|running| running.finish().expect(0).json());
    let created: Vec<_> = created.filter(|report| report["created_database"] == true).collect();
    assert_eq!(created.len(), 1);
    drop_database(&database, &name);
}

#[apply(test)]
fn a_role_that_may_not_create_databases_is_77() {
    let database = Database::postgresql();
    let role = Role::new(&database);
    let name = format!("{}_mine", database.name());
    let login = role.url();
    let (login, _) = login.rsplit_once('/').expect("the URL names a database");
    let url = format!("{login}/{name}");
    let refused = run_at(&url, &["init", "--create-database"]).expect(77);
    refused.tells(&[
        &format!("cannot create the database `{name}`"),
        &format!("ALTER ROLE {} CREATEDB", role.name),
        &format!("CREATE DATABASE \"{name}\" OWNER {} ENCODING 'UTF8' TEMPLATE template0", role.name),
    ]);
    database.execute(&format!("ALTER ROLE {} CREATEDB", role.name));
    let missing = ["init", "--create-database", "--app-role", "No One"];
    run_at(&url, &missing).expect(78).tells(&["there is no role `No One`; nothing was changed"]);
    assert!(!exists(&database, &name));
    run_at(&url, &["init", "--create-database", "--to", "head"]).expect(0);
    run_at(&url, &["check"]).expect(0);
    drop_database(&database, &name);
}

#[apply(test)]
fn in_a_cluster_of_another_encoding_and_without_the_usual_databases_it_is_utf8() {
    let server = Server::start(&[]);
    let admin = Database::on(&server.url("postgres"));
    admin.execute("UPDATE pg_database SET encoding = pg_char_to_encoding('LATIN1') WHERE datname = 'template1'");
    let (url, name) = beside(&admin, "_utf8");
    admin.execute("ALTER DATABASE postgres RENAME TO elsewhere");
    let created = run_at(&url, &["init", "--create-database", "--output", "json"]).expect(0).json();
    admin.execute("ALTER DATABASE elsewhere RENAME TO postgres");
    assert_eq!(created["created_database"], true);
    let encoding = format!("SELECT pg_encoding_to_char(encoding)::text FROM pg_database WHERE datname = '{name}'");
    assert_eq!(admin.texts(&encoding), [Some("UTF8".to_owned())]);
}

#[apply(test)]
fn a_role_that_may_not_log_in_to_postgres_uses_template1() {
    let server = Server::start(&[]);
    let admin = Database::on(&server.url("postgres"));
    let role = Role::new(&admin);
    let (_, name) = beside(&admin, "_refused");
    let (login, _) =
        role.url().rsplit_once('/').map(|(login, last)| (login.to_owned(), last.to_owned())).expect("a URL");
    let url = format!("{login}/{name}");
    admin.execute(&format!("ALTER ROLE {} CREATEDB; REVOKE CONNECT ON DATABASE postgres FROM PUBLIC", role.name));
    let created = run_at(&url, &["init", "--create-database", "--output", "json"]).expect(0).json();
    assert_eq!(created["created_database"], true);
    drop_database(&admin, &name);
}

#[apply(test)]
fn it_waits_for_the_server_and_not_for_the_database() {
    let server = Server::create(&[]);
    let directory = tempfile::tempdir().expect("a temporary directory");
    let words = ["init", "--create-database", "--wait=1m"];
    let mut init = Running::start_at(&server.url("tarsy"), directory.path(), &words);
    init.says("connection refused");
    server.launch();
    let created = init.finish().expect(0);
    assert!(created.stdout.starts_with("created the database "), "{}", created.stdout);
}

#[apply(test)]
fn a_sqlite_file_is_created_anyway_and_a_script_cannot_create_a_database() {
    let database = Database::sqlite();
    init(&database, &["--create-database"]).expect(0);
    assert_eq!(ledger(&database), [Some("ae85467a75d2".to_owned())]);
    let mut command = bare_tarsy_db(database.directory());
    Outcome::of(command.args(["init", "--create-database", "--sql"])).expect(2);
}
