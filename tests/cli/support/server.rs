//! The PostgreSQL server of a test run: `TEST_POSTGRESQL_URL`, or one that is started here from the binaries in
//! `TEST_POSTGRESQL_BIN`, or from the installed ones.

use std::fs::Permissions;
use std::io::Read;
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use tokio::net::TcpSocket;

use super::connection::Connection;
use super::harness::require;
use super::temporary_directory;

/// The password of each role that the tests create.
pub(crate) const PASSWORD: &str = "test-password";
/// What a server stores of it, with one round of hashing instead of 4,096, which an unoptimised program spends more
/// time on than on anything else. A server takes it in the place of a password.
pub(crate) const VERIFIER: &str = "SCRAM-SHA-256$1:dGFyc3ktZGIgdGVzdHMuLg==\
    $jc4xDl9kNkxxpWatcneN+YXNPv+h5TuLG8sGMrMcpsk=:o1l+eXrcj7NDqywurYe6q9LFBJPlaNQh526Z4hWS5VI=";

static SHARED: OnceLock<(String, Option<Server>)> = OnceLock::new();

/// The URL of the run's server with a role that may create databases.
pub(crate) fn shared() -> &'static str {
    require_postgresql();
    let (url, _) = SHARED.get_or_init(|| {
        if let Ok(url) = std::env::var("TEST_POSTGRESQL_URL") {
            return (url, None);
        }
        let server = Server::start(&CHEAP);
        (server.url("postgres"), Some(server))
    });
    url
}

/// Whether a URL leads to the run's server.
pub(crate) fn is_shared(url: &str) -> bool {
    SHARED.get().is_some_and(|(shared, _)| shared == url)
}

/// Whether a URL leads to a server that was not started here.
pub(crate) fn is_foreign(url: &str) -> bool {
    std::env::var("TEST_POSTGRESQL_URL").is_ok_and(|foreign| foreign == url)
}

/// Settings that the run's server does not need: it is never crashed or made a standby, and its tables are small.
const CHEAP: [&str; 5] = [
    "full_page_writes = off",
    "wal_level = minimal",
    "max_wal_senders = 0",
    "autovacuum = off",
    "max_wal_size = 256MB",
];

/// Leaves the test out where PostgreSQL was switched off. Where no server can be had otherwise, it fails with the line
/// to run.
pub(crate) fn require_postgresql() {
    require("TARSY_DB_TEST_WITHOUT_POSTGRESQL", "a PostgreSQL server");
}

/// A server of a test's own. It ends with this process.
pub(crate) struct Server {
    directory: PathBuf,
    binaries: PathBuf,
    pub(crate) port: u16,
    /// Keeps the port while the server is down.
    _reservation: TcpSocket,
    /// Ends the server and removes its files.
    _guard: Guard,
}

impl Server {
    /// Creates a cluster with password authentication and starts it.
    ///
    /// # Panics
    /// With the line to run when there is no PostgreSQL to start.
    pub(crate) fn start(settings: &[&str]) -> Self {
        let server = Self::create(settings);
        server.run();
        server
    }

    /// The same at a port that [`reserve`] gave.
    pub(crate) fn start_at(reservation: TcpSocket, settings: &[&str]) -> Self {
        let server = Self::create_at(reservation, settings);
        server.run();
        server
    }

    /// Creates a cluster without starting it.
    pub(crate) fn create(settings: &[&str]) -> Self {
        Self::create_at(reserve(0).expect("a free port"), settings)
    }

    fn create_at(reservation: TcpSocket, settings: &[&str]) -> Self {
        require_postgresql();
        let port = reservation.local_addr().expect("a bound socket").port();
        let binaries = binaries();
        let directory = temporary_directory("tarsy-db-postgresql-").keep();
        let data = directory.join("data");
        copy_cluster(&binaries, &directory);
        let mut lines = vec![
            format!("port = {port}"),
            "listen_addresses = '127.0.0.1'".to_owned(),
            format!("unix_socket_directories = '{}'", directory.display()),
            "fsync = off".to_owned(),
            "max_connections = 120".to_owned(),
        ];
        lines.extend(settings.iter().map(|line| (*line).to_owned()));
        std::fs::write(data.join("postgresql.auto.conf"), lines.join("\n") + "\n").expect("settings can be written");
        let stop = format!(
            "{} stop --silent --mode=immediate --pgdata={}; rm -rf {}",
            as_postgres_words(&binaries.join("pg_ctl")).join(" "),
            data.display(),
            directory.display()
        );
        Self { directory, binaries, port, _reservation: reservation, _guard: Guard::with(&stop) }
    }

    /// Gives the server its certificate and key, in PEM format, for `ssl = on`.
    pub(crate) fn install_certificate(&self, certificate: &str, key: &str) {
        for (name, text) in [("server.crt", certificate), ("server.key", key)] {
            let path = self.directory.join("data").join(name);
            std::fs::write(&path, text).expect("the file can be written");
            // The server takes no key that others may read.
            std::fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("it is ours");
            give_to_postgres(&path);
        }
    }

    /// Gives the server, before it runs, these lines of `pg_hba.conf`, and trusts its Unix socket.
    pub(crate) fn allow(&self, lines: &str) {
        let path = self.directory.join("data/pg_hba.conf");
        std::fs::write(&path, format!("local all all trust\n{lines}\n")).expect("the file can be written");
        give_to_postgres(&path);
    }

    /// A connection of the superuser over the Unix socket, which [`Server::allow`] opens.
    pub(crate) fn connection(&self) -> Connection {
        let directory = self.directory.display();
        Connection::open(&format!("postgresql://postgres@localhost:{}/postgres?host={directory}", self.port))
    }

    /// The directory of the server's Unix socket.
    pub(crate) fn socket_directory(&self) -> &Path {
        &self.directory
    }

    /// Starts the server and waits until it answers.
    pub(crate) fn run(&self) {
        self.start_server("--wait");
    }

    /// Starts the server without waiting for anything.
    pub(crate) fn launch(&self) {
        self.start_server("--no-wait");
    }

    fn start_server(&self, wait: &str) {
        let log = format!("--log={}", self.directory.join("log").display());
        assert!(self.pg_ctl(&["start", wait, "--timeout=60", "--silent", &log]), "no start: {}", self.log());
    }

    /// Stops the server: `smart`, `fast` or `immediate`, which is a crash.
    pub(crate) fn stop(&self, mode: &str) {
        assert!(self.pg_ctl(&["stop", "--silent", &format!("--mode={mode}")]), "pg_ctl stop failed");
    }

    /// Begins a smart shutdown, which waits for the sessions that are there, and does not wait for its end.
    pub(crate) fn begin_to_stop(&self) {
        assert!(self.pg_ctl(&["stop", "--silent", "--no-wait", "--mode=smart"]), "pg_ctl stop failed");
    }

    /// Changes a setting of a stopped server.
    pub(crate) fn set(&self, line: &str) {
        let path = self.directory.join("data/postgresql.auto.conf");
        let settings = std::fs::read_to_string(&path).expect("the file can be read");
        std::fs::write(&path, format!("{settings}{line}\n")).expect("the file can be written");
    }

    /// Makes a stopped server start as a standby, which replays what it has and accepts no writes.
    pub(crate) fn become_standby(&self) {
        let signal = self.directory.join("data").join("standby.signal");
        std::fs::write(&signal, "").expect("the file can be written");
        give_to_postgres(&signal);
    }

    /// Makes a standby accept writes, and waits until it does.
    pub(crate) fn promote(&self) {
        assert!(self.pg_ctl(&["promote", "--silent", "--wait"]), "no promotion: {}", self.log());
    }

    /// The URL of a database on this server, for the superuser.
    pub(crate) fn url(&self, database: &str) -> String {
        format!("postgresql://postgres:{PASSWORD}@127.0.0.1:{}/{database}", self.port)
    }

    fn pg_ctl(&self, arguments: &[&str]) -> bool {
        let mut command = as_postgres(&self.binaries.join("pg_ctl"));
        command.args(arguments).arg("--pgdata").arg(self.directory.join("data"));
        command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
    }

    /// What the server has logged.
    pub(crate) fn log(&self) -> String {
        let mut text = String::new();
        let file = std::fs::File::open(self.directory.join("log"));
        let _ = file.and_then(|mut file| file.read_to_string(&mut text));
        text
    }
}

/// A shell that waits for its standard input to close, which happens with this process at the latest, also when that is
/// killed, and then cleans up.
pub(crate) struct Guard(Child);

impl Guard {
    /// Starts the shell.
    pub(crate) fn with(script: &str) -> Self {
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("read -r _; {script}")]);
        shell.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        Self(shell.spawn().expect("a shell runs"))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

/// Puts a new cluster into a directory. `initdb` takes longer than a copy of what it has made once.
fn copy_cluster(binaries: &Path, directory: &Path) {
    static NEW: OnceLock<(PathBuf, Guard)> = OnceLock::new();
    let (new, _) = NEW.get_or_init(|| {
        let new = temporary_directory("tarsy-db-cluster-").keep();
        let guard = Guard::with(&format!("rm -rf {}", new.display()));
        let password_file = new.join("password");
        std::fs::write(&password_file, VERIFIER).expect("the password can be written");
        give_to_postgres(&new);
        let initdb = as_postgres(&binaries.join("initdb"))
            .args(["--auth=scram-sha-256", "--username=postgres", "--encoding=UTF8", "--locale=C", "--no-sync"])
            .arg(format!("--pwfile={}", password_file.display()))
            .arg("--pgdata")
            .arg(new.join("data"))
            .output()
            .expect("initdb runs");
        assert!(initdb.status.success(), "initdb: {}", String::from_utf8_lossy(&initdb.stderr));
        (new, guard)
    });
    let copied = Command::new("cp").arg("-a").arg(new.join("data")).arg(directory).status();
    assert!(copied.is_ok_and(|status| status.success()), "the new cluster cannot be copied");
    give_to_postgres(directory);
}

/// The directory with the server's programs.
pub(crate) fn binaries() -> PathBuf {
    if let Some(directory) = std::env::var_os("TEST_POSTGRESQL_BIN") {
        let directory = PathBuf::from(directory);
        // Absolute, because the server is not started in the working directory of the tests.
        assert!(
            directory.is_absolute() && directory.join("initdb").is_file(),
            "TEST_POSTGRESQL_BIN has to be the absolute path of a directory with `initdb`, and is `{}`",
            directory.display()
        );
        return directory;
    }
    installed().unwrap_or_else(|| {
        panic!(
            "no PostgreSQL server was found for the tests. Install one:\n    apt-get install postgresql\n\
             or name one, as a superuser:\n    \
             TEST_POSTGRESQL_URL=postgresql://user:password@host/postgres make test\n\
             or leave these tests out:\n    TARSY_DB_TEST_WITHOUT_POSTGRESQL=1 make test"
        )
    })
}

/// The directory with `initdb`: on PATH, or where Debian and Red Hat put it.
fn installed() -> Option<PathBuf> {
    let on_path =
        std::env::var_os("PATH").map(|path| std::env::split_paths(&path).collect::<Vec<_>>()).unwrap_or_default();
    let mut packaged: Vec<PathBuf> = ["/usr/lib/postgresql", "/usr"]
        .iter()
        .filter_map(|parent| std::fs::read_dir(parent).ok())
        .flat_map(|entries| entries.flatten().map(|entry| entry.path().join("bin")))
        .collect();
    packaged.sort();
    packaged.reverse();
    on_path.into_iter().chain(packaged).find(|directory| directory.join("initdb").is_file())
}

/// PostgreSQL and PgBouncer refuse to run as root: there they run as the system user `postgres`.
pub(crate) fn as_postgres(program: &Path) -> Command {
    let words = as_postgres_words(program);
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]);
    command.current_dir("/");
    command
}

fn as_postgres_words(program: &Path) -> Vec<String> {
    let program = program.display().to_string();
    match is_root() {
        true => {
            ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", &program].map(str::to_owned).to_vec()
        }
        false => vec![program],
    }
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").is_ok_and(|metadata| metadata.uid() == 0)
}

/// Gives a file or directory to the system user that runs the server.
pub(crate) fn give_to_postgres(directory: &Path) {
    if is_root() {
        let given = Command::new("chown").arg("-R").arg("postgres").arg(directory).status();
        assert!(given.is_ok_and(|status| status.success()), "chown failed: is there a system user `postgres`?");
    }
}

/// Takes a port of this machine, or any with 0, for as long as the socket lives: nothing listens at it, no other process
/// is given it, and a server that is told its number may listen there, any number of times.
pub(crate) fn reserve(port: u16) -> std::io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    // The server's socket has the option too, and two that have it share a port as long as only one listens.
    socket.set_reuseaddr(true)?;
    socket.bind((Ipv4Addr::LOCALHOST, port).into())?;
    Ok(socket)
}

/// A port without a listener, for as long as the socket lives.
pub(crate) fn closed_port() -> (TcpSocket, u16) {
    let socket = reserve(0).expect("a free port");
    let port = socket.local_addr().expect("a bound socket").port();
    (socket, port)
}
