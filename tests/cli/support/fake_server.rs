//! Fake servers, whose answers the test decides.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

/// A server that handles each client with this function. Returns its URL.
pub(crate) fn server_of(serve: impl Fn(TcpStream) + Clone + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let serve = serve.clone();
            std::thread::spawn(move || serve(client));
        }
    });
    format!("postgresql://tarsy:test-password@127.0.0.1:{port}/tarsy")
}

/// A server that answers every login with the same bytes, and then keeps the connection open. Returns its URL.
pub(crate) fn server_that_sends(answer: &[u8]) -> String {
    let answer = answer.to_vec();
    server_of(move |mut client| {
        if greet(&mut client, &answer).is_ok() {
            let _ = client.read_to_end(&mut Vec::new());
        }
    })
}

/// Refuses TLS, reads the start-up message, and answers.
pub(crate) fn greet(client: &mut TcpStream, answer: &[u8]) -> std::io::Result<()> {
    const TLS: [u8; 4] = 80_877_103_u32.to_be_bytes();
    let mut head = [0; 8];
    client.read_exact(&mut head)?;
    if head[4..] == TLS {
        client.write_all(b"N")?;
        client.read_exact(&mut head)?;
    }
    let length = u32::from_be_bytes([head[0], head[1], head[2], head[3]]);
    client.read_exact(&mut vec![0; length as usize - head.len()])?;
    client.write_all(answer)
}

/// A message of the protocol.
pub(crate) fn message(format: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).expect("short").to_be_bytes();
    [&[format], &length[..], body].concat()
}

/// Answers the login.
pub(crate) fn login() -> Vec<u8> {
    [message(b'R', &[0; 4]), message(b'K', &[0; 8]), message(b'Z', b"I")].concat()
}
