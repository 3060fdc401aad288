//! A new database for each test, and a way to read it without the code under test.

use std::fmt::{Debug, Formatter};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, Once, OnceLock};

use tempfile::TempDir;

use super::connection::{Connection, Value};
use super::process::wait_until;
use super::{Outcome, server, tarsy_db, test_directory};

/// A database that ends with the test.
pub(crate) struct Database {
    directory: TempDir,
    url: String,
    on_server: Option<OnServer>,
}

/// As the name of a case.
impl Debug for Database {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.url)
    }
}

/// A database on a PostgreSQL server, which is created when it is first asked for: empty, or with a schema.
struct OnServer {
    admin_url: String,
    name: String,
    created: Once,
}

impl OnServer {
    fn new(admin_url: &str) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        // Always as long: a table is as wide as what it shows.
        let name = format!("tarsy_test_{:010}_{:06}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        Self { admin_url: admin_url.to_owned(), name, created: Once::new() }
    }

    fn url(&self) -> String {
        let (server, _) = self.admin_url.rsplit_once('/').expect("the URL names a database");
        format!("{server}/{}", self.name)
    }

    fn create(&self, template: &str) {
        self.created.call_once(|| {
            // To copy files is quicker than to log each page, where no checkpoint has to wait for a disk.
            let strategy = if server::is_foreign(&self.admin_url) { "" } else { "STRATEGY file_copy" };
            let statement = format!("CREATE DATABASE {} TEMPLATE {template} {strategy}", self.name);
            // On a thread of its own, because the test may be asynchronous.
            std::thread::scope(|scope| scope.spawn(|| execute(&self.admin_url, &statement)).join())
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        });
    }
}

impl Drop for OnServer {
    fn drop(&mut self) {
        if self.created.is_completed() && !std::thread::panicking() {
            execute(&self.admin_url, &format!("DROP DATABASE {} WITH (FORCE)", self.name));
        }
    }
}

/// The schemas that many tests start with.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Schema {
    Baseline,
    Head,
}

impl Schema {
    /// The schema that `tarsy-db init` creates by default.
    fn file(self) -> &'static [u8] {
        static FILES: [OnceLock<Vec<u8>>; 2] = [const { OnceLock::new() }; 2];
        FILES[self as usize].get_or_init(|| {
            let database = Database::sqlite();
            self.init(&database);
            std::fs::read(database.file()).expect("the file is there")
        })
    }

    /// The name of a database of which `tarsy-db init` made this.
    fn template(self) -> String {
        let mut templates = TEMPLATES.lock().expect("no thread panics while it holds the lock");
        let databases = templates.get_or_insert_with(|| {
            [Self::Baseline, Self::Head].map(|schema| {
                let database = Database::on(server::shared());
                schema.init(&database);
                database
            })
        });
        databases[self as usize].name().to_owned()
    }

    fn init(self, database: &Database) {
        let target = match self {
            Self::Baseline => "baseline",
            Self::Head => "head",
        };
        Outcome::of(tarsy_db(database).args(["init", "--quiet", "--to", target])).expect(0);
    }
}

static TEMPLATES: Mutex<Option<[Database; 2]>> = Mutex::new(None);

/// Drops what databases were copied from: the server may not be the run's own.
pub(crate) fn drop_templates() {
    drop(TEMPLATES.lock().expect("no thread panics while it holds the lock").take());
}

impl Database {
    /// A file that does not exist yet, in a directory of its own.
    pub(crate) fn sqlite() -> Self {
        Self::in_directory(test_directory())
    }

    /// The same below `parent`.
    pub(crate) fn sqlite_in(parent: &Path) -> Self {
        Self::in_directory(tempfile::tempdir_in(parent).expect("a directory"))
    }

    fn in_directory(directory: TempDir) -> Self {
        Self { directory, url: "sqlite:///history.db".to_owned(), on_server: None }
    }

    /// A database on the run's server.
    pub(crate) fn postgresql() -> Self {
        Self::on(server::shared())
    }

    /// A database on the server that `admin_url` leads to.
    pub(crate) fn on(admin_url: &str) -> Self {
        let on_server = OnServer::new(admin_url);
        Self { directory: test_directory(), url: on_server.url(), on_server: Some(on_server) }
    }

    /// Creates TARSy's tables, from a copy where nothing has been done with the database yet.
    #[track_caller]
    pub(crate) fn create_schema(&self, schema: Schema) {
        match &self.on_server {
            None if !self.file().exists() => std::fs::write(self.file(), schema.file()).expect("it can be written"),
            Some(on_server) if server::is_shared(&on_server.admin_url) && !on_server.created.is_completed() => {
                on_server.create(&schema.template());
            }
            _ => schema.init(self),
        }
    }

    /// The same as a database in the making.
    pub(crate) fn with_schema(self, schema: Schema) -> Self {
        self.create_schema(schema);
        self
    }

    /// Another empty database of the same kind.
    pub(crate) fn another(&self) -> Self {
        self.on_server.as_ref().map_or_else(Self::sqlite, |on_server| Self::on(&on_server.admin_url))
    }

    /// The working directory of the binary, which holds SQLite's file.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// SQLite's file.
    pub(crate) fn file(&self) -> PathBuf {
        self.directory().join("history.db")
    }

    /// The size of SQLite's file, without what is in the write-ahead log.
    pub(crate) fn file_bytes(&self) -> u64 {
        std::fs::metadata(self.file()).expect("the file is there").len()
    }

    /// The URL as the user gives it.
    pub(crate) fn url(&self) -> &str {
        if let Some(on_server) = &self.on_server {
            on_server.create("template1");
        }
        &self.url
    }

    /// The URL with another password, for PostgreSQL.
    pub(crate) fn url_with_password(&self, password: &str) -> String {
        let (before, place) = self.url().rsplit_once('@').expect("the URL names a user");
        let (user, _) = before.rsplit_once(':').expect("the URL has a password");
        format!("{user}:{password}@{place}")
    }

    /// The port of the server, for PostgreSQL.
    pub(crate) fn port(&self) -> u16 {
        let (server, _) = self.url().rsplit_once('/').expect("the URL names a database");
        let (_, port) = server.rsplit_once(':').expect("the URL names a port");
        port.parse().expect("a port")
    }

    /// The URL with another port of this machine, for PostgreSQL.
    pub(crate) fn url_through(&self, port: u16) -> String {
        let (login, _) = self.url().rsplit_once('@').expect("the URL names a user");
        format!("{login}@127.0.0.1:{port}/{}", self.name())
    }

    /// The database's name, for PostgreSQL.
    pub(crate) fn name(&self) -> &str {
        let (_, name) = self.url().rsplit_once('/').expect("the URL names a database");
        name
    }

    /// Whether this is a file.
    pub(crate) fn is_sqlite(&self) -> bool {
        self.on_server.is_none()
    }

    /// Runs one statement or several.
    pub(crate) fn execute(&self, sql: &str) {
        self.with_connection(|connection| connection.execute(sql));
    }

    /// Runs SQL without the enforcement of foreign keys.
    pub(crate) fn execute_unguarded(&self, sql: &str) {
        let off = if self.is_sqlite() { "PRAGMA foreign_keys = OFF" } else { "SET session_replication_role = replica" };
        self.execute(&format!("{off}; {sql}"));
    }

    /// The first column of each row as text. The query has to cast what is not text.
    pub(crate) fn texts(&self, sql: &str) -> Vec<Option<String>> {
        self.with_connection(|connection| connection.texts(sql))
    }

    /// The one number that a query gives.
    pub(crate) fn number(&self, sql: &str) -> i64 {
        self.with_connection(|connection| connection.number(sql))
    }

    /// How many rows a table has.
    pub(crate) fn count(&self, table: &str) -> i64 {
        self.number(&format!("SELECT count(*) FROM {table}"))
    }

    /// Waits until a query gives a number other than 0.
    #[track_caller]
    pub(crate) fn wait_until(&self, sql: &str) {
        match self.is_sqlite() {
            // `prune` detects other programs by their open files.
            true => wait_until(sql, || self.number(sql) != 0),
            false => self.with_connection(|connection| wait_until(sql, || connection.number(sql) != 0)),
        }
    }

    /// The first column of each row.
    #[track_caller]
    pub(crate) fn column<T: Value>(&self, sql: &str) -> Vec<T> {
        self.with_connection(|connection| connection.column(sql))
    }

    /// Runs several queries over one connection.
    #[track_caller]
    pub(crate) fn with_connection<T>(&self, work: impl FnOnce(&mut Connection) -> T) -> T {
        with_connection(&self.driver_url(), work)
    }

    /// The URL as the driver reads it: another dialect than the one under test.
    pub(crate) fn driver_url(&self) -> String {
        match self.is_sqlite() {
            true => format!("sqlite://{}?mode=rwc", self.file().display()),
            false => self.url().to_owned(),
        }
    }
}

#[track_caller]
fn with_connection<T>(url: &str, work: impl FnOnce(&mut Connection) -> T) -> T {
    let mut connection = Connection::open(url);
    let done = work(&mut connection);
    connection.close();
    done
}

fn execute(url: &str, sql: &str) {
    with_connection(url, |connection| connection.execute(sql));
}

/// Runs a future to its end.
pub(crate) fn block_on<T>(work: impl Future<Output = T>) -> T {
    runtime().block_on(work)
}

/// A runtime for a test that is not asynchronous.
pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}
