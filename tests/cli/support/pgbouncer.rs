//! A real PgBouncer in front of a database.

use std::path::PathBuf;

use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection as _};
use tempfile::TempDir;
use tokio::net::TcpSocket;

use super::Database;
use super::database::block_on;
use super::harness::require_target;
use super::process::wait_until;
use super::server::{Guard, PASSWORD, as_postgres, give_to_postgres, reserve};
use super::test_directory;

/// When a pool takes a session from a client, as PgBouncer calls it.
pub(crate) const MODES: [&str; 3] = ["session", "transaction", "statement"];

/// A PgBouncer with a pool in each of the [`MODES`], by whose names its clients see the database. It ends with the test.
pub(crate) struct PgBouncer {
    /// Ends PgBouncer before its directory is removed.
    _guard: Guard,
    _directory: TempDir,
    port: u16,
    _reservation: TcpSocket,
}

impl PgBouncer {
    /// Starts in front of a database, with these lines in its section `[pgbouncer]`.
    ///
    /// # Panics
    /// With the line to run where PgBouncer is not installed.
    pub(crate) fn before(database: &Database, settings: &[&str]) -> Self {
        Self::to(database.port(), database.name(), settings)
    }

    /// The same by the port of a server, which may be down.
    pub(crate) fn to(port: u16, database: &str, settings: &[&str]) -> Self {
        require_pgbouncer();
        let program = program();
        let reservation = reserve(0).expect("a free port");
        let own_port = reservation.local_addr().expect("a bound socket").port();
        let directory = test_directory();
        let file = |name: &str| directory.path().join(name);
        let pools = MODES.map(|mode| format!("{mode} = host=127.0.0.1 port={port} dbname={database} pool_mode={mode}"));
        let own = [
            "listen_addr = 127.0.0.1".to_owned(),
            format!("listen_port = {own_port}"),
            "unix_socket_dir =".to_owned(),
            "auth_type = scram-sha-256".to_owned(),
            format!("auth_file = {}", file("users").display()),
            "admin_users = postgres".to_owned(),
            format!("logfile = {}", file("log").display()),
            format!("pidfile = {}", file("pid").display()),
        ];
        let settings = settings.iter().map(|line| (*line).to_owned());
        let lines = ["[databases]".to_owned()].into_iter().chain(pools).chain(["[pgbouncer]".to_owned()]);
        let lines: Vec<_> = lines.chain(own).chain(settings).collect();
        std::fs::write(file("ini"), lines.join("\n") + "\n").expect("settings can be written");
        std::fs::write(file("users"), format!("\"postgres\" \"{PASSWORD}\"\n")).expect("a file can be written");
        give_to_postgres(directory.path());
        let started = as_postgres(&program).args(["--daemon", "--quiet"]).arg(file("ini")).status();
        let log = || std::fs::read_to_string(file("log")).unwrap_or_default();
        assert!(started.is_ok_and(|status| status.success()), "PgBouncer does not start: {}", log());
        let guard = Guard::with(&format!("kill -KILL \"$(cat {})\"", file("pid").display()));
        // A connection would count as that of a client.
        wait_until("PgBouncer listens", || log().contains("process up"));
        Self { _guard: guard, _directory: directory, port: own_port, _reservation: reservation }
    }

    /// The URL of the database by one of the [`MODES`], for the superuser.
    pub(crate) fn url(&self, mode: &str) -> String {
        format!("postgresql://postgres:{PASSWORD}@127.0.0.1:{}/{mode}", self.port)
    }

    /// Runs a command of the admin console, such as `PAUSE transaction`.
    pub(crate) fn execute(&self, command: &str) {
        let options: PgConnectOptions = self.url("pgbouncer").parse().expect("a URL");
        let options = options.extra_float_digits(None).disable_statement_logging();
        let done = block_on(async {
            let mut console = options.connect().await?;
            sqlx::raw_sql(AssertSqlSafe(command)).execute(&mut console).await?;
            console.close().await
        });
        done.unwrap_or_else(|error| panic!("{command}: {error}"));
    }
}

/// Leaves the test out unless `make test-pgbouncer` runs: the other tests need nothing but PostgreSQL.
fn require_pgbouncer() {
    require_target("TARSY_DB_TEST_PGBOUNCER", "PgBouncer", "test-pgbouncer");
}

/// On PATH, or where Debian puts it, which is not on the PATH of every user.
fn program() -> PathBuf {
    let on_path = std::env::var_os("PATH").unwrap_or_default();
    let directories = std::env::split_paths(&on_path).chain([PathBuf::from("/usr/sbin")]);
    let mut programs = directories.map(|directory| directory.join("pgbouncer"));
    programs
        .find(|program| program.is_file())
        .unwrap_or_else(|| panic!("no PgBouncer was found for the tests. Install it:\n    apt-get install pgbouncer"))
}
