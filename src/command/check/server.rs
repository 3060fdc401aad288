//! Checks of the connection, of the server or the file, and of the role's privileges.

use std::path::Path;
use std::time::{Duration, Instant};

use sea_orm::{DbBackend, DbErr};
use serde_json::json;

use super::finding::Finding;
use crate::database::connection::{Access, require_file, row, rows};
use crate::database::failure::{DatabaseCause, ErrorClass};
use crate::database::namespace::tables_of_tarsy;
use crate::database::read_transaction::{BoundedReader, Rows};
use crate::database::sqlite_file::{larger_wal, require_room};
use crate::database::transaction::Transaction;
use crate::database::url::{DatabaseUrl, PostgresqlAddress, Protection};
use crate::database::writable::obstacle_to_commit;
use crate::exit_code::ExitCode;
use crate::format::{duration, size};
use crate::output::Status;
use crate::schema::encoding;
use crate::schema::privilege::{self, MissingPrivilege, USAGE};
use crate::schema::row_policy::{self, RowPolicies};
use crate::schema::state::SchemaState;
use crate::schema::time_zone::is_utc;

/// The oldest PostgreSQL release that is still supported upstream.
const OLDEST_POSTGRESQL: i32 = 15;

/// Makes sure that the database answers. `opened` is the time that connecting took.
///
/// # Errors
/// The database's error.
pub(crate) async fn connection(reader: &BoundedReader<'_>, opened: Duration) -> Result<Finding, DatabaseCause> {
    let ask = async |reading: &Transaction| {
        let started = Instant::now();
        rows(reading, "SELECT 1").await.map(|_| started.elapsed())
    };
    let answered = reader.read_catalogs(Rows::Visible, ask).await??;
    let data = json!({ "opened_seconds": opened.as_secs_f64(), "round_trip_seconds": answered.as_secs_f64() });
    let detail = format!("opened in {}, one round trip takes {}", duration(opened), duration(answered));
    Ok(Finding::ok("connection", detail).with(data))
}

/// How the connection is protected. Nothing to check on SQLite.
pub(crate) fn protection(url: &DatabaseUrl) -> Option<Finding> {
    const NAME: &str = "protection";
    let protection = url.protection()?;
    let finding = match protection {
        Protection::PlainText => {
            let detail = format!("{protection}: others on the network can read and change it");
            Finding::new(NAME, Status::Warning, detail).because("plain_text")
        }
        _ => Finding::ok(NAME, protection.to_string()),
    };
    Some(finding.with(json!(protection)))
}

/// The properties of a PostgreSQL server.
struct ServerFacts {
    version: String,
    major: i32,
    encoding: String,
    is_standby: bool,
    is_read_only: bool,
}

/// Version, encoding, time zone, and whether the server accepts writes.
pub(crate) async fn postgresql(address: &PostgresqlAddress, reader: &BoundedReader<'_>) -> Vec<Finding> {
    let facts = match server_facts(reader).await {
        Ok(facts) => facts,
        Err(error) => return vec![Finding::unanswered("server", &error.into())],
    };
    let mut findings = vec![version(&facts), encoding(facts.encoding.clone())];
    if facts.major >= FIRST_WITH_COLLATION_VERSION {
        let versions = reader.read_catalogs(Rows::Visible, async |reading| collation_versions(reading).await).await;
        findings.extend(versions.flatten().ok().and_then(|versions| collation(&versions)));
    }
    findings.extend(address.reached().and_then(|reached| reached.time_zone).map(|zone| time_zone(&zone)));
    findings.push(postgresql_writable(&facts, reader).await);
    findings
}

/// The first PostgreSQL release that records with which version of the collation a database was created.
const FIRST_WITH_COLLATION_VERSION: i32 = 15;

/// The versions of the collation by which the indexes of a database are sorted. `C` has none.
struct CollationVersions {
    /// The database, quoted if needed.
    database: String,
    recorded: Option<String>,
    actual: Option<String>,
}

async fn collation_versions(reading: &Transaction) -> Result<CollationVersions, DbErr> {
    let sql = "SELECT quote_ident(datname) AS database, datcollversion AS recorded,
                      pg_database_collation_actual_version(oid) AS actual
               FROM pg_database WHERE datname = current_database()";
    let row = row(reading, sql).await?;
    let [recorded, actual] = ["recorded", "actual"].map(|name| row.try_get("", name));
    Ok(CollationVersions { database: row.try_get("", "database")?, recorded: recorded?, actual: actual? })
}

/// A note if the operating system sorts texts by another version than when the indexes were built.
fn collation(versions: &CollationVersions) -> Option<Finding> {
    let CollationVersions { database, recorded: Some(recorded), actual: Some(actual) } = versions else { return None };
    let lines = vec![
        format!(
            "the database was created with version {recorded} of its collation, and the server now has {actual}: \
             indexes of texts may be in the wrong order; as the owner of the database run"
        ),
        format!("REINDEX DATABASE {database};"),
        format!("ALTER DATABASE {database} REFRESH COLLATION VERSION;"),
    ];
    let note = Finding::new("collation", Status::Note, lines).because("collation_version_changed");
    (recorded != actual).then(|| note.with(json!({ "recorded": recorded, "actual": actual })))
}

async fn server_facts(reader: &BoundedReader<'_>) -> Result<ServerFacts, DbErr> {
    let sql = "SELECT current_setting('server_version') AS version,
                      current_setting('server_version_num')::int / 10000 AS major,
                      current_setting('server_encoding') AS encoding,
                      pg_is_in_recovery() AS standby,
                      current_setting('transaction_read_only') = 'on' AS read_only";
    let row = reader.read_catalogs(Rows::Visible, async |reading| row(reading, sql).await).await??;
    Ok(ServerFacts {
        version: row.try_get("", "version")?,
        major: row.try_get("", "major")?,
        encoding: row.try_get("", "encoding")?,
        is_standby: row.try_get("", "standby")?,
        is_read_only: row.try_get("", "read_only")?,
    })
}

fn version(ServerFacts { version, major, .. }: &ServerFacts) -> Finding {
    const NAME: &str = "server";
    let finding = if *major < OLDEST_POSTGRESQL {
        let detail = format!("PostgreSQL {version} is out of support");
        Finding::new(NAME, Status::Warning, detail).because("server_out_of_support")
    } else {
        Finding::ok(NAME, format!("PostgreSQL {version}"))
    };
    finding.with(json!({ "version": version, "major": major, "oldest_supported": OLDEST_POSTGRESQL }))
}

fn encoding(encoding: String) -> Finding {
    const NAME: &str = "encoding";
    let data = json!({ "encoding": encoding });
    let finding = match encoding.as_str() {
        "UTF8" => Finding::ok(NAME, encoding),
        _ => Finding::failed(NAME, ExitCode::Drift, encoding::shortcoming(&encoding)).because("not_utf8"),
    };
    finding.with(data)
}

/// The time zone of the sessions of this role that ask for none, as those of TARSy's backend.
fn time_zone(zone: &str) -> Finding {
    const NAME: &str = "time zone";
    let zone = if is_utc(zone) { "UTC" } else { zone };
    let finding = if zone == "UTC" {
        Finding::ok(NAME, zone)
    } else {
        let detail = format!("sessions of this role are set to {zone}: TARSy's events would get times in that zone");
        Finding::new(NAME, Status::Warning, detail).because("not_utc")
    };
    finding.with(json!({ "time_zone": zone }))
}

/// Whether the server accepts writes of this role.
async fn postgresql_writable(facts: &ServerFacts, reader: &BoundedReader<'_>) -> Finding {
    if let Some(finding) = read_only(facts) {
        return finding;
    }
    let obstacle = reader.read_catalogs(Rows::Visible, async |reading| obstacle_to_commit(reading).await).await;
    match obstacle.flatten() {
        Ok(None) => Finding::ok(WRITABLE, "the server accepts writes"),
        Ok(Some(cause)) => {
            let waits = cause.class == ErrorClass::CommitsWait;
            let code = if waits { "commits_wait" } else { "no_transaction_numbers" };
            let lines: Vec<_> = std::iter::once(cause.described()).chain(cause.hint()).collect();
            Finding::failed(WRITABLE, cause.class.exit_code(), lines).because(code)
        }
        Err(error) => Finding::unanswered(WRITABLE, &error.into()),
    }
}

const WRITABLE: &str = "writable";

fn read_only(facts: &ServerFacts) -> Option<Finding> {
    let (detail, code) = match (facts.is_standby, facts.is_read_only) {
        (true, _) => ("the server is a standby, which is read-only", "standby"),
        (false, true) => ("transactions are read-only by default", "read_only"),
        (false, false) => return None,
    };
    Some(Finding::failed(WRITABLE, ExitCode::Unavailable, detail).because(code))
}

/// Whether SQLite can write to its file and beside it.
pub(crate) fn sqlite_writable(path: Option<&Path>) -> Finding {
    const NAME: &str = "writable";
    let Some(path) = path else { return Finding::ok(NAME, "in memory") };
    if let Err(cause) = require_file(path, Access::Write) {
        let what = format!("the file is not writable: {cause}");
        let lines: Vec<_> = [what].into_iter().chain(cause.remedy().map(str::to_owned)).collect();
        return Finding::failed(NAME, cause.class.exit_code(), lines).because("file_not_writable");
    }
    match require_room(path) {
        Ok(()) => Finding::ok(NAME, "the file is writable"),
        Err(cause) => Finding::failed(NAME, cause.class.exit_code(), cause.described()).because("disk_full"),
    }
}

/// A program that has the file open in WAL mode keeps a `-wal` of this size, which is SQLite's.
const USUAL_WAL: u64 = 4 << 20;

/// The `-wal` beside SQLite's file, if it is larger than the file.
pub(crate) fn write_ahead_log(path: Option<&Path>) -> Option<Finding> {
    const NAME: &str = "write-ahead log";
    let [log, file] = larger_wal(path?)?;
    let sizes = format!("the `-wal` ({}) is larger than the file ({})", size(log), size(file));
    let finding = match log > 2 * USUAL_WAL {
        false => Finding::ok(NAME, sizes),
        true => Finding::new(
            NAME,
            Status::Warning,
            vec![
                sizes,
                "a program that reads for a long time, or a full disk, keeps SQLite from copying it into the file: the last \
                 program that closes the file does so"
                    .to_owned(),
            ],
        )
        .because("log_too_large"),
    };
    Some(finding.with(json!({ "wal_bytes": log, "file_bytes": file })))
}

/// The privileges of the role.
pub(crate) async fn privileges(connection: &Transaction, state: &SchemaState) -> Finding {
    const NAME: &str = "privileges";
    if connection.backend() != DbBackend::Postgres {
        return Finding::ok(NAME, "SQLite has no roles");
    }
    if state.is_empty() {
        return Finding::skipped(NAME, "no tables yet");
    }
    let wanted = ["SELECT", "INSERT", "UPDATE", "DELETE", USAGE];
    let tables: Vec<_> = tables_of_tarsy().collect();
    let found = async {
        let lacking = privilege::lacking(connection, &tables, &wanted).await?;
        let role: String = row(connection, "SELECT quote_ident(current_user) AS role").await?.try_get("", "role")?;
        Ok::<_, DbErr>((lacking, role))
    };
    Finding::of(NAME, found.await, |(lacking, user)| role(NAME, &lacking, &user))
}

/// The statements that grant what the role `user` lacks.
fn grants(lacking: &[MissingPrivilege], user: &str) -> String {
    let statements = lacking.iter().map(|MissingPrivilege { privilege, objects }| {
        let kind = if privilege == USAGE { "SEQUENCE " } else { "" };
        format!("GRANT {privilege} ON {kind}{objects} TO {user};")
    });
    statements.collect::<Vec<_>>().join(" ")
}

fn role(name: &'static str, lacking: &[MissingPrivilege], user: &str) -> Finding {
    if lacking.is_empty() {
        return Finding::ok(name, "the role can read and write all tables");
    }
    let texts: Vec<_> = lacking.iter().map(ToString::to_string).collect();
    let detail = format!("the role lacks {}", texts.join("; "));
    let finding = if lacking.iter().any(|lacking| lacking.privilege == "SELECT") {
        let grants = format!("as the owner of the tables or a superuser run {}", grants(lacking, user));
        Finding::failed(name, ExitCode::Privilege, vec![detail, grants])
    } else {
        Finding::new(name, Status::Warning, format!("{detail}; that is enough for `check`, but not for the backend"))
    };
    let missing = lacking.iter().map(|MissingPrivilege { privilege, objects }| {
        let objects = objects.split(", ").collect::<Vec<_>>();
        let (tables, sequences) = if privilege == USAGE { (vec![], objects) } else { (objects, vec![]) };
        json!({ "privilege": privilege, "tables": tables, "sequences": sequences })
    });
    let missing: Vec<_> = missing.collect();
    finding.because("privileges_missing").with(json!({ "missing": missing }))
}

/// The row policies that hide rows from the role, if there are any.
pub(crate) async fn row_policies(reader: &BoundedReader<'_>) -> Option<Finding> {
    const NAME: &str = "row policies";
    let tables: Vec<_> = tables_of_tarsy().collect();
    let active = async |reading: &Transaction| row_policy::active(reading, &tables).await;
    match reader.read_catalogs(Rows::Every, active).await.flatten() {
        Ok(policies) => hidden_rows(NAME, &policies),
        Err(error) => Some(Finding::unanswered(NAME, &error.into())),
    }
}

fn hidden_rows(name: &'static str, policies: &[RowPolicies]) -> Option<Finding> {
    let cause = row_policy::cause(policies)?;
    let hint = cause.hint();
    let lines: Vec<_> = policies.iter().map(RowPolicies::text).chain(hint).collect();
    let finding = Finding::failed(name, cause.class.exit_code(), lines).because("rows_hidden");
    Some(finding.with(json!({ "tables": policies })))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> ServerFacts {
        ServerFacts {
            version: "15.4".to_owned(),
            major: 15,
            encoding: "UTF8".to_owned(),
            is_standby: false,
            is_read_only: false,
        }
    }

    #[test]
    fn a_server_out_of_support_is_warned_of() {
        assert_eq!(version(&facts()).status, Status::Ok);
        let old = version(&ServerFacts { version: "13.11".to_owned(), major: 13, ..facts() });
        assert_eq!(
            (old.status, old.detail.0),
            (Status::Warning, vec!["PostgreSQL 13.11 is out of support".to_owned()])
        );
    }

    #[test]
    fn another_version_of_the_collation_is_noted() {
        let text = |version: &str| Some(version.to_owned());
        let versions = |recorded, actual| CollationVersions { database: "\"My\"".to_owned(), recorded, actual };
        for (recorded, actual) in [(None, None), (None, text("2.36")), (text("2.36"), text("2.36"))] {
            assert!(collation(&versions(recorded, actual)).is_none());
        }
        let found = collation(&versions(text("2.31"), text("2.36"))).expect("a note");
        assert_eq!((found.status, found.detail.0.len()), (Status::Note, 3));
        assert_eq!(found.detail.0[2], "ALTER DATABASE \"My\" REFRESH COLLATION VERSION;");
    }

    #[test]
    fn only_utf8_holds_every_text() {
        assert_eq!(encoding("UTF8".to_owned()).status, Status::Ok);
        let latin = encoding("LATIN1".to_owned());
        assert_eq!((latin.status, latin.exit_code), (Status::Failed, ExitCode::Drift));
        assert_eq!(latin.detail.0, ["LATIN1 cannot hold every text: TARSy needs UTF8"]);
    }

    #[test]
    fn every_name_of_utc_is_accepted() {
        for zone in ["UTC", "utc", "Etc/UTC", "GMT", "Etc/Zulu", "<+00>+00"] {
            assert_eq!(time_zone(zone).status, Status::Ok, "{zone:?}");
        }
        assert_eq!(time_zone("Europe/Prague").status, Status::Warning);
    }

    #[test]
    fn a_standby_is_named_before_its_read_only_transactions() {
        assert!(read_only(&facts()).is_none());
        let found =
            |is_standby| read_only(&ServerFacts { is_standby, is_read_only: true, ..facts() }).expect("a finding");
        let [standby, read_only] = [true, false].map(found);
        assert_eq!(standby.detail.0, ["the server is a standby, which is read-only"]);
        assert_eq!(read_only.detail.0, ["transactions are read-only by default"]);
        assert_eq!([standby.exit_code, read_only.exit_code], [ExitCode::Unavailable; 2]);
    }

    #[test]
    fn a_role_that_may_only_read_is_enough_to_check() {
        let lacking =
            |privilege: &str| MissingPrivilege { privilege: privilege.to_owned(), objects: "events".to_owned() };
        assert_eq!(role("privileges", &[], "tarsy").status, Status::Ok);
        let reader = role("privileges", &[lacking("DELETE"), lacking("INSERT")], "tarsy");
        assert_eq!(reader.status, Status::Warning);
        let text =
            "the role lacks DELETE on events; INSERT on events; that is enough for `check`, but not for the backend";
        assert_eq!(reader.detail.0, [text]);
        let blind = role("privileges", &[lacking("SELECT")], "tarsy");
        assert_eq!(
            blind.detail.0,
            [
                "the role lacks SELECT on events",
                "as the owner of the tables or a superuser run GRANT SELECT ON events TO tarsy;"
            ]
        );
        assert_eq!((blind.status, blind.exit_code), (Status::Failed, ExitCode::Privilege));
    }
}
