//! The way of the driver to a server. The driver speaks its queries to a private socket of this process; connecting,
//! TLS, login and silence are this program's own ([`server`]), as libpq has them.
//!
//! A thread of its own runs all bridges, so that work on the main thread never delays what is on its way.

use std::io::{Error, ErrorKind, Result};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use log::LevelFilter;
use sqlx::ConnectOptions;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use tokio::io::AsyncWriteExt;
use tokio::net::{UnixListener, UnixStream};
use tokio::runtime::{Builder, Handle};
use tokio::task::AbortHandle;

use super::relay::relay;
use super::server::{self, Session};
use super::startup::{self, OPTIONS, SessionSetting};
use crate::database::failure::{DatabaseCause, ErrorClass, refuses_options};
use crate::database::url::PostgresqlAddress;

/// The pauses in milliseconds after a login that was one too many: a session that has just ended may still count.
const PAUSES: [u64; 5] = [10, 30, 80, 160, 240];
/// The pause after an error of the operating system.
const PAUSE: Duration = Duration::from_millis(10);
/// The port in the name of the socket, which the driver adds.
const PORT: u16 = 5432;
/// The setting after which the options of this program begin. The driver has those of `PGOPTIONS` before it.
const OWN: &str = "tarsy_db.own";

/// Runs all bridges.
static RUNTIME: LazyLock<Result<Handle>> = LazyLock::new(|| {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let handle = runtime.handle().clone();
    let run = move || runtime.block_on(std::future::pending::<()>());
    std::thread::Builder::new().name("bridge".to_owned()).spawn(run)?;
    Ok(handle)
});

/// A bridge to one server. New connections end with it, open ones do not.
#[derive(Debug)]
pub(super) struct Bridge {
    /// The directory of the socket, in the driver's words.
    directory: PathBuf,
    accepting: AbortHandle,
}

impl Bridge {
    /// Begins to listen. Nothing connects to the server yet.
    pub(super) fn to(address: &PostgresqlAddress) -> Result<Self> {
        let runtime = RUNTIME.as_ref().map_err(|error| Error::new(error.kind(), error.to_string()))?;
        let _entered = runtime.enter();
        let directory = private_directory()?;
        let listener = UnixListener::bind(directory.join(format!(".s.PGSQL.{PORT}")))?;
        let accepting = runtime.spawn(accept(listener, Arc::new(address.clone()))).abort_handle();
        Ok(Self { directory, accepting })
    }

    /// How the driver connects.
    pub(super) fn options(&self) -> PgConnectOptions {
        PgConnectOptions::new_without_pgpass()
            .socket(&self.directory)
            .port(PORT)
            .ssl_mode(PgSslMode::Disable)
            // Poolers refuse start-up parameters that they do not know, and servers since version 12 need none.
            .extra_float_digits(None)
            .options([(OWN, "on")])
            .log_statements(LevelFilter::Debug)
            .log_slow_statements(LevelFilter::Off, Duration::MAX)
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        self.accepting.abort();
        if !is_abstract(&self.directory) {
            std::fs::remove_dir_all(&self.directory).ok();
        }
    }
}

/// A directory whose sockets no other user reaches. Linux has names without files for that, which also work where
/// nothing can be written; [`is_own`] keeps others out.
fn private_directory() -> Result<PathBuf> {
    let mut random = [0; 16];
    openssl::rand::rand_bytes(&mut random)?;
    let name = format!("tarsy-db-{:032x}", u128::from_be_bytes(random));
    if cfg!(target_os = "linux") {
        return Ok(PathBuf::from(format!("\0{name}")));
    }
    directory_in(&std::env::temp_dir(), &name)
}

fn directory_in(parent: &Path, name: &str) -> Result<PathBuf> {
    let directory = parent.join(name);
    std::fs::DirBuilder::new().mode(0o700).create(&directory)?;
    Ok(directory)
}

fn is_abstract(path: &Path) -> bool {
    path.as_os_str().as_encoded_bytes().first() == Some(&0)
}

/// Whether this very process has connected.
fn is_own(driver: &UnixStream) -> bool {
    let peer = driver.peer_cred().ok().and_then(|peer| peer.pid());
    peer.is_some_and(|peer| u32::try_from(peer) == Ok(std::process::id()))
}

async fn accept(listener: UnixListener, address: Arc<PostgresqlAddress>) {
    loop {
        match listener.accept().await {
            Ok((driver, _)) if is_own(&driver) => drop(tokio::spawn(serve(driver, Arc::clone(&address)))),
            Ok(_) => {}
            // There are too many open files: some may be closed soon.
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

/// Connects to the server for the driver, and then copies. The driver learns the reason of a failure.
async fn serve(mut driver: UnixStream, address: Arc<PostgresqlAddress>) {
    let Ok(settings) = startup::read(&mut driver).await else { return };
    let settings = settings.into_iter().map(own_options).collect();
    let connected = tokio::select! {
        connected = connect(&address, settings) => connected,
        () = end_of(&driver) => return,
    };
    match connected {
        Ok(Session { stream, greeting, .. }) => {
            if driver.write_all(&[&AUTHENTICATED[..], &greeting].concat()).await.is_ok() {
                relay(driver, stream).await;
            }
        }
        Err(cause) => {
            driver.write_all(&cause.as_answer()).await.ok();
        }
    }
}

/// Leaves out the options of `PGOPTIONS`: the address has them, unless it has others.
fn own_options((name, value): SessionSetting) -> SessionSetting {
    let own =
        value.rsplit_once(&format!("-c {OWN}=on")).filter(|_| name == OPTIONS).map(|(_, own)| own.trim().to_owned());
    (name, own.unwrap_or(value))
}

/// Tells the driver that the login has succeeded.
const AUTHENTICATED: [u8; 9] = *b"R\0\0\0\x08\0\0\0\0";

/// Waits until the driver gives up: before the login has ended it says nothing.
async fn end_of(driver: &UnixStream) {
    while driver.readable().await.is_ok() {
        match driver.try_read(&mut [0]) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            _ => return,
        }
    }
}

type Connected = std::result::Result<Session, DatabaseCause>;

/// Connects, if need be without the settings that a pooler refuses.
async fn connect(address: &PostgresqlAddress, settings: Vec<SessionSetting>) -> Connected {
    match connect_patiently(address, &settings).await {
        Err(cause) if refuses_options(&cause.message) => {
            let plain: Vec<_> = settings.into_iter().filter(|(name, _)| name != OPTIONS).collect();
            connect_patiently(address, &plain).await
        }
        connected => connected,
    }
}

async fn connect_patiently(address: &PostgresqlAddress, settings: &[SessionSetting]) -> Connected {
    for pause in PAUSES {
        match server::connect(address, settings).await {
            Err(cause) if cause.class == ErrorClass::TooManyConnections => {
                tokio::time::sleep(Duration::from_millis(pause)).await;
            }
            connected => return connected,
        }
    }
    server::connect(address, settings).await
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_options_of_the_variable_are_left_out() {
        let own = |name: &str, value: &str| own_options((name.to_owned(), value.to_owned())).1;
        assert_eq!(own(OPTIONS, "-c a=b -c tarsy_db.own=on -c c=d"), "-c c=d");
        assert_eq!(own(OPTIONS, "-c tarsy_db.own=on"), "");
        assert_eq!(own("user", "-c tarsy_db.own=on"), "-c tarsy_db.own=on");
    }

    #[test]
    fn a_directory_is_private_and_removed_with_the_bridge() {
        let parent = std::env::temp_dir();
        let directory = directory_in(&parent, &format!("tarsy-db-test-{}", std::process::id())).expect("a directory");
        let mode = std::fs::metadata(&directory).expect("it exists").permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        let runtime = RUNTIME.as_ref().expect("a runtime");
        let accepting = runtime.spawn(std::future::pending::<()>()).abort_handle();
        drop(Bridge { directory: directory.clone(), accepting });
        assert!(!directory.exists());
    }
}
