//! A pooler in transaction mode with one session on the server, as PgBouncer would be with a pool of one: whatever a
//! command leaves on the session, the next client finds.

use std::io::{Error, Read, Result, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use super::fake_server::message;

/// Gives the one session to one client after the other, for a transaction each.
pub(crate) struct Pooler {
    pub(crate) port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    server_port: u16,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// The session, and what the server said when it began.
    session: Option<(TcpStream, Vec<u8>)>,
    /// Whom the session belongs to until its transaction ends.
    holder: Option<TcpStream>,
    /// How many answers the holder waits for.
    unanswered: usize,
    /// Counts the sessions: the answers of an old one are dropped.
    generation: usize,
    /// How many clients have come and not been forgotten.
    clients: usize,
}

const TLS: u32 = 80_877_103;
const CANCEL: u32 = 80_877_102;

impl Pooler {
    /// Starts in front of a server's port.
    pub(crate) fn to(server_port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("a bound socket").port();
        let shared = Arc::new(Shared { server_port, state: Mutex::default(), changed: Condvar::new() });
        let accepting = Arc::clone(&shared);
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let shared = Arc::clone(&accepting);
                shared.lock().clients += 1;
                std::thread::spawn(move || {
                    let _ = shared.serve(&client);
                    shared.forget(&client);
                    let _ = client.shutdown(Shutdown::Both);
                });
            }
        });
        Self { port, shared }
    }

    /// Waits until every client is forgotten: one that left within its transaction takes the session with it, also from
    /// a client that has just logged in.
    pub(crate) fn wait_until_all_left(&self) {
        let state = self.shared.lock();
        let left = self.shared.changed.wait_while(state, |state| state.clients > 0);
        drop(left.expect("no thread panics while it holds the lock"));
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no thread panics while it holds the lock")
    }

    /// Serves a client until it ends.
    fn serve(self: &Arc<Self>, mut client: &TcpStream) -> Result<()> {
        // Messages are short, and each would wait for the other side's delayed acknowledgement.
        client.set_nodelay(true)?;
        let startup = loop {
            let startup = read_startup(client)?;
            match u32::from_be_bytes(startup[4..8].try_into().expect("four bytes")) {
                TLS => client.write_all(b"N")?,
                CANCEL => return Ok(()),
                _ => break startup,
            }
        };
        if startup.split(|byte| *byte == 0).any(|word| word == b"options" || word == b"extra_float_digits") {
            let fields = b"SFATAL\0VFATAL\0C08P01\0Munsupported startup parameter: options\0\0";
            return client.write_all(&message(b'E', fields));
        }
        self.log_in(client, &startup)?;
        loop {
            let words = read_message(client)?;
            if words[0] == b'X' {
                return Ok(());
            }
            let mut state = self.take(client)?;
            // Each of these is answered with the state of the transaction.
            state.unanswered += usize::from(matches!(words[0], b'Q' | b'S' | b'F'));
            let (session, _) = state.session.as_mut().ok_or_else(gone)?;
            session.write_all(&words)?;
        }
    }

    /// The first client logs in to the server; the others hear what it heard.
    fn log_in(self: &Arc<Self>, mut client: &TcpStream, startup: &[u8]) -> Result<()> {
        let mut state = self.lock();
        if let Some((_, greeting)) = &state.session {
            return client.write_all(greeting);
        }
        let mut server = TcpStream::connect(("127.0.0.1", self.server_port))?;
        server.set_nodelay(true)?;
        server.write_all(startup)?;
        let mut greeting = message(b'R', &[0; 4]);
        loop {
            let said = read_message(&server)?;
            client.write_all(&said)?;
            match said[0] {
                // An authentication request that wants an answer: neither OK nor the end of SASL.
                b'R' if !matches!(said[8], 0 | 12) => server.write_all(&read_message(client)?)?,
                b'R' => {}
                b'E' => return Err(gone()),
                _ => greeting.extend_from_slice(&said),
            }
            if said[0] == b'Z' {
                break;
            }
        }
        state.generation += 1;
        let (shared, reader, generation) = (Arc::clone(self), server.try_clone()?, state.generation);
        std::thread::spawn(move || shared.answer(&reader, generation));
        state.session = Some((server, greeting));
        Ok(())
    }

    /// Waits until the session belongs to the client.
    fn take(&self, client: &TcpStream) -> Result<MutexGuard<'_, State>> {
        let own = client.peer_addr()?;
        let mut state = self.lock();
        loop {
            match &state.holder {
                Some(holder) if holder.peer_addr().ok() == Some(own) => return Ok(state),
                None => {
                    (state.holder, state.unanswered) = (Some(client.try_clone()?), 0);
                    return Ok(state);
                }
                Some(_) => state = self.changed.wait(state).expect("no thread panics while it holds the lock"),
            }
        }
    }

    /// Forwards the server's answers to the holder, whose turn ends with its transaction.
    fn answer(&self, server: &TcpStream, generation: usize) {
        while let Ok(said) = read_message(server) {
            let mut state = self.lock();
            if state.generation != generation {
                return;
            }
            if let Some(holder) = &mut state.holder {
                let _ = holder.write_all(&said);
            }
            if said[0] == b'Z' {
                state.unanswered = state.unanswered.saturating_sub(1);
                if said[5] == b'I' && state.unanswered == 0 {
                    state.holder = None;
                    self.changed.notify_all();
                }
            }
        }
        let mut state = self.lock();
        if state.generation == generation {
            if let Some(holder) = state.holder.take() {
                let _ = holder.shutdown(Shutdown::Both);
            }
            state.session = None;
            self.changed.notify_all();
        }
    }

    /// A client left: if within its transaction, the session ends.
    fn forget(&self, client: &TcpStream) {
        let mut state = self.lock();
        state.clients -= 1;
        let is_holder = state.holder.as_ref().is_some_and(|holder| holder.peer_addr().ok() == client.peer_addr().ok());
        if is_holder {
            state.holder = None;
            state.generation += 1;
            if let Some((session, _)) = state.session.take() {
                let _ = session.shutdown(Shutdown::Both);
            }
        }
        self.changed.notify_all();
    }
}

fn gone() -> Error {
    Error::other("the session is gone")
}

/// Reads a message that has no type, with its length.
fn read_startup(mut from: &TcpStream) -> Result<Vec<u8>> {
    let mut words = vec![0; 4];
    from.read_exact(&mut words)?;
    let length = u32::from_be_bytes(words[..4].try_into().expect("four bytes"));
    words.resize(length as usize, 0);
    from.read_exact(&mut words[4..])?;
    Ok(words)
}

/// Reads a message with its type and length.
fn read_message(mut from: &TcpStream) -> Result<Vec<u8>> {
    let mut words = vec![0; 5];
    from.read_exact(&mut words)?;
    let length = u32::from_be_bytes(words[1..5].try_into().expect("four bytes"));
    words.resize(length as usize + 1, 0);
    from.read_exact(&mut words[5..])?;
    Ok(words)
}
