//! Values of libpq's parameters that are wrong, or given in two places.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;

use crate::support::cases::each;
use crate::support::server::{PASSWORD, Server};
use crate::support::{
    Database, Outcome, Role, apply, bare_tarsy_db, run_at, tarsy_db, test, test_directory, write_file,
};

const ONCE: [&str; 5] = ["wait", "--max-attempts", "1", "--for", "connect"];

/// Makes one attempt with these parameters.
fn connect(database: &Database, parameters: &str) -> Outcome {
    run_at(&format!("{}?{parameters}", database.url()), &ONCE)
}

#[apply(test)]
fn a_nul_is_refused_by_the_name_of_the_value() {
    let database = Database::postgresql();
    database.execute("SELECT 1");
    let place = format!("127.0.0.1:{}/{}", database.port(), database.name());
    let refused = |url: &str, what: &str| {
        run_at(url, &ONCE).expect(78).tells(&[what, "NUL"]);
    };
    refused(&format!("postgresql://postgres%00:{PASSWORD}@{place}"), "the role");
    refused(&format!("postgresql://postgres:{PASSWORD}%00@{place}"), "the password");
    each(
        ["application_name=a%00", "application_name=a%00user%00other", "options=%00", "sslpassword=%00", "host=a%00"],
        |parameter| {
            let name = parameter.split('=').next().expect("a name");
            connect(&database, parameter).expect(78).tells(&[name, "NUL"]);
        },
    );
    let directory = test_directory();
    let text = format!(
        "[mine]\napplication_name=a\0user\0other\n[user]\nuser=postgres\0\n[password]\npassword={PASSWORD}\0\n"
    );
    let services = write_file(directory.path(), "services", text);
    each([("mine", "`application_name`"), ("user", "`user`"), ("password", "`password`")], |(service, what)| {
        let mut command = bare_tarsy_db(directory.path());
        command.env("DATABASE_URL", format!("postgresql://{place}?service={service}"));
        Outcome::of(command.env("PGSERVICEFILE", &services).args(ONCE)).expect(78).tells(&[what, "NUL"]);
    });
}

/// A role that logs in with the password of this file.
fn log_in_with(text: &str) -> Outcome {
    let database = Database::postgresql();
    let role = Role::new(&database);
    let directory = test_directory();
    let path = write_file(directory.path(), "passwords", text);
    std::fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("the file is ours");
    let mut command = bare_tarsy_db(directory.path());
    command.env("DATABASE_URL", role.url().replace(&format!(":{PASSWORD}"), "")).env("PGPASSFILE", path);
    Outcome::of(command.args(ONCE))
}

#[apply(test)]
fn the_first_line_that_fits_has_the_password() {
    log_in_with(&format!("other:*:*:*:wrong\n*:*:*:*:{PASSWORD}\n*:*:*:*:wrong\n")).expect(0);
    log_in_with(&format!("*:*:*:*:\n*:*:*:*:{PASSWORD}\n"))
        .expect(77)
        .tells(&["asks for a password, and none is given"]);
    log_in_with(&format!("*:*:*:*:{PASSWORD}\0\n")).expect(78).tells(&["the password has the character NUL"]);
    log_in_with(&format!("other:*:*:*:wrong\r\r\n*:*:*:*:{PASSWORD}\r\r\n")).expect(0);
}

#[apply(test)]
fn a_wrong_password_of_the_password_file_names_that() {
    log_in_with("*:*:*:*:wrong\n").expect(77).tells(&["password authentication failed", "the file", "/passwords"]);
    let database = Database::postgresql();
    let wrong = run_at(&Role::new(&database).url().replace(PASSWORD, "wrong"), &ONCE).expect(77).stderr;
    assert!(!wrong.contains("the file"), "{wrong}");
}

#[apply(test)]
fn a_service_is_read_as_libpq_reads_it() {
    const HERE: &str = "host=127.0.0.1\nconnect_timeout=10";
    let database = Database::postgresql();
    let role = Role::new(&database);
    let directory = test_directory();
    let services = directory.path().join("services");
    let place =
        format!("port={}\ndbname={}\nuser={}\npassword={PASSWORD}", database.port(), database.name(), role.name);
    let connect = |section: &str, lines: &str| {
        std::fs::write(&services, format!("{section}\n{lines}\n{place}\n")).expect("the file can be written");
        let mut command = bare_tarsy_db(directory.path());
        command.env("DATABASE_URL", "postgresql:///?service=mine").env("PGSERVICEFILE", &services);
        // Without a host this is the default, and no server listens there.
        command.env("PGHOST", "127.0.0.1").env("PGPORT", "1").env("PGPASSWORD", "wrong").env("PGCONNECT_TIMEOUT", "x");
        Outcome::of(command.args(ONCE))
    };
    connect("[mine]", HERE).expect(0);
    connect("[mine] # production", HERE).expect(0);
    connect("[other]\nhost=x\n \x0b[mine]\x0c", HERE).expect(0);
    connect("[mine2]", HERE).expect(78);
    // An empty value hides the variable, and what follows.
    connect("[mine]", &format!("host=\n{HERE}")).expect(69);
    connect("[mine]", &format!("password=\n{HERE}")).expect(77).tells(&["none is given"]);
    connect("[mine]", &format!("hostaddr=\nsslrootcert=\n{HERE}")).expect(0);
    connect("[mine]", "host=127.0.0.1\nconnect_timeout=").expect(78).tells(&["`connect_timeout`"]);
    each(["target_session_attrs", "channel_binding", "sslnegotiation", "keepalives_idle"], |name| {
        connect("[mine]", &format!("{HERE}\n{name}=")).expect(78).tells(&[&format!("`{name}`")]);
    });
    // What libpq reads up to the end of the section has to be short.
    let long = "x".repeat(1022);
    connect(&format!("# {long}\n[mine]"), HERE).expect(78).tells(&["line 1 of ", "longer than 1022 bytes"]);
    connect("[mine]", &format!("{HERE}\n{place}\n[other]\n# {long}")).expect(0);
    // Only blanks of ASCII end a line.
    connect("[mine]", &format!("{HERE}\npassword={PASSWORD}\u{a0}")).expect(77);
    connect("[mine]", &format!("{HERE}\npassword={PASSWORD} \t")).expect(0);
}

#[apply(test)]
fn only_blanks_of_ascii_surround_a_number() {
    let database = Database::postgresql();
    database.execute("SELECT 1");
    each(["connect_timeout=5%C2%A0", "connect_timeout=%E3%80%805", "tcp_user_timeout=5%C2%A0"], |parameter| {
        let name = parameter.split('=').next().expect("a name");
        connect(&database, parameter).expect(78).tells(&[name]);
    });
    connect(&database, "connect_timeout=%205%0B").expect(0);
    run_at("postgresql://u@/d?host=127.0.0.1&port=5432%C2%A0", &ONCE).expect(78).tells(&["port"]);
}

#[apply(test)]
fn options_of_the_url_are_used_in_the_place_of_the_variable() {
    let database = Database::postgresql();
    database.execute("SELECT 1");
    let check = |parameters: &str, variable: &str| {
        let mut command = tarsy_db(&database);
        command.env("DATABASE_URL", format!("{}?{parameters}", database.url())).env("PGOPTIONS", variable);
        Outcome::of(command.args(["wait", "--max-attempts", "1", "--for", "writable"]))
    };
    let (read_only, writable) = ("-cdefault_transaction_read_only=on", "-cdefault_transaction_read_only=off");
    check(&format!("options={}", writable.replace('=', "%3D")), read_only).expect(0);
    check(&format!("options={}", read_only.replace('=', "%3D")), writable).expect(69);
    check("", read_only).expect(69);
}

#[apply(test)]
fn wrong_options_are_an_error_of_the_settings() {
    let database = Database::postgresql();
    database.execute("SELECT 1");
    each(["-cnonsense=1", "-cstatement_timeout=soon", "-cmax_connections=7", "-c", "nonsense"], |options| {
        connect(&database, &format!("options={}", options.replace('=', "%3D"))).expect(78);
        let mut command = tarsy_db(&database);
        Outcome::of(command.env("PGOPTIONS", options).args(ONCE)).expect(78);
    });
}

#[apply(test)]
fn an_empty_variable_is_refused_where_libpq_refuses_it() {
    let database = Database::postgresql();
    database.execute("SELECT 1");
    let with_empty = |name: &str| Outcome::of(tarsy_db(&database).env(name, "").args(ONCE));
    let refused = [
        "PGTARGETSESSIONATTRS",
        "PGLOADBALANCEHOSTS",
        "PGSSLMODE",
        "PGSSLNEGOTIATION",
        "PGSSLCERTMODE",
        "PGCHANNELBINDING",
        "PGGSSENCMODE",
        "PGCONNECT_TIMEOUT",
    ];
    each(refused, |name| {
        with_empty(name).expect(78).tells(&[name]);
    });
    with_empty("PGSERVICE").expect(78).tells(&["the service `` cannot be used"]);
    each(["PGSERVICEFILE", "PGOPTIONS", "PGSSLMINPROTOCOLVERSION", "PGAPPNAME"], |name| {
        with_empty(name).expect(0);
    });
    let mut command = tarsy_db(&database);
    let no_file = Outcome::of(command.env("PGSERVICE", "mine").env("PGSERVICEFILE", "").args(ONCE)).expect(78);
    no_file.tells(&["`PGSERVICEFILE` is empty"]);
}

#[apply(test)]
fn a_list_of_logins_that_repeats_one_is_refused_before_a_login() {
    let server = Server::create(&["log_connections = on"]);
    server.allow("host all all 127.0.0.1/32 trust");
    server.run();
    let before = server.log().matches("connection received").count();
    let url = format!("{}?require_auth=scram-sha-256,scram-sha-256", server.url("postgres"));
    run_at(&url, &ONCE).expect(78).tells(&["`require_auth`", "each once"]);
    assert_eq!(server.log().matches("connection received").count(), before);
}

#[apply(test)]
fn a_socket_whose_name_is_too_long_is_an_error_of_the_settings() {
    let long = format!("postgresql://x@/d?host=/{}", "x".repeat(120));
    run_at(&long, &ONCE).expect(78).tells(&["has 135 bytes; 107 are possible"]);
}
