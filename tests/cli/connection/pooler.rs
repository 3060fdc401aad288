//! Behind a pooler in transaction mode the backend gets the server's session next: a command leaves nothing on it, no
//! setting, no prepared statement, no lock, also where it fails.

use std::time::Duration;

use assert_cmd::Command;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Row};

use crate::support::cases::each;
use crate::support::database::block_on;
use crate::support::history::{NOW, OLD_US, full_history, insert_many, insert_whole_sessions};
use crate::support::pooler::Pooler;
use crate::support::{Database, Outcome, Role, Schema, apply, bare_tarsy_db, test};

const OLD: [&str; 7] = ["prune", "--now", NOW, "--older-than", "90d", "--max-share", "100%"];

/// What the next client finds on the session.
const LEFT: &str = "SELECT concat_ws(E'\n',
    (SELECT string_agg(name || ' = ' || setting, E'\n' ORDER BY name) FROM pg_settings
     WHERE name <> 'transaction_isolation'),
    (SELECT string_agg('statement ' || name || ': ' || statement, E'\n' ORDER BY name) FROM pg_prepared_statements),
    (SELECT string_agg('lock ' || objid, E'\n' ORDER BY objid) FROM pg_locks
     WHERE pid = pg_backend_pid() AND locktype = 'advisory'),
    (SELECT string_agg('temporary ' || relname, E'\n' ORDER BY relname) FROM pg_class
     WHERE relpersistence = 't' AND relnamespace = pg_my_temp_schema())) AS left_behind";

/// A database behind a pooler.
struct Pooled<'d> {
    database: &'d Database,
    pooler: Pooler,
}

impl<'d> Pooled<'d> {
    fn new(database: &'d Database) -> Self {
        Self { pooler: Pooler::to(database.port()), database }
    }

    /// What the next client of the pooler finds, by a simple query, which leaves nothing itself.
    fn left_behind(&self) -> String {
        self.pooler.wait_until_all_left();
        let options: PgConnectOptions = self.database.driver_url().parse().expect("a URL");
        let options = options.port(self.pooler.port).extra_float_digits(None).disable_statement_logging();
        block_on(async {
            let mut client = options.connect().await.expect("the pooler accepts clients");
            let row = sqlx::raw_sql(LEFT).fetch_one(&mut client).await.expect("an answer");
            row.get("left_behind")
        })
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = bare_tarsy_db(self.database.directory());
        let url = self.database.url_through(self.pooler.port);
        // The pooler has one session: what holds it may not wait for another.
        command.env("DATABASE_URL", url).env("POSTGRES_POOL_SIZE", "1").env("POSTGRES_MAX_OVERFLOW", "0");
        command.args(arguments);
        command
    }

    /// Runs a command, which ends with this code and leaves nothing.
    #[track_caller]
    fn leaves_nothing(&self, arguments: &[&str], code: i32) -> Outcome {
        let before = self.left_behind();
        let outcome = Outcome::of(&mut self.command(arguments)).expect(code);
        let after = self.left_behind();
        let left: Vec<_> = after.lines().filter(|line| !before.lines().any(|known| known == *line)).collect();
        assert!(before == after, "{arguments:?} leaves {left:#?}");
        outcome
    }
}

#[apply(test)]
fn no_command_leaves_anything_on_the_session_of_a_pooler() {
    let database = Database::postgresql();
    database.execute("SELECT 1");
    let pooled = Pooled::new(&database);
    let role = Role::new(&database);
    pooled.leaves_nothing(&["wait", "--for", "schema", "--max-attempts", "1"], 3);
    pooled.leaves_nothing(&["init"], 0);
    insert_many(&database, 30, 64, OLD_US);
    pooled.leaves_nothing(&["init", "--to", "head", "--dry-run"], 0);
    pooled.leaves_nothing(&["init", "--to", "head", "--sql"], 0);
    pooled.leaves_nothing(&["init", "--to", "head"], 0);
    pooled.leaves_nothing(&["init", "--app-role", &role.name], 0);
    pooled.leaves_nothing(&["check", "--as-role", &role.name], 0);
    insert_whole_sessions(&database, 30, OLD_US);
    for condition in ["connect", "writable", "schema"] {
        pooled.leaves_nothing(&["wait", "--for", condition], 0);
    }
    each([&["info"][..], &["info", "--exact"], &["check"], &["check", "--deep"]], |arguments| {
        pooled.leaves_nothing(arguments, 0);
    });
    pooled.leaves_nothing(&[&OLD[..], &["--dry-run"]].concat(), 0);
    pooled.leaves_nothing(&[&OLD[..], &["--yes", "--status", "failed", "--archive", "archive.db"]].concat(), 0);
    pooled.leaves_nothing(&[&OLD[..], &["--yes", "--events", "--orphans"]].concat(), 0);
    assert_eq!(database.count("alert_sessions"), 0);
}

#[apply(test)]
fn a_repair_leaves_nothing_either() {
    let database = Database::postgresql().with_schema(Schema::Head);
    let pooled = Pooled::new(&database);
    database.execute("DROP INDEX ix_alert_sessions_status");
    let fixed = pooled.leaves_nothing(&["check", "--fix"], 0);
    assert!(fixed.stdout.contains("created index ix_alert_sessions_status"), "{}", fixed.stdout);
}

#[apply(test)]
fn a_migration_is_one_transaction_and_leaves_nothing() {
    let source = full_history();
    let database = Database::postgresql().with_schema(Schema::Head);
    let pooled = Pooled::new(&database);
    let file = source.file();
    let file = file.to_str().expect("a path in UTF-8");
    let url = database.url_through(pooled.pooler.port);
    let from = ["migrate-sqlite-to-postgres", "--from", file, "--to", &url];
    pooled.leaves_nothing(&[&from[..], &["--dry-run"]].concat(), 0);
    pooled.leaves_nothing(&from, 0);
    assert_eq!(database.count("alert_sessions"), 100);
    pooled.leaves_nothing(&from, 7);
    pooled.leaves_nothing(&[&from[..], &["--verify-only"]].concat(), 0);
    pooled.leaves_nothing(&[&from[..], &["--append"]].concat(), 0);
}

#[apply(test)]
fn what_fails_leaves_nothing() {
    let database = Database::postgresql().with_schema(Schema::Head);
    let pooled = Pooled::new(&database);
    insert_whole_sessions(&database, 30, OLD_US);
    // Another session holds the rows, or the database changes under the statement.
    database.with_connection(|holder| {
        holder.execute("BEGIN; LOCK TABLE chats IN ACCESS EXCLUSIVE MODE");
        pooled.leaves_nothing(&[&OLD[..], &["--yes", "--retry-for", "1s"]].concat(), 75);
        pooled.leaves_nothing(&["init", "--to", "head"], 0);
        holder.execute("ROLLBACK");
    });
    database.execute("ALTER TABLE chats RENAME COLUMN session_id TO of_session");
    pooled.leaves_nothing(&["check"], 4);
    database.execute("DROP TABLE chats CASCADE");
    for (arguments, code) in [(&["init"][..], 4), (&["check"], 4), (&[&OLD[..], &["--yes"]].concat(), 4)] {
        pooled.leaves_nothing(arguments, code);
    }
}

#[apply(test)]
fn with_the_default_pool_nothing_waits_for_its_own_lock() {
    let database = Database::postgresql().with_schema(Schema::Head);
    insert_whole_sessions(&database, 30, OLD_US);
    database.execute("DROP INDEX ix_alert_sessions_status");
    let pooled = Pooled::new(&database);
    each([&["check", "--fix"][..], &[&OLD[..], &["--yes"]].concat()], |arguments| {
        let mut command = pooled.command(arguments);
        command.env_remove("POSTGRES_POOL_SIZE").env_remove("POSTGRES_MAX_OVERFLOW").timeout(Duration::from_secs(20));
        Outcome::of(&mut command).expect(0);
    });
    assert_eq!(database.count("alert_sessions"), 0);
}
