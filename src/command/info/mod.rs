//! `info`: shows the contents of the database and the settings in force. Changes nothing.
//!
//! | module | what it is for |
//! |---|---|
//! | [`sections`] | reads the parts, each in its own transaction |
//! | [`queries`] | the queries |
//! | [`blocks`] | the report as tables |
//! | [`summary`] | the report as data |

mod blocks;
mod queries;
mod sections;
mod summary;

use chrono::{DateTime, Utc};
use serde_json::Value;

use self::queries::ServerInfo;
use self::sections::Sections;
use self::summary::{InfoSummary, SettingSummary, SpaceSummary};
use super::retention::Retention;
use crate::cli::info::Info;
use crate::database::connection::{self, Access, LOCK_TIMEOUT};
use crate::database::failure::{ResultExt, Verb};
use crate::database::namespace::tables_of_tarsy;
use crate::database::read_transaction::{BoundedReader, QUERY_LIMIT, Rows};
use crate::database::sqlite_file::larger_wal;
use crate::database::transaction::Transaction;
use crate::database::url::DatabaseUrl;
use crate::database::watchdog::Watch;
use crate::diagnostic::Diagnostic;
use crate::error::Error;
use crate::exit_code::ExitCode;
use crate::history::retention::policy::ActiveSessions;
use crate::history::retention::selection::Precision;
use crate::history::space::{self, Space};
use crate::history::tables::SESSIONS;
use crate::output::Report;
use crate::schema::model::Schema;
use crate::schema::read::schema;
use crate::schema::row_policy;
use crate::schema::state::SchemaState;
use crate::schema::state_error::StateError;
use crate::settings::{RETENTION_DAYS, Settings, ShownSetting};

const LEDGER: &str = "the ledger";

pub(crate) async fn run(
    arguments: &Info,
    settings: &Settings,
    now: DateTime<Utc>,
    watch: &Watch<'_>,
) -> Result<Report, Error> {
    let url = &settings.database.value;
    let mut connection = connection::open(url, Access::Read, settings.pool.limits().for_up_to(1), LOCK_TIMEOUT).await?;
    watch.attach(&mut connection);
    let precision = Precision::of(arguments);
    let limit = (precision == Precision::Estimated).then_some(QUERY_LIMIT);
    let reader =
        BoundedReader::new(&connection, limit).await.context((Verb::Set, "the parameters of the connection"))?;
    let (skipped, unreadable) = (Vec::new(), Vec::new());
    let mut parts = Sections { reader, skipped, unreadable, failure: None, is_locked: false };
    let begin = (Verb::Begin, "the read transaction");
    let ledger = async |reading: &Transaction| Ok(SchemaState::read(reading).await.context((Verb::Read, LEDGER))?);
    let recorded = parts.read(LEDGER, ledger).await?;
    let is_recorded = recorded.is_some();
    let rest = async |reading: &Transaction| look_first(reading, recorded).await;
    let (state, found, server) = parts.reader.read(Rows::Visible, rest).await.context(begin)??;
    let size =
        async |reading: &Transaction| Ok(queries::bytes(reading).await.context((Verb::Measure, "the database"))?);
    let bytes = parts.read("the size of the database", size).await?;
    let tables = match url {
        DatabaseUrl::Postgresql(_) => parts.postgresql_tables(precision).await?,
        DatabaseUrl::Sqlite(_) => parts.sqlite_tables(&found, precision, bytes.unwrap_or_default()).await?,
    };
    let retention = Retention::of(settings, &state);
    let space = parts.read("free space", async |reading| Ok(space::reclaimable(reading, &found).await?)).await?;
    let sessions = match found.tables.contains_key(SESSIONS) {
        true => Some(parts.sessions(&retention, &found, now, precision).await?),
        false => None,
    };
    let tables_of_tarsy: Vec<_> = tables_of_tarsy().collect();
    let policies = async |reading: &Transaction| {
        Ok(row_policy::active(reading, &tables_of_tarsy).await.context((Verb::Read, "the row policies"))?)
    };
    let row_policies = parts.read("the row policies", policies).await?.unwrap_or_default();
    let retention_error = retention.policy(ActiveSessions::Keep, now).err();
    let retention_error = retention_error.map(|error| format!("{error}: {}", error.hint().unwrap_or_default()));
    let settings = shown(settings, &retention);
    let as_data =
        |(name, value, source): &ShownSetting| (*name, SettingSummary { value: value.clone(), source: source.clone() });
    let summary = InfoSummary {
        database: url.to_string(),
        backend: url.backend(),
        server_version: server.version,
        role: server.role,
        protection: url.protection(),
        revision: state.revision().map(str::to_owned),
        unrecorded: match is_recorded {
            true => format!("not recorded ({})", state.unrecorded()),
            false => "unknown (`alembic_version` cannot be read)".to_owned(),
        },
        schema_error: schema_error(&state).filter(|_| is_recorded),
        bytes,
        wal_bytes: url.sqlite_path().and_then(larger_wal).map(|[wal, _]| wal),
        tables,
        space: space.map(space_summary),
        sessions,
        retention_error,
        row_policies,
        skipped: parts.skipped,
        unreadable: parts.unreadable,
        settings: settings.iter().map(as_data).collect(),
    };
    let blocks = blocks::blocks(&summary, settings);
    let error = parts.failure.map(Error::Read);
    let exit_code = error.as_ref().map_or(ExitCode::Done, Diagnostic::exit_code);
    Ok(Report { exit_code, error, ..Report::new(&summary, blocks) })
}

/// What the other parts depend on. The tables are looked for if the ledger could not be read.
async fn look_first(
    reading: &Transaction,
    recorded: Option<SchemaState>,
) -> Result<(SchemaState, Schema, ServerInfo), Error> {
    let state = match recorded {
        Some(state) => state,
        None => SchemaState::read_without_ledger(reading).await.context((Verb::Read, "the tables"))?,
    };
    state.require_tarsys()?;
    let found = schema(reading).await.context((Verb::Read, "the schema"))?;
    let server = queries::server(reading).await.context((Verb::Read, "the server's settings"))?;
    Ok((state, found, server))
}

fn space_summary(parts: Space) -> SpaceSummary {
    SpaceSummary { reclaimable_bytes: parts.reclaimable_bytes(), next_command: parts.next_command(), parts }
}

/// Why other commands refuse the database. A missing schema and an unknown revision are shown as such.
fn schema_error(state: &SchemaState) -> Option<String> {
    let error = state.require_history().err()?;
    (!matches!(error, StateError::Pending | StateError::Unknown(_))).then(|| error.to_string())
}

/// The settings; a retention that is not set is null, and not its default.
fn shown(settings: &Settings, retention: &Retention) -> Vec<ShownSetting> {
    let mut shown = settings.shown();
    let is_retention = |(name, ..): &&mut ShownSetting| *name == RETENTION_DAYS.path;
    if let Some((_, value, _)) = shown.iter_mut().find(is_retention).filter(|_| !retention.is_chosen()) {
        *value = Value::Null;
    }
    shown
}
