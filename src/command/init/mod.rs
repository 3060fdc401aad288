//! `init`: creates or upgrades the schema.
//!
//! | module | what it is for |
//! |---|---|
//! | [`report`] | what was done, or would be done |
//! | [`create_database`] | `--create-database` |

mod create_database;
mod report;

use migration::Revision;
use sea_orm::DbErr;

use self::report::{AppRole, Effect, Upgrade, disabled};
use super::wait::{self, MissingDatabase};
use crate::cli::init::Init;
use crate::cli::wait::Wait;
use crate::database::connection::Connection;
use crate::database::connection::{self, Access, PoolLimits};
use crate::database::failure::{ErrorClass, ResultExt, Verb};
use crate::database::quote::quoted;
use crate::database::sqlite_file::is_missing;
use crate::database::url::{DatabaseUrl, SqliteLocation};
use crate::database::watchdog::Watch;
use crate::error::Error;
use crate::output::Report;
use crate::schema::error::SchemaError;
use crate::schema::lock::Locked;
use crate::schema::state_error::StateError;
use crate::schema::upgrade::assess::{Start, UpgradePlan, assess};
use crate::schema::upgrade::filling::Filling;
use crate::schema::upgrade::{self, script};
use crate::schema::{app_role, encoding, expected};
use crate::settings::Settings;

/// What a run did, or would do.
struct Work {
    plan: UpgradePlan,
    created_database: bool,
    /// The statements for the backend's role.
    grants: Vec<String>,
    /// With [`Effect::DryRun`].
    filling: Option<Filling>,
    sql: Option<Vec<String>>,
}

pub(crate) async fn run(arguments: &Init, settings: &Settings, watch: &Watch<'_>) -> Result<Report, Error> {
    let url = &settings.database.value;
    if !settings.history_enabled.value {
        return Ok(disabled(url, &settings.history_enabled.source));
    }
    if let (DatabaseUrl::Sqlite(_), Some(_)) = (url, &arguments.app_role) {
        return Err(Error::NoRoles { flag: "--app-role", target: url.to_string() });
    }
    if let Some(timeout) = arguments.wait {
        let is_created = arguments.create_database || matches!(url, DatabaseUrl::Sqlite(_));
        let missing = if is_created { MissingDatabase::IsCreated } else { MissingDatabase::Fails };
        wait::until_usable(&Wait::at_most(timeout), settings, missing).await?;
    }
    let target = arguments.to.unwrap_or(settings.schema_target.value);
    let effect = if arguments.dry_run || arguments.sql { Effect::DryRun } else { Effect::Done };
    let work = async {
        match effect {
            Effect::Done => reach(arguments, settings, target, watch).await,
            Effect::DryRun => look(arguments, settings, target, watch).await,
        }
    };
    let Work { plan, created_database, grants, filling, sql } = watch.over(work).await?;
    if let (Start::Ledger(revision), true) = (&plan.start, arguments.strict)
        && Revision::from_id(revision).is_none()
    {
        return Err(StateError::Unknown(revision.clone()).into());
    }
    if plan.start == Start::Empty && !plan.state.elsewhere.is_empty() {
        tracing::warn!("{}", second_history(url, &plan.state.elsewhere, effect));
    }
    let (start, pending, revision, filling) = (&plan.start, &plan.pending, plan.revision(), filling.as_ref());
    let app_role = arguments.app_role.clone().map(|name| AppRole { name, grants });
    let created_database = arguments.create_database.then_some(created_database);
    let upgrade =
        Upgrade { url, start, pending, revision, effect, filling, created_database, app_role: app_role.as_ref() };
    Ok(upgrade.report(sql))
}

/// The warning that TARSy's tables exist in a schema that the role's search path lacks.
fn second_history(url: &DatabaseUrl, elsewhere: &[String], effect: Effect) -> String {
    let verb = match effect {
        Effect::Done => "was",
        Effect::DryRun => "would be",
    };
    let role = match url {
        DatabaseUrl::Postgresql(address) => address.user.as_deref().map(quoted),
        DatabaseUrl::Sqlite(_) => None,
    };
    format!(
        "{}: a second, empty history {verb} created; to use the first one, set `search_path`: `ALTER ROLE {} SET search_path = \
         {}, public`",
        StateError::Elsewhere(elsewhere.to_vec()),
        role.as_deref().unwrap_or("..."),
        quoted(&elsewhere[0])
    )
}

async fn open(arguments: &Init, url: &DatabaseUrl, access: Access, pool: PoolLimits) -> Result<Connection, Error> {
    match connection::open(url, access, pool, arguments.lock_timeout).await {
        Err(error) if error.cause.class == ErrorClass::Busy => {
            Err(SchemaError::from(Locked::on_file(url, arguments.lock_timeout)).into())
        }
        connection => Ok(connection?),
    }
}

/// Opens a database to read it; a missing file is treated as an empty database.
async fn open_to_look(arguments: &Init, url: &DatabaseUrl, pool: PoolLimits) -> Result<Connection, Error> {
    match url {
        DatabaseUrl::Sqlite(SqliteLocation { path: Some(path), .. }) if is_missing(path) => {
            let memory = DatabaseUrl::Sqlite(SqliteLocation::memory());
            open(arguments, &memory, Access::Read, pool).await
        }
        _ => open(arguments, url, Access::Read, pool).await,
    }
}

/// Whether the database of the URL does not exist, and is to be created.
fn is_to_be_created(arguments: &Init, error: &Error) -> bool {
    let is_missing = matches!(error, Error::Connect(error) if error.cause.class == ErrorClass::NoSuchDatabase);
    arguments.create_database && is_missing
}

/// Finds out what would be done.
async fn look(arguments: &Init, settings: &Settings, target: Revision, watch: &Watch<'_>) -> Result<Work, Error> {
    let (url, pool) = (&settings.database.value, settings.pool.limits().for_up_to(1));
    let mut connection = match open_to_look(arguments, url, pool).await {
        Err(error) if is_to_be_created(arguments, &error) => {
            // What the role lacks is known only in the database itself.
            let plan = UpgradePlan::of_new_database(target);
            return Ok(Work { plan, created_database: true, grants: Vec::new(), filling: None, sql: None });
        }
        connection => connection?,
    };
    watch.attach(&mut connection);
    let plan = assess(&connection, target).await?;
    let app_role = arguments.app_role.as_deref();
    let grants = upgrade::grants_for(&connection, app_role, &plan).await?;
    warn(&connection, url, app_role).await?;
    let filling = Filling::of(&connection, &plan).await.context((Verb::Plan, "the upgrade"))?;
    let sql = match arguments.sql {
        true => {
            let printed = expected::unlogged(script::of(&connection, &plan, grants.clone())).await;
            Some(printed.context((Verb::Print, "the upgrade as SQL"))?)
        }
        false => None,
    };
    connection.close().await.ok();
    Ok(Work { plan, created_database: false, grants, filling: Some(filling), sql })
}

/// The plan for an existing SQLite file that is already at the target. To open it for writing would leave files beside
/// it that the backend's user cannot write, and fail if this user may only read.
async fn plan_of_file_at_target(
    arguments: &Init,
    url: &DatabaseUrl,
    target: Revision,
    pool: PoolLimits,
) -> Result<Option<UpgradePlan>, Error> {
    if url.sqlite_path().is_none_or(|path| !path.exists()) {
        return Ok(None);
    }
    let connection = match open_to_look(arguments, url, pool).await {
        Err(Error::Schema(error)) if error.is_busy() => return Err(error.into()),
        // To open it for writing shows what is wrong, or succeeds: only a writer can roll back a `-journal`.
        Err(_) => return Ok(None),
        Ok(connection) => connection,
    };
    let plan = assess(&connection, target).await.ok().filter(UpgradePlan::is_done);
    if plan.is_some() {
        warn(&connection, url, None).await?;
    }
    connection.close().await.ok();
    Ok(plan)
}

/// Upgrades the database to the target.
async fn reach(arguments: &Init, settings: &Settings, target: Revision, watch: &Watch<'_>) -> Result<Work, Error> {
    let (url, pool) = (&settings.database.value, settings.pool.limits().for_up_to(1));
    if let Some(plan) = plan_of_file_at_target(arguments, url, target, pool).await? {
        return Ok(Work { plan, created_database: false, grants: Vec::new(), filling: None, sql: None });
    }
    let mut created_database = false;
    let mut opened = open(arguments, url, Access::Create, pool).await;
    if let (Err(error), DatabaseUrl::Postgresql(address)) = (&opened, url)
        && is_to_be_created(arguments, error)
    {
        created_database = create_database::create(arguments, address, pool, watch).await?;
        opened = open(arguments, url, Access::Create, pool).await;
    }
    let mut connection = opened?;
    watch.attach(&mut connection);
    let on_commit = || watch.commit_begins();
    let app_role = arguments.app_role.as_deref();
    let work = async {
        let done = upgrade::upgrade_for(&connection, target, app_role, arguments.lock_timeout, &on_commit).await?;
        warn(&connection, url, app_role).await?;
        Ok::<_, Error>(done)
    };
    let done = work.await;
    connection.close().await.ok();
    let done = done?;
    Ok(Work { plan: done.plan, created_database, grants: done.granted, filling: None, sql: None })
}

/// Warns of what `init` leaves as it is.
async fn warn(connection: &Connection, url: &DatabaseUrl, app_role: Option<&str>) -> Result<(), Error> {
    // Of a history in another encoding: an earlier version or the backend created it.
    let encoding = connection.reading(async |reading| encoding::other_than_utf8(reading).await).await;
    if let Some(encoding) = encoding.context((Verb::Read, "the encoding"))? {
        tracing::warn!("{url}: {}", encoding::shortcoming(&encoding));
    }
    if let Some(role) = app_role {
        let found = connection.reading(async |reading| {
            Ok::<_, DbErr>((app_role::facts(reading, role).await?, app_role::changes(reading, role, &[]).await?))
        });
        let (facts, changes) = found.await.context((Verb::Read, "the privileges"))?;
        let texts = facts
            .iter()
            .flat_map(|facts| [facts.ownership(role), facts.wrong_path(role), facts.hidden_rows(role)])
            .flatten();
        texts.for_each(|text| tracing::warn!("{text}"));
        let shared = app_role::shared(role, &changes);
        if !shared.is_empty() {
            tracing::warn!("{}", shared.join(" "));
        }
    }
    Ok(())
}
