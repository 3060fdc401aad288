//! A network between the binary and a server that can stop forwarding, or break, at a chosen point.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use super::process::{Running, wait_until};

/// The message that commits a transaction; isolation levels contain the word as well.
pub(crate) const COMMIT: &str = "Q\0\0\0\x0bCOMMIT\0";

/// The point at which the network stops forwarding.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Moment<'t> {
    /// When so many bytes have passed, in both directions and on all connections.
    Bytes(u64),
    /// Before a message of the client that contains this text.
    Before(&'t str),
    /// After that message; the answer is not forwarded.
    After(&'t str),
}

/// What stops forwarding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Silence {
    /// All connections, existing and new.
    Network,
    /// The one connection that did it, as where a firewall forgets it.
    Connection,
}

/// Forwards connections to a server's port on this machine, until a moment.
pub(crate) struct Proxy {
    pub(crate) port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

enum Halted {
    Everything,
    Connection(usize),
}

#[derive(Default)]
struct State {
    passed: u64,
    connections: usize,
    sockets: Vec<TcpStream>,
    /// The text, and whether it is still let through.
    text: Option<(Vec<u8>, bool)>,
    /// What the server has to say first, and the connections on which it did. The text is meant on the others.
    first: Option<(Vec<u8>, BTreeSet<usize>)>,
    limit: Option<u64>,
    silence: Option<Silence>,
    /// What is silent now.
    halted: Option<Halted>,
    /// Whether what was still let through is through.
    is_silent: bool,
    is_over: bool,
}

impl State {
    fn is_halted(&self, connection: usize) -> bool {
        match self.halted {
            None => false,
            Some(Halted::Everything) => true,
            Some(Halted::Connection(halted)) => halted == connection,
        }
    }

    fn halt(&mut self, connection: usize) {
        (self.limit, self.text) = (None, None);
        self.halted = Some(match self.silence {
            Some(Silence::Connection) => Halted::Connection(connection),
            _ => Halted::Everything,
        });
    }

    /// How many of these bytes may pass, and whether the moment comes behind them.
    fn allowance(&mut self, connection: usize, heard: &[u8], fresh: usize, from_client: bool) -> (usize, bool) {
        if let Some(limit) = self.limit
            && self.passed + fresh as u64 >= limit
        {
            let allowed = usize::try_from(limit.saturating_sub(self.passed)).expect("a chunk");
            self.halt(connection);
            return (allowed, true);
        }
        let says = |text: &[u8]| heard.windows(text.len()).any(|words| words == text);
        if let Some((answer, connections)) = &mut self.first
            && !from_client
            && says(answer)
        {
            connections.insert(connection);
        }
        let is_meant = self
            .first
            .as_ref()
            .is_none_or(|(_, connections)| !connections.is_empty() && !connections.contains(&connection));
        if let Some((text, passes)) = &self.text
            && from_client
            && is_meant
            && says(text)
        {
            let allowed = if *passes { fresh } else { 0 };
            self.halt(connection);
            return (allowed, true);
        }
        (fresh, false)
    }
}

impl Proxy {
    /// Starts to forward everything.
    pub(crate) fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let own_port = listener.local_addr().expect("a bound socket").port();
        let shared = Arc::new(Shared { state: Mutex::default(), changed: Condvar::new() });
        let accepting = Arc::clone(&shared);
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Some(connection) = accepting.admit() else { return };
                let Ok(server) = TcpStream::connect(("127.0.0.1", port)) else { continue };
                for (from, to, from_client) in [(&client, &server, true), (&server, &client, false)] {
                    let [from, to] = [from, to].map(|socket| socket.try_clone().expect("a socket"));
                    accepting.lock().sockets.extend(from.try_clone());
                    let shared = Arc::clone(&accepting);
                    std::thread::spawn(move || shared.forward(connection, from, to, from_client));
                }
            }
        });
        Self { port: own_port, shared }
    }

    /// Makes this the moment at which the network falls silent.
    pub(crate) fn halt_at(&self, moment: Moment<'_>, silence: Silence) {
        let mut state = self.shared.lock();
        state.silence = Some(silence);
        match moment {
            Moment::Bytes(limit) => state.limit = Some(limit),
            Moment::Before(text) => state.text = Some((text.as_bytes().to_vec(), false)),
            Moment::After(text) => state.text = Some((text.as_bytes().to_vec(), true)),
        }
    }

    /// The text of a moment counts after the server has said this, and on other connections.
    pub(crate) fn first_hear(&self, answer: &str) {
        self.shared.lock().first = Some((answer.as_bytes().to_vec(), BTreeSet::new()));
    }

    /// Waits until the network has fallen silent. Says whether it did before the process ended.
    #[track_caller]
    pub(crate) fn has_halted(&self, run: &mut Running) -> bool {
        wait_until("the network falls silent", || self.is_halted() || run.is_over());
        self.is_halted()
    }

    fn is_halted(&self) -> bool {
        self.shared.lock().is_silent
    }

    /// How many bytes have passed.
    pub(crate) fn passed(&self) -> u64 {
        self.shared.lock().passed
    }

    /// Forwards everything again.
    pub(crate) fn resume(&self) {
        let mut state = self.shared.lock();
        (state.halted, state.is_silent) = (None, false);
        drop(state);
        self.shared.changed.notify_all();
    }

    /// Closes every connection, and lets new ones pass.
    pub(crate) fn cut(&self) {
        let mut state = self.shared.lock();
        for socket in state.sockets.drain(..) {
            let _ = socket.shutdown(Shutdown::Both);
        }
        (state.limit, state.text, state.halted, state.is_silent, state.passed) = (None, None, None, false, 0);
        drop(state);
        self.shared.changed.notify_all();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.lock().is_over = true;
        self.cut();
        // Wakes up the accepting thread.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no thread panics while it holds the lock")
    }

    fn admit(&self) -> Option<usize> {
        let mut state = self.lock();
        state.connections += 1;
        (!state.is_over).then_some(state.connections)
    }

    fn forward(&self, connection: usize, mut from: TcpStream, mut to: TcpStream, from_client: bool) {
        let mut chunk = vec![0; 64 * 1024];
        // The end of what came before: a text may come in two pieces.
        let mut heard = Vec::new();
        while let Ok(length @ 1..) = from.read(&mut chunk) {
            heard.drain(..heard.len().saturating_sub(100));
            heard.extend_from_slice(&chunk[..length]);
            let mut state = self.wait(connection);
            let (allowed, is_the_moment) = state.allowance(connection, &heard, length, from_client);
            state.passed += length as u64;
            drop(state);
            if to.write_all(&chunk[..allowed]).is_err() {
                break;
            }
            if is_the_moment {
                self.lock().is_silent = true;
            }
            drop(self.wait(connection));
            if to.write_all(&chunk[allowed..length]).is_err() {
                break;
            }
        }
        drop(self.wait(connection));
        let _ = to.shutdown(Shutdown::Both);
        let _ = from.shutdown(Shutdown::Both);
    }

    /// Waits for as long as the connection is silent.
    fn wait(&self, connection: usize) -> MutexGuard<'_, State> {
        let mut state = self.lock();
        while state.is_halted(connection) {
            state = self.changed.wait(state).expect("no thread panics while it holds the lock");
        }
        state
    }
}
