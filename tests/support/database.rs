//! One fresh database for each test, and a way to look into it that is not the code under test.

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use sqlx::any::{AnyConnectOptions, AnyRow, install_default_drivers};
use sqlx::{AnyConnection, AssertSqlSafe, ConnectOptions, Connection, Row};
use tempfile::TempDir;

use super::process::wait_until;
use super::server;

/// An empty database that ends with the test.
pub(crate) struct Database {
    directory: TempDir,
    url: String,
    /// The server's URL and the name, for PostgreSQL.
    created: Option<(String, String)>,
}

impl Database {
    /// A file that does not exist yet, in a directory of its own.
    pub(crate) fn sqlite() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        Self { directory, url: "sqlite:///history.db".to_owned(), created: None }
    }

    /// A database on the run's server, or `None` if PostgreSQL was switched off.
    pub(crate) fn postgresql() -> Option<Self> {
        server::shared().map(Self::on)
    }

    /// A database on the server that `admin_url` leads to.
    pub(crate) fn on(admin_url: &str) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("tarsy_test_{}_{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        execute(admin_url, &format!("CREATE DATABASE {name}"));
        let (server, _) = admin_url.rsplit_once('/').expect("the URL names a database");
        Self {
            directory: tempfile::tempdir().expect("a temporary directory"),
            url: format!("{server}/{name}"),
            created: Some((admin_url.to_owned(), name)),
        }
    }

    /// Another empty database of the same kind.
    pub(crate) fn another(&self) -> Self {
        self.created.as_ref().map_or_else(Self::sqlite, |(admin_url, _)| Self::on(admin_url))
    }

    /// Where the binary runs; SQLite's file is in there.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The URL as the user gives it.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The URL with another password, for PostgreSQL.
    pub(crate) fn url_with_password(&self, password: &str) -> String {
        let (before, place) = self.url.rsplit_once('@').expect("the URL names a user");
        let (user, _) = before.rsplit_once(':').expect("the URL has a password");
        format!("{user}:{password}@{place}")
    }

    /// The port of the server, for PostgreSQL.
    pub(crate) fn port(&self) -> u16 {
        let (server, _) = self.url.rsplit_once('/').expect("the URL names a database");
        let (_, port) = server.rsplit_once(':').expect("the URL names a port");
        port.parse().expect("a port")
    }

    /// The URL with another port of this machine, for PostgreSQL.
    pub(crate) fn url_through(&self, port: u16) -> String {
        let (login, _) = self.url.rsplit_once('@').expect("the URL names a user");
        format!("{login}@127.0.0.1:{port}/{}", self.name())
    }

    /// The database's name, for PostgreSQL.
    pub(crate) fn name(&self) -> &str {
        &self.created.as_ref().expect("a SQLite file has no name").1
    }

    /// Whether this is a file.
    pub(crate) fn is_sqlite(&self) -> bool {
        self.created.is_none()
    }

    /// Runs one statement or several.
    pub(crate) fn execute(&self, sql: &str) {
        execute(&self.driver_url(), sql);
    }

    /// The first column of each row as text. The query has to cast what is not text.
    pub(crate) fn texts(&self, sql: &str) -> Vec<Option<String>> {
        self.query(sql).iter().map(|row| row.try_get(0).expect("the first column is text")).collect()
    }

    /// The one number that a query gives.
    pub(crate) fn number(&self, sql: &str) -> i64 {
        self.query(sql)[0].try_get(0).expect("the first column is a bigint")
    }

    /// How many rows a table has.
    pub(crate) fn count(&self, table: &str) -> i64 {
        self.number(&format!("SELECT count(*) FROM {table}"))
    }

    /// Waits until a query gives a number other than 0.
    #[track_caller]
    pub(crate) fn wait_until(&self, sql: &str) {
        wait_until(sql, || self.number(sql) != 0);
    }

    /// The rows of a query.
    pub(crate) fn query(&self, sql: &str) -> Vec<AnyRow> {
        let url = self.driver_url();
        block_on(async {
            let mut connection = connect(&url).await;
            let rows = sqlx::query(AssertSqlSafe(sql)).fetch_all(&mut connection).await;
            connection.close().await.expect("the connection closes");
            rows.unwrap_or_else(|error| panic!("{error}: {sql}"))
        })
    }

    /// A connection of the test's own, to hold locks with.
    pub(crate) async fn connect(&self) -> AnyConnection {
        connect(&self.driver_url()).await
    }

    /// The URL as the driver reads it: another dialect than the one under test.
    pub(crate) fn driver_url(&self) -> String {
        match self.is_sqlite() {
            true => format!("sqlite://{}?mode=rwc", self.directory().join("history.db").display()),
            false => self.url.clone(),
        }
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if let Some((admin_url, name)) = &self.created
            && !std::thread::panicking()
        {
            execute(admin_url, &format!("DROP DATABASE {name} WITH (FORCE)"));
        }
    }
}

async fn connect(url: &str) -> AnyConnection {
    install_default_drivers();
    let options: AnyConnectOptions = url.parse().expect("a URL");
    options.connect().await.unwrap_or_else(|error| panic!("{error}"))
}

fn execute(url: &str, sql: &str) {
    block_on(async {
        let mut connection = connect(url).await;
        let done = sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await;
        connection.close().await.expect("the connection closes");
        done.unwrap_or_else(|error| panic!("{error}: {sql}"));
    });
}

/// Runs a future to its end.
pub(crate) fn block_on<T>(work: impl Future<Output = T>) -> T {
    runtime().block_on(work)
}

/// A runtime for a test that is not asynchronous.
pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}
