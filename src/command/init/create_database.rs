//! `--create-database`: creates the PostgreSQL database of the URL, as `createdb` does.

use crate::cli::init::Init;
use crate::database::connection::{self, Access, ConnectError, Connection, PoolLimits, row};
use crate::database::failure::{DatabaseCause, ErrorClass, ResultExt, Verb};
use crate::database::quote::{literal, quoted};
use crate::database::url::{DatabaseUrl, PostgresqlAddress};
use crate::database::watchdog::Watch;
use crate::error::Error;
use crate::schema::app_role::{self, AppRoleError};
use crate::schema::error::SchemaError;

/// Databases that a server usually has, in which a role can log in to create another one.
const MAINTENANCE: [&str; 2] = ["postgres", "template1"];

/// Creates the database. Returns false if another session was quicker.
pub(super) async fn create(
    arguments: &Init,
    address: &PostgresqlAddress,
    pool: PoolLimits,
    watch: &Watch<'_>,
) -> Result<bool, Error> {
    // The server has chosen the role's name where the address has no database.
    let name = address.database.as_deref().or(address.user.as_deref()).unwrap_or_default();
    let mut maintenance = open_maintenance(arguments, address, pool).await?;
    watch.attach(&mut maintenance);
    if let Some(role) = &arguments.app_role {
        // What is created now cannot be rolled back.
        let facts = maintenance.reading(async |reading| app_role::facts(reading, role).await).await;
        if facts.context((Verb::Find, "the role"))?.is_none() {
            return Err(SchemaError::from(AppRoleError::Missing(role.clone())).into());
        }
    }
    let created = run(arguments, &maintenance, name).await.context((Verb::Create, format!("the database `{name}`")));
    maintenance.close().await.ok();
    Ok(created?)
}

async fn open_maintenance(
    arguments: &Init,
    address: &PostgresqlAddress,
    pool: PoolLimits,
) -> Result<Connection, ConnectError> {
    let [first, second] = MAINTENANCE.map(|name| {
        let mut address = address.clone();
        address.database = Some(name.to_owned());
        DatabaseUrl::Postgresql(Box::new(address))
    });
    match connection::open(&first, Access::Read, pool, arguments.lock_timeout).await {
        Err(error) if matches!(error.cause.class, ErrorClass::NoSuchDatabase | ErrorClass::Privilege) => {
            connection::open(&second, Access::Read, pool, arguments.lock_timeout).await
        }
        connection => connection,
    }
}

async fn run(arguments: &Init, maintenance: &Connection, name: &str) -> Result<bool, DatabaseCause> {
    let role = "SELECT quote_ident(current_user) AS name";
    let role: String = maintenance.reading(async |reading| row(reading, role).await).await?.try_get("", "name")?;
    let database = quoted(name);
    // It cannot run in a transaction. The cluster's own encoding may be another one, which only template0 allows.
    let mut session = maintenance.open_own(Some(arguments.lock_timeout)).await?;
    let statement = format!("CREATE DATABASE {database} ENCODING 'UTF8' TEMPLATE template0");
    let created = session.execute(&statement).await.map_err(DatabaseCause::from);
    session.close().await;
    match created {
        Ok(()) => Ok(true),
        Err(_) if exists(maintenance, name).await? => Ok(false),
        Err(cause) if cause.class == ErrorClass::Privilege => Err(cause.with_remedy(format!(
            "let a superuser run `ALTER ROLE {role} CREATEDB`, or `CREATE DATABASE {database} OWNER {role} ENCODING \
             'UTF8' TEMPLATE template0`"
        ))),
        // The locale of the cluster is one of another encoding. It decides how texts are sorted, so it is not chosen here.
        Err(cause) if cause.class == ErrorClass::Data => Err(DatabaseCause::new(ErrorClass::Encoding, cause.message)
            .with_remedy(format!(
                "run `CREATE DATABASE {database} ENCODING 'UTF8' LOCALE 'C' TEMPLATE template0`, with this or another \
                 locale, then the same command again"
            ))),
        Err(cause) => Err(cause),
    }
}

/// Whether the database exists by now: the server has several errors for two sessions that create the same one.
async fn exists(maintenance: &Connection, name: &str) -> Result<bool, DatabaseCause> {
    let sql = format!("SELECT EXISTS (SELECT FROM pg_database WHERE datname = {}) AS is_there", literal(name));
    Ok(maintenance.reading(async |reading| row(reading, &sql).await).await?.try_get("", "is_there")?)
}
