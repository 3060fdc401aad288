//! Logs in to a server, as libpq does.

use postgres_protocol::authentication::md5_hash;
use postgres_protocol::authentication::sasl::{self, SCRAM_SHA_256, SCRAM_SHA_256_PLUS, ScramSha256};

use super::failure::{Failure, Reach};
use super::messages::{Message, Messages};
use super::password_file::Password;
use super::saslprep::scram_key;
use crate::database::connection::startup::{self, SessionSetting};
use crate::database::failure::{ErrorClass, PASSWORD_WANTED};
use crate::database::url::{ChannelBinding, LoginKind, RequiredLogin};

/// The types of the server's messages.
mod kind {
    pub(super) const AUTHENTICATION: u8 = b'R';
    pub(super) const ERROR: u8 = b'E';
    pub(super) const NOTICE: u8 = b'N';
    pub(super) const PARAMETER: u8 = b'S';
    pub(super) const KEY: u8 = b'K';
    pub(super) const READY: u8 = b'Z';
}

/// The authentication requests of a server.
mod request {
    pub(super) const OK: u32 = 0;
    pub(super) const CLEARTEXT: u32 = 3;
    pub(super) const MD5: u32 = 5;
    pub(super) const SASL: u32 = 10;
    pub(super) const SASL_CONTINUE: u32 = 11;
    pub(super) const SASL_FINAL: u32 = 12;
    /// By number, for the error.
    pub(super) const OTHERS: [(u32, &str); 4] = [(2, "Kerberos"), (7, "GSSAPI"), (8, "GSSAPI"), (9, "SSPI")];
}

/// Who logs in.
pub(super) struct Credentials<'a> {
    pub(super) user: &'a str,
    pub(super) password: Password,
    pub(super) has_tls: bool,
    /// The hash of the server's certificate, for channel binding.
    pub(super) end_point: Option<&'a [u8]>,
    pub(super) binding: ChannelBinding,
    /// The kinds of login that are allowed.
    pub(super) required: Option<&'a RequiredLogin>,
}

/// Sends the settings of the session and logs in. Returns what the server says about the session: its parameters, the key
/// to cancel a query, and that it is ready.
pub(super) async fn log_in(
    messages: &mut Messages,
    credentials: &Credentials<'_>,
    settings: &[SessionSetting],
) -> Result<Vec<u8>, Failure> {
    messages.send(&startup::message(settings)?).await;
    authenticate(messages, credentials).await?;
    let mut greeting = Vec::new();
    loop {
        let kinds = [kind::PARAMETER, kind::KEY, kind::NOTICE, kind::READY, kind::ERROR];
        let message = messages.receive(&kinds).await?;
        if message.kind() == kind::ERROR {
            return Err(refusal(&message, Reach::Everything));
        }
        if message.kind() == kind::NOTICE {
            continue;
        }
        require_sound(&message)?;
        greeting.extend_from_slice(message.bytes());
        if message.kind() == kind::READY {
            return Ok(greeting);
        }
        if greeting.len() > LONGEST_GREETING {
            return Err(invalid("too many settings of the session"));
        }
    }
}

/// What a server says about a session is a few hundred bytes.
const LONGEST_GREETING: usize = 256 * 1024;

/// Makes sure that the driver can read a message about the session.
fn require_sound(message: &Message) -> Result<(), Failure> {
    let body = message.body();
    let is_sound = match message.kind() {
        kind::KEY => body.len() >= 8,
        kind::READY => body.len() == 1,
        // A name and a value, each with a NUL at its end.
        _ => body.last() == Some(&0) && body.split(|byte| *byte == 0).count() == 3,
    };
    if is_sound { Ok(()) } else { Err(invalid("a message about the session is not complete")) }
}

/// Answers the server's requests until it is satisfied.
async fn authenticate(messages: &mut Messages, credentials: &Credentials<'_>) -> Result<(), Failure> {
    let (mut scram, mut had_scram) = (None, false);
    let must_be_bound = credentials.binding == ChannelBinding::Require;
    let mut is_asked = false;
    loop {
        let message = messages.receive(&[kind::AUTHENTICATION, kind::ERROR]).await?;
        if message.kind() == kind::ERROR {
            return Err(refused_login(&message, &credentials.password));
        }
        let (request, data) = message.body().split_first_chunk().ok_or_else(|| invalid("an empty request"))?;
        let request = u32::from_be_bytes(*request);
        require_allowed(credentials, request, is_asked)?;
        is_asked = true;
        let is_unbound = match request {
            request::OK => scram.is_some() || !had_scram,
            request::CLEARTEXT | request::MD5 => true,
            _ => false,
        };
        if must_be_bound && is_unbound {
            return Err(unbound(credentials));
        }
        match (request, &mut scram) {
            (request::OK, None) => return Ok(()),
            // It would not have proved that it knows the password.
            (request::OK, Some(_)) => return Err(invalid("the server ended the login before its end")),
            (request::CLEARTEXT, _) => messages.send(&password_message(password(credentials)?)).await,
            (request::MD5, _) => {
                let salt = data.try_into().map_err(|_| invalid("a wrong salt"))?;
                let hash = md5_hash(credentials.user.as_bytes(), password(credentials)?, salt);
                messages.send(&password_message(hash.as_bytes())).await;
            }
            (request::SASL, None) if !had_scram => {
                let (mechanism, exchange) = begin_scram(credentials, data)?;
                let first = exchange.message();
                let length = u32::try_from(first.len()).unwrap_or(u32::MAX).to_be_bytes();
                let body = [mechanism.as_bytes(), b"\0", &length, first].concat();
                (scram, had_scram) = (Some(exchange), true);
                messages.send(&framed(&body)).await;
            }
            (request::SASL, _) => return Err(invalid("the server asks for a second login with SCRAM")),
            (request::SASL_CONTINUE, Some(_)) if has_no_rounds(data) => {
                return Err(invalid("the server asks for no rounds of SCRAM"));
            }
            (request::SASL_CONTINUE, Some(exchange)) => {
                exchange.update(data).map_err(|error| match error.to_string() {
                    message if message.contains("iteration count exceeds") => too_many_rounds(),
                    message => invalid(&message),
                })?;
                messages.send(&framed(exchange.message())).await;
            }
            (request::SASL_FINAL, Some(exchange)) => {
                exchange.finish(data).map_err(|_| unproven())?;
                scram = None;
            }
            (other, _) => return Err(unsupported(other)),
        }
    }
}

/// Whether the server asks for a hash without any round: `r=...,s=...,i=0`.
fn has_no_rounds(data: &[u8]) -> bool {
    let rounds = data.rsplit(|byte| *byte == b',').next().and_then(|last| last.strip_prefix(b"i="));
    rounds.is_some_and(|rounds| rounds.iter().all(|digit| *digit == b'0'))
}

/// Chooses a mechanism of those that the server offers, and begins it.
fn begin_scram(credentials: &Credentials<'_>, offered: &[u8]) -> Result<(&'static str, ScramSha256), Failure> {
    let offers = |name: &str| offered.split(|byte| *byte == 0).any(|found| found == name.as_bytes());
    if offers(SCRAM_SHA_256_PLUS) && !credentials.has_tls {
        // As libpq: TLS may end on the way to the server.
        let message =
            "the server offers SCRAM-SHA-256-PLUS on a connection without TLS: another program may be between";
        return Err(Failure::new(Reach::Everything, ErrorClass::Tls, message.to_owned()));
    }
    if offers(SCRAM_SHA_256_PLUS) && credentials.end_point.is_none() && credentials.binding != ChannelBinding::Disable {
        let message = "the signature of the server's certificate has no digest to bind the login to; set \
                       `channel_binding=disable`, or sign the certificate with another algorithm";
        return Err(Failure::new(Reach::Everything, ErrorClass::Tls, message.to_owned()));
    }
    let end_point = credentials.end_point.filter(|_| credentials.binding != ChannelBinding::Disable);
    let (mechanism, binding) = match end_point {
        Some(hash) if offers(SCRAM_SHA_256_PLUS) => {
            (SCRAM_SHA_256_PLUS, sasl::ChannelBinding::tls_server_end_point(hash.to_vec()))
        }
        _ if credentials.binding == ChannelBinding::Require => return Err(unbound(credentials)),
        _ if !offers(SCRAM_SHA_256) => {
            let offered = String::from_utf8_lossy(offered).trim_end_matches('\0').replace('\0', ", ");
            let message = format!("the server asks for `{offered}`, which tarsy-db does not support");
            return Err(Failure::new(Reach::Everything, ErrorClass::Configuration, message));
        }
        // The server would notice that its offer was removed on the way.
        Some(_) => (SCRAM_SHA_256, sasl::ChannelBinding::unrequested()),
        None => (SCRAM_SHA_256, sasl::ChannelBinding::unsupported()),
    };
    let key = scram_key(password(credentials)?).ok_or_else(|| {
        let message =
            "tarsy-db cannot log in with this password: it has 64 bytes and a character that SASLprep prohibits; \
                       set another one"
                .to_owned();
        Failure::new(Reach::Everything, ErrorClass::Configuration, message)
    })?;
    Ok((mechanism, ScramSha256::new(&key, binding)))
}

/// Makes sure that the settings allow the kind of login that the server asks for. `is_asked` is whether it has asked
/// before.
fn require_allowed(credentials: &Credentials<'_>, request: u32, is_asked: bool) -> Result<(), Failure> {
    let Some(required) = credentials.required else { return Ok(()) };
    let (kind, shown) = match request {
        request::OK if is_asked => return Ok(()),
        request::OK => (LoginKind::None, "no login"),
        request::CLEARTEXT => (LoginKind::Password, "a password in plain text"),
        request::MD5 => (LoginKind::Md5, "a login with MD5"),
        request::SASL | request::SASL_CONTINUE | request::SASL_FINAL => (LoginKind::Scram, "a login with SCRAM"),
        _ => (LoginKind::Other, "another kind of login"),
    };
    if required.allows(kind) {
        return Ok(());
    }
    let message = format!("the server asks for {shown}, which `require_auth` does not allow");
    Err(Failure::new(Reach::Everything, ErrorClass::Configuration, message))
}

fn password<'c>(credentials: &'c Credentials<'_>) -> Result<&'c [u8], Failure> {
    let why = match &credentials.password {
        Password::Known(password) | Password::InFile(password, _) if password.contains(&0) => {
            let message = "the password has the character NUL, which PostgreSQL does not accept".to_owned();
            return Err(Failure::new(Reach::Everything, ErrorClass::Configuration, message));
        }
        Password::Known(password) | Password::InFile(password, _) if !password.is_empty() => return Ok(password),
        Password::Ignored(why) => why,
        Password::Known(_) | Password::InFile(..) | Password::None => "none is given",
    };
    let message = format!("{PASSWORD_WANTED}{why}");
    Err(Failure::new(Reach::Everything, ErrorClass::Authentication, message))
}

fn password_message(password: &[u8]) -> Vec<u8> {
    framed(&[password, b"\0"].concat())
}

/// An answer to an authentication request.
fn framed(body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap_or(u32::MAX);
    [b"p", &length.to_be_bytes()[..], body].concat()
}

/// The server's error.
fn refusal(message: &Message, reach: Reach) -> Failure {
    message.with_answer(|answer| Failure::of_answer(answer, reach))
}

/// The server's answer to a login. As in libpq, a wrong password of the password file names that.
fn refused_login(message: &Message, password: &Password) -> Failure {
    const WRONG_PASSWORD: &str = "28P01";
    let mut failure = refusal(message, Reach::Encryption);
    let is_wrong = message.with_answer(|answer| answer.code == WRONG_PASSWORD);
    if let (true, Password::InFile(_, path)) = (is_wrong, password) {
        let message = failure.cause.message;
        failure.cause.message = format!("{message}; the password is that of the file {}", path.display());
    }
    failure
}

fn invalid(what: &str) -> Failure {
    Failure::of_protocol(what)
}

fn unbound(credentials: &Credentials<'_>) -> Failure {
    let (class, message) = match credentials.has_tls {
        true => (
            ErrorClass::Configuration,
            "`channel_binding=require` needs a login with SCRAM-SHA-256-PLUS, and the server asks for none or for another one",
        ),
        false => (ErrorClass::Tls, "`channel_binding=require` needs TLS, and this connection has none"),
    };
    Failure::new(Reach::Everything, class, message.to_owned())
}

/// The library's limit keeps a server that is not verified from costing a client minutes.
fn too_many_rounds() -> Failure {
    let message = "the server asks for more than 100,000 rounds of SCRAM, which tarsy-db does not support: set the \
                   server's `scram_iterations` to fewer, and then the password anew";
    Failure::new(Reach::Everything, ErrorClass::Configuration, message.to_owned())
}

fn unproven() -> Failure {
    let message = "the server does not prove that it knows the password: it may not be the one it claims to be";
    Failure::new(Reach::Everything, ErrorClass::Authentication, message.to_owned())
}

fn unsupported(number: u32) -> Failure {
    let name = request::OTHERS.iter().find(|(known, _)| *known == number).map(|(_, name)| *name);
    match name {
        Some(name) => {
            let message = format!("the server asks for {name} authentication, which tarsy-db does not support");
            Failure::new(Reach::Everything, ErrorClass::Configuration, message)
        }
        None => invalid(&format!("an authentication request of the unknown kind {number}")),
    }
}

#[cfg(test)]
mod tests {
    use openssl::base64::{decode_block, encode_block};
    use openssl::hash::MessageDigest;
    use openssl::pkcs5::pbkdf2_hmac;
    use openssl::pkey::PKey;
    use openssl::sign::Signer;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

    use super::*;

    const PASSWORD: &[u8] = b"secret";

    fn hmac(key: &[u8], data: &[u8]) -> Vec<u8> {
        let key = PKey::hmac(key).expect("a key");
        let mut signer = Signer::new(MessageDigest::sha256(), &key).expect("a digest");
        signer.sign_oneshot_to_vec(data).expect("a signature")
    }

    async fn ask(server: &mut DuplexStream, request: u32, data: &[u8]) {
        let length = u32::try_from(data.len() + 8).expect("short").to_be_bytes();
        let message = [b"R", &length[..], &request.to_be_bytes()[..], data].concat();
        server.write_all(&message).await.expect("the client reads");
    }

    async fn answer(server: &mut DuplexStream) -> String {
        assert_eq!(server.read_u8().await.expect("an answer"), b'p');
        let length = server.read_u32().await.expect("a length");
        let mut body = vec![0; length as usize - 4];
        server.read_exact(&mut body).await.expect("a body");
        String::from_utf8_lossy(&body).into_owned()
    }

    /// A server's part in a login with SCRAM, from its offer to its proof.
    async fn log_in_by_scram(server: &mut DuplexStream) {
        ask(server, request::SASL, b"SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0").await;
        let first = answer(server).await;
        let (_, bare) = first.split_once(",,").expect("a header");
        let (_, nonce) = bare.split_once("r=").expect("a nonce");
        let salt = b"salt";
        let offer = format!("r={nonce}more,s={},i=1", encode_block(salt));
        ask(server, request::SASL_CONTINUE, offer.as_bytes()).await;
        let last = answer(server).await;
        let (without_proof, proof) = last.rsplit_once(",p=").expect("a proof");
        assert_eq!(decode_block(proof).expect("base64").len(), 32);
        let mut salted = [0; 32];
        pbkdf2_hmac(PASSWORD, salt, 1, MessageDigest::sha256(), &mut salted).expect("a hash");
        let said = format!("{bare},{offer},{without_proof}");
        let signature = hmac(&hmac(&salted, b"Server Key"), said.as_bytes());
        ask(server, request::SASL_FINAL, format!("v={}", encode_block(&signature)).as_bytes()).await;
    }

    /// How a login ends if the server makes this request after SCRAM.
    async fn after_scram(binding: ChannelBinding, next: u32, data: &[u8]) -> Result<(), String> {
        let (client, mut server) = tokio::io::duplex(4096);
        let mut messages = Messages::over(Box::new(client));
        let credentials = Credentials {
            user: "u",
            password: Password::Known(PASSWORD.to_vec()),
            has_tls: true,
            end_point: Some(&[7; 32]),
            binding,
            required: None,
        };
        let play = async {
            log_in_by_scram(&mut server).await;
            ask(&mut server, next, data).await;
            drop(server);
        };
        let (ended, ()) = tokio::join!(authenticate(&mut messages, &credentials), play);
        ended.map_err(|failure| failure.cause.message)
    }

    #[tokio::test]
    async fn after_a_login_with_scram_a_server_gets_nothing_else() {
        for binding in [ChannelBinding::Require, ChannelBinding::Prefer] {
            assert_eq!(after_scram(binding, request::OK, b"").await, Ok(()));
            let again = after_scram(binding, request::SASL, b"SCRAM-SHA-256-PLUS\0\0").await.expect_err("refused");
            assert!(again.starts_with("the server asks for a second login with SCRAM"), "{again}");
        }
        for (next, data) in [(request::CLEARTEXT, &b""[..]), (request::MD5, b"salt")] {
            let unbound = after_scram(ChannelBinding::Require, next, data).await.expect_err("refused");
            assert!(
                unbound.starts_with("`channel_binding=require` needs a login with SCRAM-SHA-256-PLUS"),
                "{unbound}"
            );
        }
    }

    #[test]
    fn a_server_asks_for_rounds() {
        let asked = |rounds: &str| has_no_rounds(format!("r=i=0,s=x,i={rounds}").as_bytes());
        assert_eq!(["0", "00", "4096", "10"].map(asked), [true, true, false, false]);
    }
}
