//! The driver's way to the server through this process: other processes cannot use it.

use std::io::{Read, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::time::Duration;

use crate::support::history::three_old_sessions;
use crate::support::proxy::{Moment, Proxy, Silence};
use crate::support::{Running, apply, test};

/// The start-up message of a client: `user` is `postgres`.
const STARTUP: &[u8] = b"\0\0\0\x17\0\x03\0\0user\0postgres\0\0";

#[apply(test)]
fn another_process_gets_no_connection_through_it() {
    let database = three_old_sessions();
    let proxy = Proxy::to(database.port());
    proxy.halt_at(Moment::After("has_table_privilege"), Silence::Connection);
    let mut run = Running::start_at(&database.url_through(proxy.port), database.directory(), &["check"]);
    assert!(proxy.has_halted(&mut run), "{}", run.stderr());
    let sockets = std::fs::read_to_string(format!("/proc/{}/net/unix", run.pid())).expect("the process runs");
    // Other programs may have such names too.
    let is_bridge = |name: &&str| name.find('/') == Some(32) && name.ends_with("/.s.PGSQL.5432");
    let names = sockets.lines().filter_map(|line| line.split_once("@tarsy-db-")).map(|(_, name)| name);
    let names: Vec<_> = names.filter(is_bridge).collect();
    assert!(!names.is_empty(), "the socket has a name that other processes see");
    for name in names {
        let address = SocketAddr::from_abstract_name(format!("tarsy-db-{name}")).expect("a name");
        // Those of other tests may have ended meanwhile.
        let Ok(mut stream) = UnixStream::connect_addr(&address) else { continue };
        stream.set_read_timeout(Some(Duration::from_secs(5))).expect("a time limit");
        let _ = stream.write_all(STARTUP);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        assert!(answer.is_empty(), "{name} answers {} bytes", answer.len());
    }
    run.kill();
}
