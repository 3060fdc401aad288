//! Classifies PostgreSQL's SQLSTATEs.

use serde::{Deserialize, Serialize};
use sqlx::postgres::PgDatabaseError;

use super::class::ErrorClass;
use crate::exit_code::ExitCode;

/// The fields of a server's error that say what failed.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Answer<'a> {
    /// The SQLSTATE.
    pub(crate) code: &'a str,
    pub(crate) message: &'a str,
    pub(crate) detail: Option<&'a str>,
    pub(crate) hint: Option<&'a str>,
    /// Where it failed, which may quote a row.
    pub(crate) context: Option<&'a str>,
    /// The function of the server that reports it.
    pub(crate) routine: Option<&'a str>,
    /// The file of the server's source that has the function.
    pub(crate) file: Option<&'a str>,
}

impl<'a> From<&'a PgDatabaseError> for Answer<'a> {
    fn from(error: &'a PgDatabaseError) -> Self {
        Self {
            code: error.code(),
            message: error.message(),
            detail: error.detail(),
            hint: error.hint(),
            context: error.r#where(),
            routine: error.routine(),
            file: error.file(),
        }
    }
}

impl<'a> Answer<'a> {
    /// The detail, unless it is a whole row: that of a violated CHECK or NOT NULL.
    fn detail_without_row(&self) -> Option<&'a str> {
        self.detail.filter(|_| !matches!(self.code, "23502" | "23514"))
    }
}

/// What a server said beside its message, in its own words. A row is left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ServerAnswer {
    pub(crate) sqlstate: String,
    pub(crate) detail: Option<String>,
    pub(crate) hint: Option<String>,
}

impl From<&Answer<'_>> for ServerAnswer {
    fn from(answer: &Answer<'_>) -> Self {
        let hint = answer.hint.map(|hint| hint.replace('\n', " "));
        Self { sqlstate: answer.code.to_owned(), detail: answer.detail_without_row().map(str::to_owned), hint }
    }
}

/// Logs all that a server said. What quotes rows is logged only with every statement.
pub(super) fn log(answer: &Answer<'_>) {
    let Answer { code, message, hint, .. } = *answer;
    let with_rows = tracing::enabled!(tracing::Level::TRACE);
    let detail = if with_rows { answer.detail } else { answer.detail_without_row() };
    let context = answer.context.filter(|_| with_rows);
    let more = [("DETAIL", detail), ("HINT", hint), ("CONTEXT", context)];
    let more = more.into_iter().filter_map(|(name, text)| Some(format!("; {name}: {}", text?)));
    tracing::debug!("the server answers SQLSTATE {code}: {message}{}", more.collect::<String>());
}

pub(crate) fn message(answer: &Answer<'_>) -> String {
    match answer.detail_without_row() {
        Some(detail) => format!("{} ({detail})", answer.message),
        None => answer.message.to_owned(),
    }
}

/// The functions of the server that give out the numbers of transactions, and of sessions that share the lock of a row.
const OUT_OF_NUMBERS: [&str; 2] = ["GetNewTransactionId", "GetNewMultiXactId"];
/// The function of the server that reports values of types that it cannot compare.
const NO_OPERATOR: &str = "op_error";
/// The function of the server that refuses a change of a published table.
const WITHOUT_REPLICA_IDENTITY: &str = "CheckCmdReplicaIdentity";
/// The functions of the server that refuse a query, and a new row, because of a row policy.
const ROW_POLICY: [&str; 2] = ["check_enable_rls", "ExecWithCheckOptions"];

/// Why a server admits no session of a role, or to a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Closed {
    LimitOfRole,
    LimitOfDatabase,
    /// `ALTER DATABASE ... ALLOW_CONNECTIONS false`.
    Disabled,
    /// A DROP DATABASE was interrupted.
    Invalid,
}

/// Servers translate their messages, so that their functions decide. A pooler passes on nothing but the message.
const CLOSED: [(&str, &str, &str, Closed); 4] = [
    ("53300", "InitializeSessionUserId", "role \"", Closed::LimitOfRole),
    ("53300", "CheckMyDatabase", "database \"", Closed::LimitOfDatabase),
    ("55000", "CheckMyDatabase", "not currently accepting connections", Closed::Disabled),
    ("55000", "InitPostgres", "invalid database", Closed::Invalid),
];

fn closed(answer: &Answer<'_>) -> Option<Closed> {
    let found = CLOSED.iter().find(|(code, routine, words, _)| {
        *code == answer.code && (answer.routine == Some(routine) || answer.message.contains(words))
    });
    found.map(|(_, _, _, closed)| *closed)
}

/// What the operator does about an answer, where its class does not say it.
pub(crate) fn remedy(answer: &Answer<'_>) -> Option<&'static str> {
    match closed(answer) {
        Some(Closed::LimitOfRole) => {
            Some("close a connection of the role, or raise its limit: `ALTER ROLE ... CONNECTION LIMIT ...`")
        }
        Some(Closed::LimitOfDatabase) => {
            Some("close a connection to the database, or raise its limit: `ALTER DATABASE ... CONNECTION LIMIT ...`")
        }
        Some(Closed::Disabled) => {
            Some("let the owner of the database run `ALTER DATABASE ... ALLOW_CONNECTIONS true`")
        }
        Some(Closed::Invalid) => Some(
            "drop that database, because a DROP DATABASE that was interrupted left only part of it, or name another one \
             in the URL",
        ),
        None => remedy_of_limit(answer.code).or_else(|| (answer.routine == Some(WITHOUT_REPLICA_IDENTITY)).then_some(
            "let the owner of the table run `ALTER TABLE ... REPLICA IDENTITY DEFAULT`, or the owner of the publication \
             take its deletes and updates out: `ALTER PUBLICATION ... SET (publish = 'insert')`",
        )),
    }
}

/// What the operator does about a time limit with which the server ends sessions.
fn remedy_of_limit(code: &str) -> Option<&'static str> {
    match code {
        "25P03" => Some(
            "raise or reset the `idle_in_transaction_session_timeout` of the role or of the database: `ALTER ROLE ... RESET \
             idle_in_transaction_session_timeout`, `ALTER DATABASE ... RESET idle_in_transaction_session_timeout`",
        ),
        "25P04" => Some(
            "raise or reset the `transaction_timeout` of the role or of the database: `ALTER ROLE ... RESET \
             transaction_timeout`, `ALTER DATABASE ... RESET transaction_timeout`",
        ),
        "57P05" => Some(
            "raise or reset the `idle_session_timeout` of the role or of the database: `ALTER ROLE ... RESET \
             idle_session_timeout`, `ALTER DATABASE ... RESET idle_session_timeout`",
        ),
        _ => None,
    }
}

/// The parts of the server that read and write its files, temporary ones included. What the operating system answers them
/// has the SQLSTATE of a missing privilege, of a missing file, or none of its own.
const OF_FILES: [&str; 13] = [
    "md.c",
    "fd.c",
    "slru.c",
    "relmapper.c",
    "copydir.c",
    "dbsize.c",
    "storage.c",
    "buffile.c",
    "fileset.c",
    "sharedfileset.c",
    "logtape.c",
    "tuplestore.c",
    "sharedtuplestore.c",
];

/// Whether the server reports that it cannot use a file of its own.
fn is_of_files(answer: &Answer<'_>) -> bool {
    answer.file.is_some_and(|file| OF_FILES.contains(&file))
}

/// Classifies an answer by its SQLSTATE: <https://www.postgresql.org/docs/current/errcodes-appendix.html>.
pub(crate) fn class(answer: &Answer<'_>) -> ErrorClass {
    match answer.code {
        // One code for three states, which only the text distinguishes. Another language has the same exit code.
        "57P03" if answer.message.contains("shutting down") => ErrorClass::ShuttingDown,
        "57P03" if answer.message.contains("recovery") => ErrorClass::InRecovery,
        "57P03" => ErrorClass::StartingUp,
        "57P01" | "57P02" => ErrorClass::ShuttingDown,
        "53300" => ErrorClass::TooManyConnections,
        "53000" | "53200" | "53400" => ErrorClass::OutOfResources,
        "55P03" => ErrorClass::Busy,
        "40001" | "40P01" => ErrorClass::Conflict,
        // Two sessions grant on the same object. The server does not translate this message.
        "XX000" if answer.message.starts_with("tuple concurrently ") => ErrorClass::Conflict,
        // A value of which one part takes more than 1 GB while it is read. The server does not translate this message.
        "XX000" if allocation(answer.message).is_some_and(|bytes| bytes <= LARGEST_ALLOCATION) => ErrorClass::Data,
        // A length that no value can have was read from a damaged page.
        "XX000" if answer.message.starts_with(ALLOCATION) => ErrorClass::Corrupt,
        "57014" => ErrorClass::TimedOut,
        "25006" => ErrorClass::ReadOnly,
        // Its user may not open the file, or the file system is read-only.
        "42501" | "58P02" | "XX000" if is_of_files(answer) => ErrorClass::InputOutput,
        // One code for both.
        "42501" if answer.routine.is_some_and(|routine| ROW_POLICY.contains(&routine)) => ErrorClass::RowPolicy,
        "42501" if answer.message.contains("row-level security") => ErrorClass::RowPolicy,
        // Without USAGE on its schema a role has no schema to create in.
        "42501" | "3F000" => ErrorClass::Privilege,
        "3D000" | "57P04" => ErrorClass::NoSuchDatabase,
        "53100" => ErrorClass::DiskFull,
        "58030" => ErrorClass::InputOutput,
        // It has used up the numbers of its transactions.
        "54000" if answer.routine.is_some_and(|routine| OUT_OF_NUMBERS.contains(&routine)) => {
            ErrorClass::OutOfResources
        }
        "54000" | "54001" => ErrorClass::Data,
        // Where transactions are serializable by default, a standby refuses every query with this.
        "0A000" if answer.routine == Some("GetSerializableTransactionSnapshot") => ErrorClass::Standby,
        "2BP01" | "0A000" => ErrorClass::Needed,
        // A publication with deletes or updates needs a table's replica identity.
        "55000" if answer.routine == Some(WITHOUT_REPLICA_IDENTITY) => ErrorClass::Needed,
        "42P07" | "42710" | "42809" => ErrorClass::AlreadyExists,
        // RAISE in a trigger of the operator's.
        "P0001" => ErrorClass::Constraint,
        "42P05" | "26000" => ErrorClass::Pooler,
        "XX001" | "XX002" => ErrorClass::Corrupt,
        // The file of a table is missing. That of a library has a path of its own.
        "58P01" if is_of_files(answer) => ErrorClass::Corrupt,
        "58P01" if ["\"base/", "\"global/", "\"pg_tblspc/"].iter().any(|place| answer.message.contains(place)) => {
            ErrorClass::Corrupt
        }
        // A column or a table that the revision has and the database lacks, or a column of another type.
        "42703" | "42P01" | "42804" => ErrorClass::Schema,
        "42883" if answer.routine == Some(NO_OPERATOR) => ErrorClass::Schema,
        "55000" if closed(answer) == Some(Closed::Disabled) => ErrorClass::Disabled,
        "55000" if closed(answer) == Some(Closed::Invalid) => ErrorClass::Configuration,
        "08P01" => class_of_pgbouncer(answer.message),
        "57P05" | "25P03" | "25P04" => ErrorClass::ConnectionLost,
        // Some servers send codes of fewer than five characters.
        code => match code.get(..2) {
            Some("08") => ErrorClass::ConnectionLost,
            Some("28") => ErrorClass::Authentication,
            Some("22") => ErrorClass::Data,
            Some("23") => ErrorClass::Constraint,
            _ => ErrorClass::Other,
        },
    }
}

/// Classifies an answer to a login. Nothing of the database was read or changed, so that what is elsewhere a fault of its
/// tables, its files or this program is one of the settings, or of the server.
pub(crate) fn class_of_login(answer: &Answer<'_>) -> ErrorClass {
    match class(answer) {
        _ if refuses_options(answer.message) || WRONG_SETTINGS.contains(&answer.code) => ErrorClass::Configuration,
        // The server lacks memory, or room on its disk, or cannot read its catalogs.
        _ if matches!(answer.code, "53000" | "53100" | "53200" | "53400" | "58030" | "XX001" | "XX002") => {
            ErrorClass::ConnectionLost
        }
        // It fails itself, as where it has no room for a file that each login needs. A pooler, which refuses names and
        // settings with the same SQLSTATE, has no source file of the server.
        _ if answer.code == "XX000" && answer.file.is_some() || is_of_files(answer) => ErrorClass::ConnectionLost,
        class => match class.exit_code() {
            ExitCode::Internal | ExitCode::Drift | ExitCode::Data | ExitCode::InputOutput => ErrorClass::Configuration,
            _ => class,
        },
    }
}

/// The answers to `options` that the server does not understand or does not accept: a syntax error, a name that is not
/// one, a wrong value, an unknown setting, and one that needs a restart.
const WRONG_SETTINGS: [&str; 5] = ["42601", "42602", "22023", "42704", "55P02"];

/// Whether a pooler refuses settings in the login, as PgBouncer does ("unsupported startup parameter"), and Amazon's
/// ("doesn't support command-line options").
#[must_use]
pub(crate) fn refuses_options(message: &str) -> bool {
    ["startup parameter", "command-line options"].iter().any(|refused| message.contains(refused))
}

const ALLOCATION: &str = "invalid memory alloc request size ";
/// What the parts of a value of at most 1 GB may take. The server counts them in 32 bits.
const LARGEST_ALLOCATION: u64 = u32::MAX as u64;

/// The bytes that the server could not allocate.
fn allocation(message: &str) -> Option<u64> {
    message.strip_prefix(ALLOCATION)?.parse().ok()
}

/// PgBouncer has one code for almost everything that it reports itself. The first words that a message has decide.
const PGBOUNCER: [(&str, ErrorClass); 9] = [
    ("startup parameter", ErrorClass::Configuration),
    ("statement pooling mode", ErrorClass::Pooler),
    ("no more connections", ErrorClass::TooManyConnections),
    ("connections exceeded", ErrorClass::TooManyConnections),
    ("is disabled", ErrorClass::Disabled),
    ("not allow connections", ErrorClass::Disabled),
    ("database", ErrorClass::NoSuchDatabase),
    ("auth", ErrorClass::Authentication),
    ("user", ErrorClass::Authentication),
];

fn class_of_pgbouncer(message: &str) -> ErrorClass {
    let known = PGBOUNCER.iter().find(|(words, _)| message.contains(words));
    known.map_or(ErrorClass::ConnectionLost, |(_, class)| *class)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In the words of PgBouncer 1.18, where nothing else is said.
    #[test]
    fn what_pgbouncer_reports_has_the_class_of_its_cause() {
        let cases = [
            ("unsupported startup parameter: options", ErrorClass::Configuration),
            // A newer version.
            ("unsupported startup parameter in options: lock_timeout", ErrorClass::Configuration),
            ("transaction blocks not allowed in statement pooling mode", ErrorClass::Pooler),
            ("no more connections allowed (max_client_conn)", ErrorClass::TooManyConnections),
            // Newer versions.
            ("client connections exceeded (max_db_client_connections)", ErrorClass::TooManyConnections),
            ("client connections exceeded (max_user_client_connections)", ErrorClass::TooManyConnections),
            ("database \"tarsy\" is disabled", ErrorClass::Disabled),
            // An older version.
            ("database does not allow connections: tarsy", ErrorClass::Disabled),
            ("no such database: tarsy", ErrorClass::NoSuchDatabase),
            ("SASL authentication failed", ErrorClass::Authentication),
            ("no such user: tarsy", ErrorClass::Authentication),
            ("query_wait_timeout", ErrorClass::ConnectionLost),
            ("server login has been failing, try again later (server_login_retry)", ErrorClass::ConnectionLost),
            ("client_login_timeout (server down)", ErrorClass::ConnectionLost),
            ("server conn crashed?", ErrorClass::ConnectionLost),
            ("query timeout", ErrorClass::ConnectionLost),
            ("idle transaction timeout", ErrorClass::ConnectionLost),
        ];
        for (message, expected) in cases {
            assert_eq!(class(&Answer { code: "08P01", message, ..Answer::default() }), expected, "{message}");
        }
    }

    #[test]
    fn a_login_ends_as_a_fault_of_the_settings_or_of_the_server() {
        let of = |code, message| class_of_login(&Answer { code, message, ..Answer::default() });
        for code in ["0A000", "2BP01", "42P01", "42704", "58000", "58P01", "22P02", "P0001", "XX000", ""] {
            assert_eq!(of(code, "any"), ErrorClass::Configuration, "{code}");
        }
        for code in ["53100", "53200", "53400", "58030", "XX001"] {
            assert_eq!(of(code, "any"), ErrorClass::ConnectionLost, "{code}");
        }
        let in_file = |code, file| class_of_login(&Answer { code, file: Some(file), ..Answer::default() });
        for (code, file) in [("XX000", "relcache.c"), ("42501", "fd.c"), ("58P01", "md.c")] {
            assert_eq!(in_file(code, file), ErrorClass::ConnectionLost, "{code} {file}");
        }
        assert_eq!(in_file("58P01", "dfmgr.c"), ErrorClass::Configuration);
        assert_eq!(of("53300", "any"), ErrorClass::TooManyConnections);
        assert_eq!(of("28P01", "any"), ErrorClass::Authentication);
        assert_eq!(of("0A000", "doesn't support command-line options"), ErrorClass::Configuration);
    }

    #[test]
    fn a_server_without_memory_is_busy() {
        for code in ["53000", "53200", "53400"] {
            let class = class(&Answer { code, ..Answer::default() });
            assert_eq!((class.exit_code(), class.is_transient()), (ExitCode::Busy, true), "{code}");
        }
    }

    #[test]
    fn a_value_that_takes_too_much_memory_is_rejected_and_other_internal_errors_are_not() {
        let of = |message| class(&Answer { code: "XX000", message, ..Answer::default() });
        assert_eq!(of("invalid memory alloc request size 1073741824"), ErrorClass::Data);
        assert_eq!(of("invalid memory alloc request size 18446744073709551613"), ErrorClass::Corrupt);
        assert_eq!(of("cache lookup failed for relation 1"), ErrorClass::Other);
    }

    #[test]
    fn the_missing_file_of_a_table_is_damage() {
        let message = "could not open file \"base/5/16390\": No such file or directory";
        assert_eq!(class(&Answer { code: "58P01", message, ..Answer::default() }), ErrorClass::Corrupt);
        let message = "could not access file \"$libdir/postgis-3\": No such file or directory";
        assert_eq!(class(&Answer { code: "58P01", message, ..Answer::default() }), ErrorClass::Other);
        let of = |code, file| class(&Answer { code, message: "auf Deutsch", file: Some(file), ..Answer::default() });
        assert_eq!((of("58P01", "md.c"), of("58P01", "dfmgr.c")), (ErrorClass::Corrupt, ErrorClass::Other));
    }

    #[test]
    fn a_file_that_the_server_may_not_use_is_no_missing_privilege() {
        let of = |code, file| class(&Answer { code, message: "any", file: Some(file), ..Answer::default() });
        for (code, file) in [("42501", "md.c"), ("42501", "fd.c"), ("XX000", "slru.c"), ("58P02", "fd.c")] {
            assert_eq!(of(code, file), ErrorClass::InputOutput, "{code} {file}");
        }
        assert_eq!((of("42501", "aclchk.c"), of("XX000", "heapam.c")), (ErrorClass::Privilege, ErrorClass::Other));
    }

    #[test]
    fn a_database_that_accepts_no_connections_for_now_is_disabled() {
        let message = "database \"tarsy\" is not currently accepting connections";
        assert_eq!(class(&Answer { code: "55000", message, ..Answer::default() }), ErrorClass::Disabled);
        assert_eq!(class(&Answer { code: "55000", message: "any", ..Answer::default() }), ErrorClass::Other);
    }

    #[test]
    fn the_language_of_the_server_does_not_matter() {
        let answer =
            |code, routine| Answer { code, message: "auf Deutsch", routine: Some(routine), ..Answer::default() };
        let cases = [
            ("55000", "CheckMyDatabase", ErrorClass::Disabled, "ALLOW_CONNECTIONS true"),
            ("55000", "InitPostgres", ErrorClass::Configuration, "drop that database"),
            ("53300", "InitializeSessionUserId", ErrorClass::TooManyConnections, "ALTER ROLE"),
            ("53300", "CheckMyDatabase", ErrorClass::TooManyConnections, "ALTER DATABASE"),
        ];
        for (code, routine, expected, hint) in cases {
            let answer = answer(code, routine);
            assert_eq!(class(&answer), expected, "{routine}");
            assert!(remedy(&answer).is_some_and(|remedy| remedy.contains(hint)), "{routine}");
        }
        assert_eq!(remedy(&answer("53300", "InitProcess")), None);
        assert_eq!(class(&answer("42501", "check_enable_rls")), ErrorClass::RowPolicy);
        assert_eq!(class(&answer("42501", "aclcheck_error")), ErrorClass::Privilege);
    }
}
