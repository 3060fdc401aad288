//! Connects to a PostgreSQL server and logs in, as libpq does.
//!
//! | module | what it is for |
//! |---|---|
//! | [`hosts`] | the order of several hosts, and their failures |
//! | [`login`] | logs in: passwords, SCRAM, channel binding |
//! | [`saslprep`] | passwords as PostgreSQL hashes them for SCRAM |
//! | [`renewal`] | logins whose secret changes |
//! | [`target`] | whether the server is one that was asked for |
//! | [`password_file`] | the password file |
//! | [`peer`] | whether the server behind a Unix socket is run by the right user |
//! | [`tls`] | TLS by OpenSSL |
//! | [`client_certificate`] | the certificate of this client, and its key |
//! | [`end_point`] | the hash of the server's certificate that binds a login to the connection |
//! | [`tls_file`] | files with certificates and keys |
//! | [`verify`] | whether the server's certificate is accepted, and why not |
//! | [`der`] | the elements of a certificate |
//! | [`patience`] | the limit of an attempt, and what it waited for |
//! | [`messages`] | whole messages of the protocol |
//! | [`socket`] | TCP and Unix sockets |
//! | [`failure`] | a failed attempt, and what it rules out |

mod client_certificate;
mod der;
mod end_point;
mod failure;
mod hosts;
mod login;
mod messages;
mod password_file;
mod patience;
mod peer;
mod renewal;
mod saslprep;
mod socket;
mod target;
mod tls;
mod tls_file;
mod verify;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use self::failure::{Failure, Reach};
use self::login::{Credentials, log_in};
pub(super) use self::messages::Message;
use self::messages::Messages;
use self::patience::{Patience, Phase};
pub(super) use self::socket::Stream;
use self::socket::{Place, Socket};
use self::target::reported;
use super::startup::{OPTIONS, SessionSetting};
use crate::database::failure::{DatabaseCause, ErrorClass};
use crate::database::url::{
    ChannelBinding, HostPlace, Negotiation, PostgresqlAddress, Protection, Reached, SslMode, TargetServer, TlsOptions,
};

/// The setting for the time zone of a session.
const TIME_ZONE: &str = "TimeZone";

/// A connection that is logged in.
pub(super) struct Session {
    pub(super) stream: Box<dyn Stream>,
    /// What the server said about the session after the login, and perhaps more.
    pub(super) greeting: Vec<u8>,
    protection: Protection,
}

/// Connects to the first host that will do, and logs in. The session gets these settings, of which user and database are
/// replaced by those of the address.
///
/// # Errors
/// The server's answer, or the reasons of all hosts if none was reached.
pub(super) async fn connect(
    address: &PostgresqlAddress,
    settings: &[SessionSetting],
) -> Result<Session, DatabaseCause> {
    let address = &renewal::renewed(address)?;
    let settings = settings_of(address, settings);
    let hosts = hosts::in_order(address);
    // Without a standby another server will do.
    let targets = match address.target {
        TargetServer::PreferStandby => vec![TargetServer::Standby, TargetServer::Any],
        target => vec![target],
    };
    let mut causes = Vec::new();
    for target in targets {
        causes.clear();
        for (number, host) in &hosts {
            match (Attempts { address, settings: &settings, host: *host, target }).run().await {
                Ok(session) => {
                    let time_zone = reported(&session.greeting, TIME_ZONE);
                    address.set_reached(Reached {
                        number: *number,
                        protection: session.protection,
                        time_zone: time_zone.map(|zone| String::from_utf8_lossy(zone).into_owned()),
                    });
                    return Ok(session);
                }
                Err(Failure { reach, cause }) => {
                    causes.push((*host, cause));
                    if reach == Reach::Everything {
                        return Err(hosts::joined(causes));
                    }
                }
            }
        }
    }
    Err(hosts::joined(causes))
}

/// The options of the address come first, so that those of this program are in force. The driver asks for a time zone, which
/// hides that of the backend's sessions: transactions set it instead.
fn settings_of(address: &PostgresqlAddress, settings: &[SessionSetting]) -> Vec<SessionSetting> {
    let user = address.user.clone().unwrap_or_default();
    let database = address.database.clone().unwrap_or_else(|| user.clone());
    let of_program = settings.iter().find(|(name, value)| name == OPTIONS && !value.is_empty()).map(|(_, value)| value);
    let options: Vec<_> = address.options.iter().chain(of_program).map(String::as_str).collect();
    let own = [("user", user), ("database", database), (OPTIONS, options.join(" "))];
    let is_other = |name: &str| name != TIME_ZONE && own.iter().all(|(known, _)| name != *known);
    let others = settings.iter().filter(|(name, _)| is_other(name)).cloned();
    let time_zone = address.time_zone.iter().map(|zone| (TIME_ZONE.to_owned(), zone.clone()));
    let own = own.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
    own.filter(|(name, value)| name != OPTIONS || !value.is_empty()).chain(time_zone).chain(others).collect()
}

/// How a connection is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encryption {
    Plain,
    Tls,
    /// Plain text if the server offers no TLS.
    TlsIfOffered,
}

/// What to try, in this order. Where TLS is required, plain text stays on this machine.
fn encryptions(options: &TlsOptions, place: &Place) -> &'static [Encryption] {
    let is_required = options.is_required && place.unencrypted() == Protection::PlainText;
    match (place, options.mode()) {
        (Place::UnixSocket(_), _) => &[Encryption::Plain],
        (_, SslMode::Disable) if is_required => &[],
        (_, SslMode::Disable) => &[Encryption::Plain],
        (_, SslMode::Allow | SslMode::Prefer) if is_required => &[Encryption::Tls],
        (_, SslMode::Allow) => &[Encryption::Plain, Encryption::Tls],
        (_, SslMode::Prefer) => &[Encryption::TlsIfOffered, Encryption::Plain],
        (_, SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull) => &[Encryption::Tls],
    }
}

/// All addresses of a host.
struct Attempts<'a> {
    address: &'a PostgresqlAddress,
    settings: &'a [SessionSetting],
    host: HostPlace<'a>,
    target: TargetServer,
}

impl Attempts<'_> {
    async fn run(self) -> Result<Session, Failure> {
        let places = Place::all(self.host).await?;
        let message = "the host name has no address".to_owned();
        let mut last = Failure::new(Reach::Host, ErrorClass::NameResolution, message);
        for place in hosts::shuffled(places, self.address.host_order) {
            let attempt = Attempt { of: &self, place: &place, patience: Patience::new(self.address) };
            match attempt.run().await {
                Err(failure) if failure.reach == Reach::Address => last = failure,
                ended => return ended,
            }
        }
        Err(last)
    }
}

/// One address of a server.
struct Attempt<'a> {
    of: &'a Attempts<'a>,
    place: &'a Place,
    patience: Patience,
}

impl Attempt<'_> {
    /// Tries one encryption after the other. A server that refuses both ends the search, whatever the reason is, as in libpq.
    async fn run(&self) -> Result<Session, Failure> {
        let mut before: Option<(Encryption, DatabaseCause)> = None;
        for encryption in encryptions(&self.of.address.tls, self.place) {
            match (self.connect(*encryption).await, before.take()) {
                (Ok(session), _) => return Ok(session),
                (Err(failure), None) if failure.reach == Reach::Encryption => {
                    before = Some((*encryption, failure.cause));
                }
                (Err(failure), None) => return Err(failure),
                (Err(failure), Some(first)) => {
                    let reach = if failure.reach == Reach::Encryption { Reach::Everything } else { failure.reach };
                    return Err(Failure { reach, cause: joined(first, failure.cause) });
                }
            }
        }
        let none = || DatabaseCause::new(ErrorClass::Configuration, NO_PLAIN_TEXT);
        Err(Failure { reach: Reach::Everything, cause: before.map_or_else(none, |(_, cause)| cause) })
    }

    async fn connect(&self, encryption: Encryption) -> Result<Session, Failure> {
        let socket = self.patience.over(Phase::Connect, self.place.connect()).await?;
        let socket = socket.map_err(|error| self.place.failure(&error))?;
        peer::require(&socket, self.of.address.required_peer.as_deref())?;
        match (socket, encryption) {
            (Socket::Tcp(stream), Encryption::Tls | Encryption::TlsIfOffered) => {
                self.connect_with_tls(stream, encryption).await
            }
            (socket, _) => self.log_in(socket.boxed(), self.place.unencrypted(), None).await,
        }
    }

    async fn connect_with_tls(&self, mut stream: TcpStream, encryption: Encryption) -> Result<Session, Failure> {
        let is_offered = match self.of.address.tls.negotiation {
            Some(Negotiation::Direct) => true,
            _ => self.patience.over(Phase::Tls, request_tls(&mut stream)).await??,
        };
        if !is_offered && encryption == Encryption::Tls {
            let mode = self.of.address.tls.mode();
            let message = if mode.is_optional() { NO_TLS_BUT_REQUIRED } else { NO_TLS };
            return Err(Failure::new(Reach::Everything, ErrorClass::Tls, message.to_owned()));
        }
        if !is_offered {
            let session = self.log_in(Box::new(stream), self.place.unencrypted(), None).await;
            // Another attempt in plain text would be the same.
            return session.map_err(|failure| match failure.reach {
                Reach::Encryption => Failure { reach: Reach::Everything, ..failure },
                _ => failure,
            });
        }
        let handshake = tls::handshake(stream, &self.of.address.tls, self.of.host.name);
        let stream = self.patience.over(Phase::Tls, handshake).await??;
        let end_point = end_point::end_point(stream.ssl());
        let protection =
            Protection::Tls { version: stream.ssl().version_str(), verified: self.of.address.tls.verified() };
        self.log_in(Box::new(stream), protection, end_point.as_deref()).await
    }

    async fn log_in(
        &self,
        stream: Box<dyn Stream>,
        protection: Protection,
        end_point: Option<&[u8]>,
    ) -> Result<Session, Failure> {
        let address = self.of.address;
        let credentials = Credentials {
            user: address.user.as_deref().unwrap_or_default(),
            password: password_file::password(address, self.of.host),
            has_tls: matches!(protection, Protection::Tls { .. }),
            end_point,
            binding: address.channel_binding.unwrap_or(ChannelBinding::Prefer),
            required: address.required_login.as_ref(),
        };
        let mut messages = Messages::over(stream);
        let login = async {
            let greeting = log_in(&mut messages, &credentials, self.of.settings).await?;
            target::require(&mut messages, &greeting, self.of.target).await?;
            Ok::<_, Failure>(greeting)
        };
        let mut greeting = self.patience.over(Phase::Login, login).await??;
        let (stream, rest) = messages.into_parts();
        greeting.extend_from_slice(&rest);
        Ok(Session { stream, greeting, protection })
    }
}

const NO_TLS: &str = "server does not support TLS";
const NO_TLS_BUT_REQUIRED: &str = "server does not support TLS, and `TARSY_DB_REQUIRE_TLS` refuses plain text";
const NO_PLAIN_TEXT: &str = "`sslmode=disable` asks for plain text, and `TARSY_DB_REQUIRE_TLS` refuses it";

/// Whether the server offers TLS on this connection.
async fn request_tls(stream: &mut TcpStream) -> Result<bool, Failure> {
    /// The length of the message, and the number that stands for TLS.
    const REQUEST: u64 = (8 << 32) + 80_877_103;
    stream.write_u64(REQUEST).await?;
    match stream.read_u8().await? {
        // A server waits for TLS now. A program between could have its own words read as those of the server.
        b'S' if matches!(stream.try_read(&mut [0]), Ok(1)) => {
            Err(Failure::of_protocol("the server sends more than its answer to the request for TLS"))
        }
        b'S' => Ok(true),
        b'N' => Ok(false),
        // It comes from a server that is not verified yet.
        b'E' => Err(Failure::of_protocol("the server answers the request for TLS with an error")),
        other => {
            let shown = char::from(other).escape_default();
            Err(Failure::of_protocol(&format!("unexpected answer '{shown}' to the request for TLS")))
        }
    }
}

/// One failure of two attempts: the one with TLS says more, unless the server has none.
fn joined((first_encryption, first): (Encryption, DatabaseCause), second: DatabaseCause) -> DatabaseCause {
    let (with_tls, plain) = if first_encryption == Encryption::Plain { (second, first) } else { (first, second) };
    if with_tls.message == NO_TLS || with_tls.message == plain.message {
        return plain;
    }
    let message = format!("{}; in plain text: {}", with_tls.message, plain.message);
    DatabaseCause::new(with_tls.class, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_tls_is_required_plain_text_stays_on_this_machine() {
        let place = |address: &str| Place::Address(address.parse().expect("an address"));
        let tried = |mode, address: &str| {
            let options = TlsOptions { is_required: true, mode: Some(mode), ..TlsOptions::default() };
            encryptions(&options, &place(address))
        };
        for mode in [SslMode::Allow, SslMode::Prefer, SslMode::Require] {
            assert_eq!(tried(mode, "192.0.2.1:5432"), [Encryption::Tls], "{mode:?}");
        }
        assert_eq!(tried(SslMode::Disable, "192.0.2.1:5432"), []);
        for local in ["127.0.0.1:5432", "[::1]:5432", "[::ffff:127.0.0.1]:5432"] {
            assert_eq!(tried(SslMode::Disable, local), [Encryption::Plain], "{local}");
        }
    }
}
