//! Snapshots of every error, one for each enum: exit code, message, causes, details and hint. `make snapshots` rewrites
//! them.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::time::Duration;

use migration::Revision;

use crate::database::connection::{ConnectError, ConnectStep};
use crate::database::failure::{Answer, DatabaseCause, DatabaseError, ErrorClass, Verb};
use crate::database::sqlite_value::StorageClass;
use crate::database::url::{Backend, UrlError};
use crate::diagnostic::Diagnostic;
use crate::error::Error;
use crate::history::archive::error::ArchiveError;
use crate::history::places::RowIdError;
use crate::history::removal::triggers::{PathlessFunction, TriggerError};
use crate::history::retention::policy::RetentionError;
use crate::interrupt::Signal;
use crate::metrics::MetricsError;
use crate::schema::app_role::AppRoleError;
use crate::schema::application::Application;
use crate::schema::column_kind::ColumnKind;
use crate::schema::diff::{Difference, Severity};
use crate::schema::drift::Drift;
use crate::schema::error::SchemaError;
use crate::schema::lock::Locked;
use crate::schema::repair::Repair;
use crate::schema::state_error::{Leftover, StateError};
use crate::settings::error::{LibpqError, SettingsError};
use crate::transfer::endpoints::EndpointError;
use crate::transfer::error::TransferError;
use crate::transfer::mismatch::{Mismatch, MismatchError};
use crate::transfer::plan::PlanError;
use crate::transfer::report::ReportError;
use crate::transfer::source::damage::{Damage, DamageError};
use crate::transfer::source::error::SourceError;
use crate::transfer::source::origin::CopyReason;
use crate::transfer::source::snapshot::SnapshotError;
use crate::transfer::source::unmapped::{UnmappedError, UnmappedItem};
use crate::transfer::target::conflict::{Conflict, ConflictError, ConflictList};
use crate::transfer::target::empty::NotEmptyError;
use crate::transfer::target::error::WriteError;
use crate::transfer::target::obstacle::{Obstacle, ObstacleError, ObstacleKind, ObstacleSeverity};
use crate::transfer::value::column_type::ColumnType;
use crate::transfer::value::hazard::{Beyond, Fault, Hazard, JsonKind, Reason};
use crate::transfer::value::hazard_list::{HazardError, HazardList, ShownHazards};
use crate::transfer::value::policy::{Class, Policy, PolicyError};

/// All that the program shows of an error.
fn seen(error: &Error) -> String {
    let details = error.details();
    let mut lines = vec![format!("exit code {}", error.exit_code()), format!("error: {error}")];
    lines.extend(error.causes().iter().map(|cause| format!("  because: {cause}")));
    lines.extend(details.lines.iter().map(|detail| format!("  - {detail}")));
    lines.extend(error.hint().map(|hint| format!("  hint: {hint}")));
    if !details.document.is_null() {
        lines.push(format!("details: {:#}", details.document));
    }
    lines.join("\n")
}

/// Sample errors for each variant of an enum. A missing variant is a compile error.
macro_rules! samples {
    ($enum:ident { $($variant:ident => [$($sample:expr),+ $(,)?]),+ $(,)? }) => {{
        const _: fn(&$enum) = |value| match value { $($enum::$variant { .. } => ()),+ };
        vec![$((concat!(stringify!($enum), "::", stringify!($variant)), vec![$(Error::from($sample)),+])),+]
    }};
}

type Samples = Vec<(&'static str, Vec<Error>)>;

fn assert_seen(name: &str, samples: &Samples) {
    let errors = samples.iter().flat_map(|(variant, errors)| errors.iter().map(move |error| (variant, error)));
    let text: Vec<_> = errors.map(|(variant, error)| format!("## {variant}\n{}\n", seen(error))).collect();
    let mut settings = insta::Settings::new();
    settings.set_snapshot_path(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cli/seen/snapshots"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, text.join("\n")));
}

fn io(kind: ErrorKind) -> std::io::Error {
    kind.into()
}

fn cause(failure: ErrorClass) -> DatabaseCause {
    DatabaseCause::new(failure, "what the database answered")
}

fn answered(code: &str, message: &str) -> DatabaseCause {
    DatabaseCause::of_answer(&Answer { code, message, ..Answer::default() })
}

fn database(cause: DatabaseCause) -> DatabaseError {
    DatabaseError { action: (Verb::Read, "something").into(), cause }
}

fn connect(cause: DatabaseCause) -> ConnectError {
    ConnectError { target: "tarsy@db:5432/tarsy".to_owned(), step: ConnectStep::Login, cause }
}

fn text(text: &str) -> String {
    text.to_owned()
}

fn revision(number: usize) -> Revision {
    Revision::all().nth(number - 1).expect("a revision")
}

#[test]
fn every_error() {
    let kept = vec![PathBuf::from("one.json"), PathBuf::from("two.json")];
    let (what, place) = (text("index out of bounds"), text("tarsy-db/src/main.rs:1"));
    let samples = samples!(Error {
        Settings => [SettingsError::NotUtf8 { name: text("DATABASE_URL") }],
        Connect => [
            connect(cause(ErrorClass::Refused)),
            ConnectError { step: ConnectStep::FirstQueries, ..connect(cause(ErrorClass::Privilege)) },
            ConnectError { step: ConnectStep::FirstQueries, ..connect(cause(ErrorClass::ConnectionLost)) },
        ],
        Database => [database(cause(ErrorClass::Other))],
        Read => [Error::Read(database(cause(ErrorClass::ConnectionLost)))],
        Schema => [SchemaError::from(StateError::Pending)],
        Transfer => [TransferError::from(WriteError::FoundHazard)],
        Retention => [RetentionError::NotChosen],
        NotConfirmed => [Error::NotConfirmed { what: text("3 sessions would be removed") }],
        TooLargeAShare => [Error::TooLargeAShare { sessions: 3, of_sessions: 4, limit: 0.5 }],
        Triggers => [TriggerError {
            functions: vec![PathlessFunction { caller: text("trigger"), name: text("audit"), table: text("chats"), function: text("public.audit()") }],
            path: vec![text("public")],
        }],
        RowIds => [RowIdError(vec![text("chats"), text("stage_executions")])],
        Archive => [ArchiveError::NoLedger],
        Metrics => [MetricsError { path: text("prune.prom"), source: io(ErrorKind::PermissionDenied) }],
        Declined => [Error::Declined],
        NoRoles => [Error::NoRoles { flag: "--app-role", target: text("history.db") }],
        OtherDatabase => [Error::OtherDatabase { direct: text("tarsy@db:5432/other"), database: text("tarsy@pooler:6432/tarsy") }],
        DeadlineExceeded => [
            Error::DeadlineExceeded { limit: Duration::from_secs(90), last: None },
            Error::DeadlineExceeded { limit: Duration::from_secs(90), last: Some(connect(cause(ErrorClass::Refused))) },
        ],
        GaveUp => [Error::GaveUp {
            attempts: 3,
            waited: Duration::from_secs(10),
            last: connect(cause(ErrorClass::Authentication)),
        }],
        Exec => [
            Error::Exec { command: text("backend"), source: io(ErrorKind::NotFound) },
            Error::Exec { command: text("backend"), source: io(ErrorKind::PermissionDenied) },
        ],
        Interrupted => [Signal::Interrupt, Signal::Terminate, Signal::Hangup],
        RolledBack => [Error::RolledBack(Signal::Interrupt), Error::RolledBack(Signal::Terminate)],
        RollingBack => [Error::RollingBack(Signal::Interrupt), Error::RollingBack(Signal::Terminate)],
        Output => [
            Error::Output { committed: None, source: io(ErrorKind::StorageFull) },
            Error::Output {
                committed: Some(text("removed 5 sessions (316 rows in all) from history.db")),
                source: io(ErrorKind::StorageFull),
            },
        ],
        Panic => [
            Error::Panic { what: what.clone(), place: place.clone(), kept: Vec::new() },
            Error::Panic { what: what.clone(), place: place.clone(), kept: kept.clone() },
        ],
        Protocol => [
            Error::Protocol { what: what.clone(), place: place.clone(), kept: Vec::new() },
            Error::Protocol { what, place, kept },
        ],
        KeptFile => [
            Error::KeptFile { path: text("kept.jsonl"), source: io(ErrorKind::PermissionDenied) },
            Error::KeptFile { path: text("kept.jsonl"), source: io(ErrorKind::AlreadyExists) },
        ],
        System => [
            Error::System { action: (Verb::Listen, "for signals").into(), source: io(ErrorKind::OutOfMemory) },
            Error::System {
                action: (Verb::Open, "the files that a command needs").into(),
                source: rustix::io::Errno::MFILE.into(),
            },
        ],
    });
    assert_seen("error", &samples);
}

#[test]
fn every_error_of_the_settings() {
    let samples = samples!(SettingsError {
        Value => [SettingsError::Value {
            name: "history.retention_days",
            source_name: text("HISTORY_RETENTION_DAYS"),
            value: text("-1").into(),
            expected: "a number from 1 to 4294967295",
        }, SettingsError::Value {
            name: "DATABASE_HOST",
            source_name: text("DATABASE_HOST"),
            value: text("tarsy:a secret@db").into(),
            expected: "a host",
        }],
        DirectFile => [SettingsError::DirectFile { source_name: text("DIRECT_DATABASE_URL") }],
        NotUtf8 => [SettingsError::NotUtf8 { name: text("DATABASE_URL") }],
        Revision => [SettingsError::Revision {
            name: "TARSY_DB_SCHEMA",
            source_name: text("/etc/tarsy-db.toml"),
            value: text("haed").into(),
            problem: text("expected `head`, `baseline` or a revision; the nearest is `head`"),
        }],
        NotAValue => [SettingsError::NotAValue {
            path: text("tarsy-db.toml"),
            key: text("history.enabled"),
            kind: "table",
        }],
        Both => [SettingsError::Both { name: "DATABASE_URL", file_name: text("DATABASE_URL_FILE") }],
        Read => [SettingsError::Read { what: text("the settings file x.toml"), source: io(ErrorKind::NotFound) }],
        Empty => [SettingsError::Empty { name: text("DATABASE_URL_FILE"), path: text("/run/secrets/url") }],
        Toml => [SettingsError::Toml { path: text("tarsy-db.toml"), line: 3, message: text("invalid key") }],
        UnknownKey => [SettingsError::UnknownKey {
            path: text("tarsy-db.toml"),
            key: text("history.retention"),
            suggestion: "history.retention_days",
        }],
        Libpq => [libpq(LibpqError::NoRootCertificate("verify-ca"))],
        Url => [SettingsError::Url { source_name: text("DATABASE_URL"), source: UrlError::NoScheme { meant: Backend::Sqlite } }],
    });
    assert_seen("error-settings", &samples);
}

fn libpq(error: LibpqError) -> SettingsError {
    error.into()
}

#[test]
fn every_error_of_what_libpq_would_heed() {
    let samples = samples!(LibpqError {
        NoRootCertificate => [libpq(LibpqError::NoRootCertificate("verify-ca"))],
        TooWeakForDirectTls => [libpq(LibpqError::TooWeakForDirectTls)],
        NoTlsVersion => [libpq(LibpqError::NoTlsVersion)],
        HostLists => [libpq(LibpqError::HostLists)],
        Nul => [libpq(LibpqError::Nul("password"))],
        NoUser => [libpq(LibpqError::NoUser)],
        TooWeakForSystemRoots => [libpq(LibpqError::TooWeakForSystemRoots)],
        Service => [libpq(LibpqError::Service { service: text("x"), why: text("no service file has it") })],
    });
    assert_seen("error-settings-libpq", &samples);
}

fn url(source: UrlError) -> SettingsError {
    SettingsError::Url { source_name: text("DATABASE_URL"), source }
}

#[test]
fn every_error_of_the_url() {
    let unknown = UrlError::UnknownParameter { name: text("mode"), allowed: vec!["sslmode", "host"] };
    let samples = samples!(UrlError {
        NoScheme => [
            url(UrlError::NoScheme { meant: Backend::Sqlite }),
            url(UrlError::NoScheme { meant: Backend::Postgresql }),
            SettingsError::Url { source_name: text("--to"), source: UrlError::NoScheme { meant: Backend::Sqlite } },
        ],
        SeveralLines => [url(UrlError::SeveralLines)],
        Surrounded => [url(UrlError::Surrounded("quotes around it"))],
        UnsupportedScheme => [url(UrlError::UnsupportedScheme(text("mysql")))],
        UnescapedPassword => [url(UrlError::UnescapedPassword)],
        SqliteHost => [url(UrlError::SqliteHost)],
        Port => [url(UrlError::Port)],
        Host => [url(UrlError::Host)],
        HostsWithOnePort => [url(UrlError::HostsWithOnePort)],
        HostsReadOtherwise => [url(UrlError::HostsReadOtherwise)],
        HostLists => [url(UrlError::HostLists)],
        UnknownParameter => [url(unknown)],
        Repeated => [url(UrlError::Repeated("sslmode"))],
        Parameter => [url(UrlError::Parameter { name: "sslmode", expected: "one of disable, require" })],
    });
    assert_seen("error-settings-url", &samples);
}

fn difference(weight: Severity, what: &str, repair: Option<Repair>) -> Difference {
    Difference { weight, text: text(what), repair }
}

#[test]
fn every_error_of_the_schema() {
    let alike = || Drift::new(revision(2), vec![difference(Severity::Drift, "missing table events", None)]);
    let repair = Repair::RebuildIndex { name: text("ix_events_channel"), table: text("events") };
    let repairable = difference(Severity::Drift, "invalid index ix_events_channel", Some(repair));
    let restriction = difference(Severity::Restriction, "additional unique index mine", None);
    let samples = samples!(SchemaError {
        Drift => [
            SchemaError::from(alike()),
            SchemaError::from(Drift { looks_like: Some(revision(3)), ..alike() }),
            SchemaError::from(Drift::new(revision(3), vec![repairable.clone()])),
            SchemaError::from(Drift::new(revision(3), vec![repairable, restriction])),
        ],
        State => [StateError::Pending],
        Blocked => [SchemaError::Blocked { revision: revision(4), cause: cause(ErrorClass::Needed) }],
        Locked => [SchemaError::from(Locked { holder: text("process 4711"), waited: Duration::from_secs(30) })],
        AppRole => [SchemaError::from(AppRoleError::Missing(text("Backend")))],
        Database => [
            SchemaError::from(database(cause(ErrorClass::Privilege))),
            SchemaError::from(database(cause(ErrorClass::ConnectionLost))),
        ],
    });
    assert_seen("error-schema", &samples);
}

#[test]
fn every_error_of_the_backends_role() {
    let statements =
        vec![text("GRANT USAGE ON SCHEMA public TO backend"), text("GRANT SELECT ON TABLE a.b TO backend")];
    let samples = samples!(AppRoleError {
        Missing => [SchemaError::from(AppRoleError::Missing(text("Backend")))],
        NotAllowed => [SchemaError::from(AppRoleError::NotAllowed {
            role: text("backend"),
            by: text("tarsy"),
            statements,
        })],
        Database => [SchemaError::from(AppRoleError::Database(database(cause(ErrorClass::Privilege))))],
    });
    assert_seen("error-schema-app-role", &samples);
}

#[test]
fn every_error_of_the_state_of_a_schema() {
    let left = |original_is_there| Leftover { copy: text("_alembic_tmp_chats"), original_is_there };
    let samples = samples!(StateError {
        Pending => [StateError::Pending],
        Elsewhere => [StateError::Elsewhere(vec![text("history")])],
        Foreign => [
            StateError::Foreign(Application::Successor),
            StateError::Foreign(Application::Tables(vec![text("events"), text("chats")])),
            StateError::Foreign(Application::Stranger(vec![text("events")])),
            StateError::Foreign(Application::Ledger(text("ffffffffffff"))),
        ],
        Unknown => [StateError::Unknown(text("ffffffffffff"))],
        Incomplete => [
            StateError::Incomplete { revision: None, missing: vec!["chats", "events"], in_place: vec![("chats", "a view")] },
            StateError::Incomplete { revision: Some(text("ae85467a75d2")), missing: vec!["chats"], in_place: vec![] },
        ],
        Ambiguous => [StateError::Ambiguous(vec![text("ae85467a75d2"), text("3eafea61046d")])],
        Padded => [StateError::Padded(text("ae85467a75d2"))],
        Leftover => [StateError::Leftover(vec![left(true), left(false)])],
    });
    assert_seen("error-schema-state", &samples);
}

#[test]
fn every_error_of_the_retention() {
    let samples = samples!(RetentionError {
        Zero => [RetentionError::Zero(text("`HISTORY_RETENTION_DAYS`"))],
        NotPositive => [RetentionError::NotPositive(text("0d"))],
        CutoffNotPast => [RetentionError::CutoffNotPast(text("2026-02-02T00:00:00Z"))],
        TooShort => [RetentionError::TooShort(text("3m"))],
        TooLong => [RetentionError::TooLong(4_294_967_295)],
        UnknownStatus => [RetentionError::UnknownStatus(text("complted"))],
        NotChosen => [RetentionError::NotChosen],
        Events => [RetentionError::Events(0)],
    });
    assert_seen("error-retention", &samples);
}

#[test]
fn every_error_of_the_archive() {
    let path = || text("/var/lib/tarsy/archive.db");
    let compress =
        |kind| ArchiveError::File { action: (Verb::Compress, "the archive").into(), path: path(), source: io(kind) };
    let samples = samples!(ArchiveError {
        Connect => [ArchiveError::from(connect(cause(ErrorClass::CannotOpen)))],
        Create => [
            ArchiveError::Create { path: path(), source: io(ErrorKind::PermissionDenied) },
            ArchiveError::Create { path: path(), source: io(ErrorKind::NotFound) },
        ],
        File => [compress(ErrorKind::ResourceBusy), compress(ErrorKind::StorageFull)],
        InUse => [ArchiveError::InUse { path: path() }],
        Ambiguous => [ArchiveError::Ambiguous { path: path(), compressed: text("/var/lib/tarsy/archive.db.zst") }],
        Full => [ArchiveError::Full { path: path(), cause: cause(ErrorClass::DiskFull) }],
        Schema => [ArchiveError::from(SchemaError::from(StateError::Pending))],
        Database => [ArchiveError::from(database(cause(ErrorClass::Corrupt)))],
        Foreign => [ArchiveError::Foreign { path: path(), why: text("it is not a SQLite database") }],
        OtherRevision => [ArchiveError::OtherRevision {
            path: path(),
            found: text("ae85467a75d2"),
            wanted: revision(3),
        }],
        Lacking => [ArchiveError::Lacking { names: vec![text("chats.mine"), text("events.mine")] }],
        NoLedger => [ArchiveError::NoLedger],
    });
    assert_seen("error-archive", &samples);
}

fn snapshot(error: SnapshotError) -> TransferError {
    error.into()
}

/// Whether every reason is listed below.
const _: fn(&CopyReason) = |why| match why {
    CopyReason::RollbackJournal | CopyReason::LeftOverWal | CopyReason::LeftOverJournal => (),
};

fn not_copied(why: CopyReason) -> TransferError {
    snapshot(SnapshotError::Copy { directory: text("/tmp"), why, cause: cause(ErrorClass::DiskFull) })
}

#[test]
fn every_error_of_the_snapshot_of_the_source() {
    let unreadable = |hint| {
        let path = text("history.db");
        snapshot(SnapshotError::Source { path, cause: cause(ErrorClass::Corrupt), hint })
    };
    let samples = samples!(SnapshotError {
        Source => [unreadable(None), unreadable(Some("try again at a quieter time"))],
        Copy => [
            not_copied(CopyReason::RollbackJournal),
            not_copied(CopyReason::LeftOverWal),
            not_copied(CopyReason::LeftOverJournal),
        ],
    });
    assert_seen("error-transfer-snapshot", &samples);
}

#[test]
fn every_error_of_a_choice_of_policies() {
    let twice = PolicyError::Twice { class: Class::Nul, policies: [Policy::Replace, Policy::Strip] };
    let allowed = vec![Policy::Fail, Policy::Replace];
    let samples = samples!(PolicyError {
        Form => [TransferError::Policies(PolicyError::Form(text("nul")))],
        Class => [TransferError::Policies(PolicyError::Class(text("nan")))],
        Policy => [TransferError::Policies(PolicyError::Policy { class: Class::Nul, policy: text("null"), allowed })],
        Twice => [TransferError::Policies(twice)],
    });
    assert_seen("error-transfer-policies", &samples);
}

fn mismatch(table: &str, differences: &[&str]) -> Mismatch {
    let differences = differences.iter().map(|difference| text(difference)).collect();
    Mismatch { table: text(table), source_rows: 3, target_rows: 4, differences }
}

fn clash(primary_key: &str, target_primary_key: &str) -> Conflict {
    Conflict {
        table: text("alert_sessions"),
        primary_key: text(primary_key),
        target_primary_key: text(target_primary_key),
        columns: vec![text("status"), text("author")],
    }
}

/// Items of the source that the target has no place for.
fn unmapped(items: &[(&str, Option<u64>, Option<usize>)]) -> TransferError {
    let item = |&(name, holds, brought_by): &(&str, _, _)| {
        let is_table = !name.contains('.');
        UnmappedItem { name: text(name), is_table, holds, brought_by }
    };
    UnmappedError::Unmapped(items.iter().map(item).collect()).into()
}

fn hazards(hazards: &[Hazard]) -> HazardError {
    let mut list = HazardList::default();
    list.add(hazards);
    HazardError(list, ShownHazards::Each)
}

fn hazard(fault: &Fault) -> Hazard {
    Hazard::new("llm_interactions", text("one"), "conversation", fault)
}

#[test]
fn every_error_of_the_transfer() {
    let clashes = |conflicts: Vec<Conflict>| {
        let (rows, mut list) = (conflicts.len() as u64, ConflictList::default());
        for conflict in conflicts {
            list.add(conflict);
        }
        ConflictError::of(list, rows + 11, 7)
    };
    let damaged = |findings: &[&str], total| {
        let findings = findings.iter().map(|finding| text(finding)).collect();
        DamageError { path: text("history.db"), damage: Damage { findings, total } }
    };
    let shown = Hazard { value: Some(text("the value")), ..hazard(&Fault::at(5, Reason::Nul)) };
    let obstacle = obstacle(ObstacleKind::Rows, ObstacleSeverity::Refusal);
    let samples = samples!(TransferError {
        Database => [TransferError::from(database(cause(ErrorClass::ConnectionLost)))],
        Snapshot => [not_copied(CopyReason::LeftOverWal)],
        Schema => [TransferError::from(SchemaError::from(StateError::Unknown(text("ffffffffffff"))))],
        Endpoint => [TransferError::from(EndpointError::SourceRevision { revision: text("ffffffffffff") })],
        Obstacles => [
            TransferError::from(ObstacleError(vec![obstacle.clone()])),
            TransferError::from(ObstacleError(vec![obstacle.clone(), obstacle])),
        ],
        Plan => [TransferError::from(PlanError::Source(text("there is no table alert_sessions")))],
        Unmapped => [
            unmapped(&[("chats.mine", Some(1), None)]),
            unmapped(&[("chats.mine", Some(0), None)]),
            unmapped(&[("mine", Some(1_000), None), ("chats.mine", Some(2), None)]),
            unmapped(&[("chats", Some(2), Some(11)), ("events", Some(0), Some(3))]),
            unmapped(&[("mine", None, None), ("chats.mine", None, None)]),
            TransferError::from(UnmappedError::NoSchema),
            TransferError::from(UnmappedError::Mapped { names: vec![text("chats"), text("nothing")] }),
        ],
        NotEmpty => [TransferError::from(NotEmptyError::Rows { tables: vec![text("chats"), text("events")] })],
        Conflicts => [
            TransferError::from(clashes(vec![clash("one", "one")])),
            TransferError::from(clashes(vec![clash("one", "one"), clash("two", "three")])),
        ],
        Damaged => [
            TransferError::from(damaged(&["row 1 missing"], 1)),
            TransferError::from(damaged(&["row 1 missing", "Page 3: never used"], 1_500)),
        ],
        Hazards => [
            TransferError::from(hazards(&[hazard(&Fault::whole(Reason::Orphan))])),
            TransferError::from(hazards(&[shown, hazard(&Fault::whole(Reason::Null))])),
        ],
        Write => [TransferError::from(WriteError::FoundHazard)],
        Policies => [TransferError::from(PolicyError::Form(text("nul")))],
        Report => [TransferError::from(ReportError::Published { path: text("move.json") })],
        Mismatch => [TransferError::from(MismatchError::OfLoad(vec![mismatch("events", &[])]))],
        Source => [TransferError::from(SourceError::Changed { path: text("history.db") })],
    });
    assert_seen("error-transfer", &samples);
}

#[test]
fn every_error_of_the_endpoints() {
    let backend = |role, expected| EndpointError::Backend { role, url: text("history.db"), expected };
    let beyond = |dropped| EndpointError::TargetBeyond {
        revision: text("3eafea61046d (3 of 23)"),
        source_revision: revision(1),
        dropped,
    };
    let behind = |dropped| EndpointError::TargetBehind { revision: revision(1), source_revision: revision(4), dropped };
    let error = |error: EndpointError| TransferError::from(error);
    let samples = samples!(EndpointError {
        Database => [error(database(cause(ErrorClass::ConnectionLost)).into())],
        Schema => [error(SchemaError::from(StateError::Unknown(text("ffffffffffff"))).into())],
        Backend => [
            error(backend("the source", Backend::Sqlite)),
            error(backend("the target", Backend::Postgresql)),
        ],
        Memory => [error(EndpointError::Memory)],
        NoTarget => [
            error(EndpointError::NoTarget { url: text("/data/history.db"), source_name: text("DATABASE_URL") }),
        ],
        SourceSchema => [
            error(PlanError::Source(text("there is no table alert_sessions")).into()),
            error(
                PlanError::TargetType {
                    table: text("alert_sessions"),
                    column: text("started_at_us"),
                    kind: ColumnKind::of("numeric"),
                }
                .into(),
            ),
        ],
        SourceLacks => [error(EndpointError::SourceLacks {
            missing: text("`alert_sessions.final_analysis`, a column"),
            revision: revision(2),
            file: text("/data/history.db"),
        })],
        SourceRevision => [error(EndpointError::SourceRevision { revision: text("ffffffffffff") })],
        TargetBeyond => [error(beyond(None)), error(beyond(Some(1))), error(beyond(Some(2_000)))],
        TargetBehind => [error(behind(None)), error(behind(Some(2)))],
    });
    assert_seen("error-transfer-endpoints", &samples);
}

#[test]
fn every_error_of_writing_to_the_target() {
    let rejected = |class| WriteError::Rejected { action: (Verb::Copy, "rows into chats").into(), cause: cause(class) };
    let error = |error: WriteError| TransferError::from(error);
    let samples = samples!(WriteError {
        Database => [error(database(cause(ErrorClass::ConnectionLost)).into())],
        Report => [error(ReportError::Foreign { path: text("move.json") }.into())],
        FoundHazard => [error(WriteError::FoundHazard)],
        Rejected => [error(rejected(ErrorClass::Data)), error(rejected(ErrorClass::Constraint))],
    });
    assert_seen("error-transfer-write", &samples);
}

#[test]
fn every_error_of_the_report() {
    let error = |error: ReportError| TransferError::from(error);
    let samples = samples!(ReportError {
        Write => [error(ReportError::Write { path: text("move.json"), source: io(ErrorKind::PermissionDenied) })],
        Published => [error(ReportError::Published { path: text("move.json") })],
        Pending => [error(ReportError::Pending { path: text("move.json"), target: text("tarsy@db:5432/tarsy") })],
        Foreign => [error(ReportError::Foreign { path: text("move.json") })],
    });
    assert_seen("error-transfer-report", &samples);
}

#[test]
fn every_mismatch() {
    let differing = mismatch("chats", &["`one`: author", "`two`: missing"]);
    let error = |error: MismatchError| TransferError::from(error);
    let samples = samples!(MismatchError {
        OfLoad => [error(MismatchError::OfLoad(vec![differing.clone(), mismatch("events", &[])]))],
        OfFilledTarget => [error(MismatchError::OfFilledTarget(vec![differing]))],
    });
    assert_seen("error-transfer-mismatch", &samples);
}

fn obstacle(kind: ObstacleKind, weight: ObstacleSeverity) -> Obstacle {
    let (object, what, advice) = (text("the object"), text("has something the matter with it"), text("the advice"));
    Obstacle { kind, object, what, advice, weight }
}

fn refused(kind: ObstacleKind) -> TransferError {
    ObstacleError(vec![obstacle(kind, ObstacleSeverity::Refusal)]).into()
}

#[test]
fn every_kind_of_obstacle() {
    let mut samples = samples!(ObstacleKind {
        Standby => [refused(ObstacleKind::Standby)],
        ReadOnly => [refused(ObstacleKind::ReadOnly)],
        Privilege => [refused(ObstacleKind::Privilege)],
        Encoding => [refused(ObstacleKind::Encoding)],
        Rows => [refused(ObstacleKind::Rows)],
        Name => [refused(ObstacleKind::Name)],
        Schema => [refused(ObstacleKind::Schema)],
        Inheritance => [refused(ObstacleKind::Inheritance)],
        Unlogged => [refused(ObstacleKind::Unlogged)],
        Column => [refused(ObstacleKind::Column)],
        Condition => [refused(ObstacleKind::Condition)],
        Function => [refused(ObstacleKind::Function)],
        Trigger => [refused(ObstacleKind::Trigger)],
        EventTrigger => [refused(ObstacleKind::EventTrigger)],
        Rule => [refused(ObstacleKind::Rule)],
        RowSecurity => [refused(ObstacleKind::RowSecurity)],
        ReplicationRole => [refused(ObstacleKind::ReplicationRole)],
        Publication => [refused(ObstacleKind::Publication)],
        Subscription => [refused(ObstacleKind::Subscription)],
        Lock => [refused(ObstacleKind::Lock)],
        Prepared => [refused(ObstacleKind::Prepared)],
        SynchronousStandby => [refused(ObstacleKind::SynchronousStandby)],
        TemporaryFiles => [refused(ObstacleKind::TemporaryFiles)],
        Sequence => [refused(ObstacleKind::Sequence)],
        Disk => [refused(ObstacleKind::Disk)],
    });
    let several = |kinds: &[ObstacleKind]| {
        let obstacles = kinds.iter().map(|&kind| obstacle(kind, ObstacleSeverity::Warning)).collect();
        Error::from(TransferError::from(ObstacleError(obstacles)))
    };
    samples.push(("of one code", vec![several(&[ObstacleKind::Privilege, ObstacleKind::RowSecurity])]));
    samples.push((
        "of several codes",
        vec![several(&[ObstacleKind::Privilege, ObstacleKind::Prepared, ObstacleKind::Disk])],
    ));
    assert_seen("error-transfer-obstacles", &samples);
}

fn faulty(reason: Reason) -> TransferError {
    hazards(&[hazard(&Fault::whole(reason))]).into()
}

#[test]
fn every_reason_for_a_hazard() {
    let samples = samples!(Reason {
        Null => [faulty(Reason::Null)],
        Convertible => [faulty(Reason::Convertible(StorageClass::Text, ColumnType::BigInt))],
        Misplaced => [faulty(Reason::Misplaced(StorageClass::Blob, ColumnType::Text(Some(255))))],
        Utf8 => [faulty(Reason::Utf8)],
        Nul => [faulty(Reason::Nul)],
        TooLong => [faulty(Reason::TooLong(255, Beyond::Text)), faulty(Reason::TooLong(255, Beyond::Blanks))],
        TooLarge => [faulty(Reason::TooLarge)],
        TooLargeJsonb => [faulty(Reason::TooLargeJsonb)],
        IntegerRange => [faulty(Reason::IntegerRange(ColumnType::BigInt)), faulty(Reason::IntegerRange(ColumnType::Integer))],
        NotBoolean => [faulty(Reason::NotBoolean)],
        NotDouble => [faulty(Reason::NotDouble)],
        NotWhole => [faulty(Reason::NotWhole(2.5)), faulty(Reason::NotWhole(f64::INFINITY))],
        Infinite => [faulty(Reason::Infinite)],
        EmptyJson => [faulty(Reason::EmptyJson)],
        MalformedJson => [faulty(Reason::MalformedJson)],
        NotANumber => [faulty(Reason::NotANumber)],
        NulEscape => [faulty(Reason::NulEscape(JsonKind::Json)), faulty(Reason::NulEscape(JsonKind::Jsonb))],
        LoneSurrogate => [
            faulty(Reason::LoneSurrogate(JsonKind::Json)),
            faulty(Reason::LoneSurrogate(JsonKind::Jsonb)),
        ],
        JsonNumberRange => [faulty(Reason::JsonNumberRange)],
        DuplicateKey => [faulty(Reason::DuplicateKey)],
        NotATimestamp => [faulty(Reason::NotATimestamp)],
        TooDeep => [faulty(Reason::TooDeep)],
        Orphan => [faulty(Reason::Orphan)],
        IndexEntry => [faulty(Reason::IndexEntry)],
        DuplicateRow => [faulty(Reason::DuplicateRow)],
    });
    assert_seen("error-transfer-hazards", &samples);
}

/// A failure in each of the places that have a hint of their own for it.
fn in_each_place(cause: &DatabaseCause) -> Vec<Error> {
    vec![
        database(cause.clone()).into(),
        Error::from(database(cause.clone())).of_reading(),
        SchemaError::from(database(cause.clone())).into(),
        connect(cause.clone()).into(),
        Error::GaveUp { attempts: 2, waited: Duration::from_secs(10), last: connect(cause.clone()) },
        Error::DeadlineExceeded { limit: Duration::from_mins(1), last: Some(connect(cause.clone())) },
    ]
}

#[test]
fn every_failure_of_a_database() {
    let samples = samples!(ErrorClass {
        Refused => [database(cause(ErrorClass::Refused))],
        NameResolution => [database(cause(ErrorClass::NameResolution))],
        Unreachable => [database(cause(ErrorClass::Unreachable))],
        TimedOut => [database(cause(ErrorClass::TimedOut))],
        ConnectionLost => [
            database(cause(ErrorClass::ConnectionLost)),
            database(DatabaseCause::new(ErrorClass::ConnectionLost, "query_wait_timeout")),
        ],
        StartingUp => [database(cause(ErrorClass::StartingUp))],
        ShuttingDown => [database(cause(ErrorClass::ShuttingDown))],
        InRecovery => [database(cause(ErrorClass::InRecovery))],
        Standby => [
            database(cause(ErrorClass::Standby)),
            database(DatabaseCause::new(
                ErrorClass::Standby,
                "the server is a standby and accepts no writes; the URL names other hosts",
            )),
        ],
        ReadOnly => [
            database(cause(ErrorClass::ReadOnly)),
            database(DatabaseCause::new(
                ErrorClass::ReadOnly,
                "its sessions are read-only, and `target_session_attrs=read-write`",
            )),
        ],
        CommitsWait => [database(cause(ErrorClass::CommitsWait))],
        TooManyConnections => [
            database(cause(ErrorClass::TooManyConnections)),
            database(answered("53300", "too many connections for role \"tarsy\"")),
            database(answered("53300", "too many connections for database \"tarsy\"")),
            database(DatabaseCause::new(
                ErrorClass::TooManyConnections,
                "no more connections allowed (max_client_conn)",
            )),
        ],
        OutOfResources => [
            database(cause(ErrorClass::OutOfResources)),
            database(DatabaseCause::of_io(&rustix::io::Errno::NFILE.into())),
            database(DatabaseCause::of_answer(&Answer {
                code: "53200",
                message: "out of shared memory",
                hint: Some("You might need to increase max_locks_per_transaction."),
                ..Answer::default()
            })),
            database(DatabaseCause::of_answer(&Answer {
                code: "54000",
                message: "database is not accepting commands to avoid wraparound data loss in database \"tarsy\"",
                hint: Some("You might also need to commit or roll back old prepared transactions."),
                routine: Some("GetNewTransactionId"),
                ..Answer::default()
            })),
        ],
        Disabled => [
            database(cause(ErrorClass::Disabled)),
            database(answered("55000", "database \"tarsy\" is not currently accepting connections")),
        ],
        Busy => [database(cause(ErrorClass::Busy))],
        Conflict => [database(cause(ErrorClass::Conflict))],
        Authentication => [database(cause(ErrorClass::Authentication))],
        Privilege => [database(cause(ErrorClass::Privilege))],
        FilePermission => [database(cause(ErrorClass::FilePermission))],
        RowPolicy => [database(cause(ErrorClass::RowPolicy))],
        NoSuchDatabase => [database(cause(ErrorClass::NoSuchDatabase))],
        Encoding => [database(cause(ErrorClass::Encoding))],
        NoSuchFile => [
            database(cause(ErrorClass::NoSuchFile)),
            database(DatabaseCause::new(ErrorClass::NoSuchFile, "there is no file x; `zstd -d x.zst` unpacks it")),
        ],
        Tls => [
            database(cause(ErrorClass::Tls)),
            database(DatabaseCause::new(ErrorClass::Tls, "server does not support TLS")),
        ],
        Certificate => [
            database(cause(ErrorClass::Certificate)),
            database(DatabaseCause::new(
                ErrorClass::Certificate,
                "the server's certificate is signed by `x`, a CA that this client does not trust",
            )),
            database(DatabaseCause::new(
                ErrorClass::Certificate,
                "the server's certificate is signed by itself and not by a CA that this client trusts",
            )),
            database(DatabaseCause::new(ErrorClass::Certificate, "the server's certificate expired on 2020-01-01")),
            database(DatabaseCause::new(
                ErrorClass::Certificate,
                "the server's certificate is not valid before 2030-01-01",
            )),
            database(DatabaseCause::new(ErrorClass::Certificate, "the server's certificate is revoked")),
            database(DatabaseCause::new(ErrorClass::Certificate, "the revocation list of `x` has expired")),
            database(DatabaseCause::new(
                ErrorClass::Certificate,
                "the server's certificate has a key that is too weak",
            )),
            database(DatabaseCause::new(
                ErrorClass::Certificate,
                "the server's certificate is not issued for servers: its key usage has other purposes",
            )),
            database(DatabaseCause::new(
                ErrorClass::Certificate,
                "the server's certificate is rejected: unhandled critical extension",
            )),
            database(DatabaseCause::new(ErrorClass::Certificate, "the server's certificate is for `a`, not for `db`")),
        ],
        Configuration => [
            database(cause(ErrorClass::Configuration)),
            database(DatabaseCause::new(ErrorClass::Configuration, "unsupported startup parameter: options")),
        ],
        CannotOpen => [database(cause(ErrorClass::CannotOpen))],
        DiskFull => [database(cause(ErrorClass::DiskFull))],
        Corrupt => [database(cause(ErrorClass::Corrupt))],
        InputOutput => [database(cause(ErrorClass::InputOutput))],
        Data => [database(cause(ErrorClass::Data))],
        Constraint => [database(cause(ErrorClass::Constraint))],
        Needed => [database(cause(ErrorClass::Needed))],
        AlreadyExists => [database(cause(ErrorClass::AlreadyExists))],
        Pooler => [
            database(cause(ErrorClass::Pooler)),
            database(DatabaseCause::new(ErrorClass::Pooler, "this needs a session of the server (`DIRECT_DATABASE_URL`)")),
            database(DatabaseCause::new(
                ErrorClass::Pooler,
                "transaction blocks not allowed in statement pooling mode",
            )),
        ],
        Schema => [database(cause(ErrorClass::Schema))],
        SchemaPending => [database(cause(ErrorClass::SchemaPending))],
        SchemaIncomplete => [database(cause(ErrorClass::SchemaIncomplete))],
        Other => [database(cause(ErrorClass::Other))],
    });
    let in_each_place = samples.into_iter().map(|(variant, errors)| {
        let causes = errors.into_iter().map(|error| match error {
            Error::Database(DatabaseError { cause, .. }) => cause,
            other => panic!("no error of a database: {other}"),
        });
        (variant, causes.flat_map(|cause| in_each_place(&cause)).collect())
    });
    assert_seen("error-database", &in_each_place.collect());
}
