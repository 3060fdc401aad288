//! TLS as in libpq: the server is verified if the URL, `PGSSLMODE` or a root certificate asks for it.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use assert_cmd::Command;
use tempfile::TempDir;

use crate::support::cases::each;
use crate::support::certificate::{Authority, Validity};
use crate::support::fake_server::server_of;
use crate::support::server::{PASSWORD, Server};
use crate::support::{
    Database, Outcome, Schema, apply, bare_tarsy_db, run_at, tarsy_db, test, test_directory, write_file,
};

const ONCE: [&str; 5] = ["wait", "--max-attempts", "1", "--for", "connect"];

/// A directory with the CA's certificate in `root.crt`, and in `home/.postgresql/root.crt`.
struct Client {
    directory: TempDir,
}

impl Client {
    fn new(authority: &Authority) -> Self {
        let client = Self { directory: test_directory() };
        std::fs::create_dir_all(client.home().join(".postgresql")).expect("a directory");
        for path in [client.root_certificate(), client.home().join(".postgresql/root.crt")] {
            std::fs::write(path, authority.pem()).expect("the file can be written");
        }
        client
    }

    fn root_certificate(&self) -> PathBuf {
        self.directory.path().join("root.crt")
    }

    fn home(&self) -> PathBuf {
        self.directory.path().join("home")
    }

    /// Makes one attempt to connect; `parameters` are added to the URL, the pairs to the environment.
    fn connect(&self, url: &str, parameters: &str, environment: &[(&str, &str)]) -> Outcome {
        let separator = if parameters.is_empty() { "" } else { "?" };
        let mut command = bare_tarsy_db(self.directory.path());
        command.env("HOME", "/nonexistent").env("DATABASE_URL", format!("{url}{separator}{parameters}"));
        command.envs(environment.iter().copied());
        run(command.args(ONCE))
    }
}

/// Runs a command, which never recommends a weaker `sslmode`.
#[track_caller]
fn run(command: &mut Command) -> Outcome {
    let outcome = Outcome::of(command);
    for weak in ["disable", "allow", "prefer"].map(|mode| format!("sslmode={mode}")) {
        assert!(!(outcome.stdout.clone() + &outcome.stderr).contains(&weak), "{}", outcome.stderr);
    }
    outcome
}

/// Servers with a valid certificate, an expired one, one for another name and one from another CA, and a server without
/// TLS.
struct Servers {
    client: Client,
    with_tls: [(&'static str, Server); 4],
    plain: Database,
}

impl Servers {
    fn start() -> Self {
        let [known, unknown] = ["known", "unknown"].map(Authority::new);
        let with_tls = [
            ("good", known.server("127.0.0.1", Validity::Current)),
            ("expired", known.server("127.0.0.1", Validity::Expired)),
            ("another name", known.server("other.example", Validity::Current)),
            ("another CA", unknown.server("127.0.0.1", Validity::Current)),
        ];
        Self { client: Client::new(&known), with_tls, plain: Database::postgresql() }
    }

    fn good(&self) -> String {
        self.with_tls[0].1.url("postgres")
    }

    /// The servers that a connection accepts; for all others the exit code is 78.
    #[track_caller]
    fn accepted(&self, parameters: &str, environment: &[(&str, &str)]) -> Vec<&'static str> {
        let with_tls = self.with_tls.iter().map(|(name, server)| (*name, server.url("postgres")));
        let all = with_tls.chain([("plain", self.plain.url().to_owned())]);
        let accepted = all.filter(|(name, url)| {
            let outcome = self.client.connect(url, parameters, environment);
            let is_accepted = outcome.code == Some(0);
            let known = if is_accepted { 0 } else { 78 };
            assert_eq!(outcome.code, Some(known), "{name}, {parameters}, {environment:?}: {}", outcome.stderr);
            is_accepted
        });
        accepted.map(|(name, _)| name).collect()
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

#[apply(test)]
fn what_the_environment_asks_for_is_verified_as_what_the_url_asks_for() {
    const ANY: [&str; 5] = ["good", "expired", "another name", "another CA", "plain"];
    const ENCRYPTED: [&str; 4] = ["good", "expired", "another name", "another CA"];
    let servers = Servers::start();
    let (root, home) = (servers.client.root_certificate(), servers.client.home());
    let root_certificate = ("PGSSLROOTCERT", text(&root));
    let mode = |mode| ("PGSSLMODE", mode);

    assert_eq!(servers.accepted("", &[]), ANY);
    assert_eq!(servers.accepted("", &[mode("require")]), ENCRYPTED);
    assert_eq!(servers.accepted("", &[("PGREQUIRESSL", "1")]), ENCRYPTED);
    assert_eq!(servers.accepted("", &[mode("prefer"), root_certificate]), ANY);
    // With a root certificate `require` means `verify-ca`.
    let parameters = format!("sslmode=require&sslrootcert={}", text(&root));
    assert_eq!(servers.accepted(&parameters, &[]), ["good", "another name"]);
    assert_eq!(servers.accepted("", &[mode("require"), root_certificate]), ["good", "another name"]);
    assert_eq!(servers.accepted("", &[mode("require"), ("HOME", text(&home))]), ["good", "another name"]);
    assert_eq!(servers.accepted("", &[mode("verify-ca"), root_certificate]), ["good", "another name"]);
    assert_eq!(servers.accepted("", &[mode("verify-full"), root_certificate]), ["good"]);
    assert_eq!(servers.accepted("", &[mode("verify-full"), ("HOME", text(&home))]), ["good"]);
    // Without a root certificate nothing can be verified; the machine's own CAs signed none of these certificates.
    assert_eq!(servers.accepted("", &[mode("verify-full")]), [""; 0]);
    assert_eq!(servers.accepted("sslrootcert=system", &[]), [""; 0]);

    // The URL overrides the environment, in both directions.
    assert_eq!(servers.accepted("sslmode=prefer", &[mode("verify-full"), root_certificate]), ANY);
    let parameters = format!("sslmode=verify-full&sslrootcert={}", text(&root));
    let weak = [mode("disable"), ("PGSSLROOTCERT", "/nonexistent")];
    assert_eq!(servers.accepted(&parameters, &weak), ["good"]);
}

#[apply(test)]
fn the_fault_of_a_certificate_is_named_with_a_hint_that_fits() {
    let servers = Servers::start();
    let full = |url: &str| {
        let root = servers.client.root_certificate();
        servers
            .client
            .connect(url, "", &[("PGSSLMODE", "verify-full"), ("PGSSLROOTCERT", text(&root))])
            .expect(78)
            .stderr
    };
    let words = [
        ("the server's certificate expired on 2020-01-01", "hint: renew the certificate"),
        (
            "the server's certificate is for `other.example`, `server`, not for `127.0.0.1`",
            "hint: use a host name that",
        ),
        ("signed by `unknown`, a CA that this client does not trust", "hint: set `sslrootcert=FILE`"),
    ];
    let urls = servers.with_tls[1..].iter().map(|(name, server)| (name, server.url("postgres")));
    each(urls.zip(words), |((name, url), (why, hint))| {
        let error = full(&url);
        assert!(error.contains(why) && error.contains(hint), "{name}: {error}");
    });
    let plain = full(servers.plain.url());
    assert!(
        plain.contains("does not support TLS") && plain.contains("hint: switch TLS on at the server (`ssl = on`"),
        "{plain}"
    );
}

#[apply(test)]
fn a_certificate_that_is_its_own_root_is_accepted_as_in_libpq() {
    // `openssl req -x509` creates the certificate of a CA.
    let authority = Authority::new("own");
    let server = authority.server_with_own_certificate();
    let parameters = |client: &Client| format!("sslmode=verify-ca&sslrootcert={}", client.root_certificate().display());
    let client = Client::new(&authority);
    client.connect(&server.url("postgres"), &parameters(&client), &[]).expect(0);
    let other = Client::new(&Authority::new("other"));
    let refused = other.connect(&server.url("postgres"), &parameters(&other), &[]).expect(78).stderr;
    assert!(refused.contains("signed by itself and not by a CA that this client trusts"), "{refused}");
}

#[apply(test)]
fn every_command_verifies_what_the_environment_asks_for() {
    let plain = Database::postgresql().with_schema(Schema::Baseline);
    let source = Database::sqlite().with_schema(Schema::Baseline);
    let from = source.file().display().to_string();
    let commands: [&[&str]; 7] = [
        &["init"],
        &["wait", "--max-attempts", "1"],
        &["check"],
        &["info"],
        &["prune", "--yes"],
        &["migrate-sqlite-to-postgres", "--from", &from],
        &["migrate-sqlite-to-postgres", "--from", &from, "--to", plain.url()],
    ];
    each(commands, |arguments| {
        let outcome = run(tarsy_db(&plain).env("PGSSLMODE", "require").args(arguments)).expect(78);
        assert!(outcome.stderr.contains("does not support TLS"), "{arguments:?}: {}", outcome.stderr);
    });
    // An address from separate settings has no parameters.
    let mut parts = bare_tarsy_db(plain.directory());
    parts
        .env("DATABASE_PASSWORD", "x")
        .env("DATABASE_HOST", "127.0.0.1")
        .env("DATABASE_PORT", plain.port().to_string());
    assert!(run(parts.env("PGSSLMODE", "require").args(ONCE)).expect(78).stderr.contains("does not support TLS"));
}

#[apply(test)]
fn settings_that_cannot_be_honoured_are_refused_by_name() {
    let servers = Servers::start();
    let directory = servers.client.directory.path();
    let root = servers.client.root_certificate();
    let empty = directory.join("empty.crt");
    std::fs::write(&empty, "no certificate\n").expect("the file can be written");
    let revoked = directory.join("revoked");
    std::fs::create_dir_all(revoked.join(".postgresql")).expect("a directory");
    std::fs::write(revoked.join(".postgresql/root.crl"), "").expect("the file can be written");
    let verified = [("PGSSLMODE", "verify-full"), ("PGSSLROOTCERT", text(&root))];

    let url = servers.good();
    let refused = |parameters: &str, environment: &[(&str, &str)], words: &[&str]| {
        let error = servers.client.connect(&url, parameters, environment).expect(78).stderr;
        assert!(words.iter().all(|word| error.contains(word)), "no {words:?} in {error}");
    };
    for mode in ["", "verify_full"] {
        refused("", &[("PGSSLMODE", mode)], &["`PGSSLMODE`", &format!("`{mode}`"), "`verify-full`"]);
    }
    for mode in ["verify-ca", "verify-full"] {
        refused("", &[("PGSSLMODE", mode)], &[&format!("sslmode={mode}"), "PGSSLROOTCERT"]);
    }
    refused("sslrootcert=system&sslmode=require", &[], &["sslrootcert=system", "verify-full"]);
    refused("", &[("PGSSLROOTCERT", "system"), ("PGSSLMODE", "verify-ca")], &["sslrootcert=system"]);
    refused("", &[("PGSSLROOTCERT", "/nonexistent"), ("PGSSLMODE", "require")], &["/nonexistent"]);
    refused("sslmode=verify-full", &[("PGSSLROOTCERT", text(&empty))], &[text(&empty), "no certificate"]);
    let cases = [
        ("PGHOSTADDR", "localhost"),
        ("PGREQUIREAUTH", "any"),
        ("PGTARGETSESSIONATTRS", "writable"),
        ("PGLOADBALANCEHOSTS", "always"),
        ("PGCHANNELBINDING", "always"),
        ("PGGSSENCMODE", "require"),
        ("PGSSLMINPROTOCOLVERSION", "SSLv3"),
        ("PGSSLCERTMODE", "require"),
        ("PGSSLNEGOTIATION", "soon"),
        ("PGCONNECT_TIMEOUT", "soon"),
    ];
    each(cases, |(name, value)| {
        refused("", &[&verified[..], &[(name, value)]].concat(), &[&format!("`{name}`")]);
        let empty = servers.client.connect(&url, "", &[&verified[..], &[(name, "")]].concat());
        let may_be_empty = ["PGHOSTADDR", "PGSSLMINPROTOCOLVERSION", "PGSSLSNI"].contains(&name);
        empty.expect(if may_be_empty { 0 } else { 78 });
    });
    refused("", &[&verified[..], &[("HOME", text(&revoked))]].concat(), &["root.crl", "holds no list"]);
    for name in ["PGSSLCRL", "PGSSLCRLDIR"] {
        refused("", &[&verified[..], &[(name, "/nonexistent")]].concat(), &["/nonexistent"]);
    }
    refused("", &[("PGSSLNEGOTIATION", "direct")], &["sslnegotiation=direct", "sslmode=require"]);
    refused("sslmode=require", &[("PGSSLMAXPROTOCOLVERSION", "TLSv1.1")], &["ssl_max_protocol_version"]);
    let cases = [
        ("PGCHANNELBINDING", "require"),
        ("PGCHANNELBINDING", "prefer"),
        ("PGCHANNELBINDING", "disable"),
        ("PGGSSENCMODE", "prefer"),
        ("PGSSLMINPROTOCOLVERSION", "TLSv1.3"),
        ("PGSSLMAXPROTOCOLVERSION", "tlsv1.2"),
        ("PGSSLSNI", "0"),
        ("PGSSLCERTMODE", "disable"),
        ("PGSSLCOMPRESSION", "1"),
        ("PGREQUIREPEER", "postgres"),
    ];
    each(cases, |(name, value)| {
        servers.client.connect(&url, "", &[&verified[..], &[(name, value)]].concat()).expect(0);
    });
    // A certificate that is not verified cannot be revoked, and a file has no server.
    servers.client.connect(&url, "", &[("PGSSLMODE", "require"), ("PGSSLCRL", "/nonexistent")]).expect(0);
    servers.client.connect("sqlite:///history.db", "", &[("PGSSLMODE", "verify_full"), ("PGSERVICE", "x")]).expect(0);
}

#[apply(test)]
fn a_version_that_the_server_does_not_have_is_refused() {
    let server = Server::create(&["ssl = on", "ssl_max_protocol_version = 'TLSv1.2'"]);
    let (certificate, key) = Authority::new("known").client("server");
    server.install_certificate(&certificate, &key);
    server.run();
    let connect = |parameters: &str| run_at(&format!("{}?{parameters}", server.url("postgres")), &ONCE);
    connect("sslmode=require&ssl_min_protocol_version=TLSv1.2").expect(0);
    let refused = connect("sslmode=require&ssl_min_protocol_version=TLSv1.3").expect(78).stderr;
    assert!(refused.contains("TLS failed: ") && refused.contains("protocol version"), "{refused}");
    // Plain text is allowed.
    connect("sslmode=prefer&ssl_min_protocol_version=TLSv1.3").expect(0);
}

#[apply(test)]
fn a_revoked_certificate_is_refused() {
    let authority = Authority::new("known");
    let (server, serial) = authority.server_with_serial(7);
    let client = Client::new(&authority);
    let root = client.root_certificate();
    let connect = |list: &str| {
        let list = write_file(client.directory.path(), "list.crl", list);
        let parameters = format!("sslmode=verify-full&sslrootcert={}&sslcrl={list}", text(&root));
        client.connect(&server.url("postgres"), &parameters, &[])
    };
    connect(&authority.revocations(&[serial + 1])).expect(0);
    connect(&authority.revocations(&[serial])).expect(78).tells(&["the server's certificate is revoked"]);
    let unknown = connect(&Authority::new("unknown").revocations(&[])).expect(78);
    unknown.tells(&["signed by `known`, of which there is no revocation list"]);
    // So is one that is not verified, but has a root certificate in libpq's place.
    let home = client.home();
    std::fs::write(home.join(".postgresql/root.crl"), authority.revocations(&[serial])).expect("it can be written");
    let refused = client.connect(&server.url("postgres"), "sslmode=require", &[("HOME", text(&home))]).expect(78);
    refused.tells(&["the server's certificate is revoked"]);
}

#[apply(test)]
fn a_login_is_bound_to_the_connection_if_the_settings_require_it() {
    let authority = Authority::new("known");
    let url = |server: &Server, parameters: &str| format!("{}?{parameters}", server.url("postgres"));
    let server = authority.server("127.0.0.1", Validity::Current);
    run_at(&url(&server, "sslmode=require&channel_binding=require"), &ONCE).expect(0);
    let unbound = run_at(&url(&server, "sslmode=disable&channel_binding=require"), &ONCE).expect(78);
    unbound.tells(&["`channel_binding=require` needs TLS, and this connection has none"]);
    for method in ["trust", "password"] {
        let server = authority.server_that_allows(&format!("host all all 127.0.0.1/32 {method}"));
        run_at(&url(&server, "sslmode=require"), &ONCE).expect(0);
        let unbound = run_at(&url(&server, "sslmode=require&channel_binding=require"), &ONCE).expect(78);
        unbound.tells(&["channel_binding=require"]);
    }
}

#[apply(test)]
fn check_and_info_say_how_the_connection_is_protected() {
    let server = Authority::new("known");
    let client = Client::new(&server);
    let server = server.server("127.0.0.1", Validity::Current);
    let root = client.root_certificate();
    let root = format!("sslrootcert={}", text(&root));
    let socket = format!("host={}&port={}", server.socket_directory().display(), server.port);
    each(
        [
            ("sslmode=require", "TLSv1.3, server not verified", "tls", Some("nothing")),
            (&format!("sslmode=verify-ca&{root}"), "certificate of a trusted CA", "tls", Some("ca")),
            (&format!("sslmode=verify-full&{root}"), "TLSv1.3, server verified", "tls", Some("host")),
            ("sslmode=disable", "plain text, on this machine", "loopback", None),
            (&socket, "Unix socket", "unix_socket", None),
        ],
        |(parameters, shown, kind, verified): (&str, _, _, _)| {
            let place = if kind == "unix_socket" { "" } else { &format!("127.0.0.1:{}", server.port) };
            let url = format!("postgresql://postgres:{PASSWORD}@{place}/postgres?{parameters}");
            let report = run_at(&url, &["info", "--output", "json"]).expect(0).json();
            assert_eq!(report["protection"]["kind"], kind, "{report}");
            assert_eq!(report["protection"]["verified"].as_str(), verified, "{report}");
            let check = run_at(&url, &["check"]).expect(3).stdout;
            assert!(check.contains("protection") && check.contains(shown), "{check}");
            // What leaves the machine has to be encrypted; this does not.
            let mut command = bare_tarsy_db(client.directory.path());
            command.env("DATABASE_URL", &url).env("TARSY_DB_REQUIRE_TLS", "true");
            Outcome::of(command.args(ONCE)).expect(0);
        },
    );
}

#[apply(test)]
fn a_unix_socket_has_no_tls_whatever_is_asked_for() {
    let server = Server::start(&[]);
    let client = Client::new(&Authority::new("known"));
    let url = server.url("postgres").replace(&format!("@127.0.0.1:{}", server.port), "@");
    let parameters = format!("host={}&port={}", server.socket_directory().display(), server.port);
    each(["require", "verify-ca", "verify-full"], |mode| {
        client.connect(&url, &parameters, &[("PGSSLMODE", mode)]).expect(0);
        client.connect(&url, &format!("{parameters}&sslmode={mode}"), &[]).expect(0);
    });
    // What contradicts itself is refused nevertheless, as in libpq.
    let contradictions = [
        ("sslnegotiation=direct", "`sslnegotiation=direct` needs"),
        ("sslrootcert=system&sslmode=require", "`sslrootcert=system` needs"),
        ("ssl_min_protocol_version=TLSv1.3&ssl_max_protocol_version=TLSv1.2", "lower than `ssl_min_protocol_version`"),
        ("ssl_max_protocol_version=TLSv1.1", "lower than `ssl_min_protocol_version`"),
        ("sslkey=/my:key", "`sslkey`"),
    ];
    each(contradictions, |(more, why)| {
        client.connect(&url, &format!("{parameters}&{more}"), &[]).expect(78).tells(&[why]);
    });
}

#[apply(test)]
fn plain_bytes_behind_the_answer_to_the_request_for_tls_end_the_login() {
    let connections = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&connections);
    let url = server_of(move |mut client| {
        *counted.lock().expect("no panic") += 1;
        let mut request = [0; 8];
        if client.read_exact(&mut request).is_ok() {
            let _ = client.write_all(b"SX");
            let _ = client.read_to_end(&mut Vec::new());
        }
    });
    run_at(&url, &ONCE).expect(69).tells(&["the server sends more than its answer to the request for TLS"]);
    assert_eq!(*connections.lock().expect("no panic"), 1, "no attempt in plain text");
}

#[apply(test)]
fn role_and_database_are_never_sent_in_plain_text_where_tls_is_required() {
    let received = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&received);
    let url = server_of(move |mut client| {
        let mut first = [0; 512];
        let length = client.read(&mut first).unwrap_or(0);
        kept.lock().expect("no panic").extend_from_slice(&first[..length]);
    });
    let seen = |mode: &str| {
        received.lock().expect("no panic").clear();
        run_at(&format!("{url}?sslmode={mode}"), &["wait", "--max-attempts", "3", "--for", "connect"]).expect(69);
        String::from_utf8_lossy(&received.lock().expect("no panic")).into_owned()
    };
    assert!(!seen("require").contains("user\0"));
    assert!(seen("disable").contains("user\0"));
}
