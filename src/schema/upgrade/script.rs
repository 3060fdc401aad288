//! The SQL script of an upgrade: the upgrade is applied to a private copy of the schema, and its statements are
//! recorded.

use migration::ledger::{self, Ledger};
use sea_orm::{ConnectionTrait, DbBackend, DbErr};

use super::assess::UpgradePlan;
use super::{grants, table_locks};
use crate::database::connection::Connection;
use crate::database::connection::{row, rows};
use crate::database::failure::DatabaseCause;
use crate::database::namespace::Namespace;
use crate::database::quote::{literal, quoted};
use crate::database::read_transaction::EVERY_ROW;
use crate::database::time_limits;
use crate::database::transaction::{SearchPath, Transaction};
use crate::database::writable::require_primary;
use crate::schema::model::Schema;
use crate::schema::read::postgresql;
use crate::schema::{expected, lock};

/// The statements of an upgrade, without those that only read, in the transaction that they need. They fail on a
/// database that has changed since the plan. `grants` come at the end.
///
/// On SQLite they are applied to a copy of TARSy's table definitions in memory; on PostgreSQL to temporary tables in a
/// transaction that is rolled back.
pub(crate) async fn of(
    connection: &Connection,
    plan: &UpgradePlan,
    grants: Vec<String>,
) -> Result<Vec<String>, DatabaseCause> {
    if plan.is_done() && grants.is_empty() {
        return Ok(grants);
    }
    let mut script = match connection.backend() {
        DbBackend::Postgres if plan.is_done() => begin_on_postgresql(&*connection.namespace().await?),
        DbBackend::Postgres => on_postgresql(connection, plan).await?,
        _ => on_sqlite(connection, plan).await?,
    };
    script.extend(grants);
    script.push("COMMIT".to_owned());
    Ok(script)
}

/// Begins the transaction and takes the lock for changes of the schema.
fn begin_on_postgresql(namespace: &Namespace) -> Vec<String> {
    let mut script = vec!["BEGIN".to_owned(), SearchPath::Empty.statements(namespace)];
    script.extend([time_limits::lift(), EVERY_ROW.to_owned(), lock::statement()]);
    script
}

async fn on_postgresql(connection: &Connection, plan: &UpgradePlan) -> Result<Vec<String>, DatabaseCause> {
    require_primary(connection).await?;
    let namespace = connection.namespace().await?;
    let mut script = begin_on_postgresql(&namespace);
    if plan.has_tables() {
        script.extend(table_locks::statements(plan, &namespace));
    }
    let expected = says_on_postgresql(plan.ledger(), &namespace.table(ledger::TABLE));
    let refuse_others = format!(
        "BEGIN IF ({expected}) IS NOT TRUE THEN RAISE 'the database has changed since this was printed'; END IF; END"
    );
    script.push(format!("DO {}", literal(&refuse_others)));
    // From here on names of tables are unqualified, and those of functions and operators are not.
    script.push(SearchPath::Tarsy.statements(&namespace));

    let live = connection.reading(async |reading| crate::schema::read::schema(reading).await).await?;
    let inherited = connection.reading(async |reading| grants::statements(reading, plan).await).await?;
    let transaction = expected::begin_temporary(connection).await?;
    if let Some(start) = plan.known_start() {
        for revision in start.since(None) {
            revision.apply(&transaction).await?;
        }
        take_over_keys(&transaction, &live).await?;
    }
    write_ledger(&transaction, plan).await?;
    script.extend(pending(&transaction, plan).await?);
    script.extend(inherited);
    transaction.rollback().await?;
    Ok(script)
}

/// The condition that the ledger is unchanged, on PostgreSQL with an empty search path.
fn says_on_postgresql(ledger: &Ledger, place: &str) -> String {
    match ledger {
        Ledger::Missing => format!("to_regclass({}) IS NULL", literal(place)),
        Ledger::At(revision) => {
            format!("(SELECT array_agg(version_num::text) FROM {place}) = ARRAY[{}]", literal(revision))
        }
        Ledger::Empty | Ledger::Several(_) => {
            format!("NOT EXISTS (SELECT FROM {place} WHERE version_num <> '')")
        }
    }
}

/// The condition that the ledger is unchanged, on SQLite. A ledger that is missing would change the schema's version.
fn says_on_sqlite(ledger: &Ledger) -> String {
    match ledger {
        Ledger::Missing => "1".to_owned(),
        Ledger::At(revision) => {
            format!("(SELECT group_concat(version_num) FROM alembic_version) = {}", literal(revision))
        }
        Ledger::Empty | Ledger::Several(_) => {
            "NOT EXISTS (SELECT 1 FROM alembic_version WHERE version_num <> '')".to_owned()
        }
    }
}

/// Gives the temporary tables the foreign keys between the live tables: an upgrade drops foreign keys by name.
async fn take_over_keys(transaction: &Transaction, live: &Schema) -> Result<(), DbErr> {
    let scratch = postgresql::read(transaction).await?;
    for (name, table) in &scratch.tables {
        let Some(found) = live.tables.get(name) else { continue };
        for key in table.foreign_keys.iter().filter_map(|key| key.name.as_deref()) {
            let drop = format!("ALTER TABLE {name} DROP CONSTRAINT {}", quoted(key));
            transaction.execute_unprepared(&drop).await?;
        }
        for key in found.foreign_keys.iter().filter(|key| scratch.tables.contains_key(&key.referenced_table)) {
            let list = |columns: &[String]| columns.iter().map(|column| quoted(column)).collect::<Vec<_>>().join(", ");
            let add = format!(
                "ALTER TABLE {name} ADD CONSTRAINT {} FOREIGN KEY ({}) REFERENCES {} ({}) ON DELETE {} ON UPDATE {}",
                quoted(key.name.as_deref().unwrap_or_default()),
                list(&key.columns),
                quoted(&key.referenced_table),
                list(&key.referenced_columns),
                key.on_delete,
                key.on_update
            );
            transaction.execute_unprepared(&add).await?;
        }
    }
    Ok(())
}

/// Creates a ledger with the content of the live one.
async fn write_ledger(connection: &Transaction, plan: &UpgradePlan) -> Result<(), DbErr> {
    match plan.ledger() {
        Ledger::Missing => Ok(()),
        Ledger::At(revision) => ledger::write(connection, &Ledger::Missing, revision).await.map(|_| ()),
        Ledger::Empty | Ledger::Several(_) => ledger::write(connection, &Ledger::Missing, "").await.map(|_| ()),
    }
}

async fn on_sqlite(connection: &Connection, plan: &UpgradePlan) -> Result<Vec<String>, DatabaseCause> {
    let scratch = expected::memory().await?.begin_reading(SearchPath::Empty, "").await?;
    let tables: Vec<_> = plan.state.tables.keys().map(|table| literal(table)).collect();
    let definitions = format!(
        "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL AND tbl_name IN ({}) AND type IN ('table', 'index')
         ORDER BY type = 'index', rowid",
        tables.join(", ")
    );
    for definition in connection.reading(async |reading| rows(reading, &definitions).await).await? {
        scratch.execute_unprepared(&definition.try_get::<String>("", "sql")?).await?;
    }
    write_ledger(&scratch, plan).await?;
    let version: i32 = connection
        .reading(async |reading| row(reading, "PRAGMA schema_version").await)
        .await?
        .try_get("", "schema_version")?;
    scratch.execute_unprepared(&format!("PRAGMA schema_version = {version}")).await?;
    let revision = says_on_sqlite(plan.ledger());
    let mut script = vec![
        "BEGIN IMMEDIATE".to_owned(),
        "CREATE TEMP TABLE surveyed (is_unchanged CHECK (is_unchanged))".to_owned(),
        format!("INSERT INTO surveyed SELECT schema_version = {version} AND {revision} FROM pragma_schema_version"),
        "DROP TABLE surveyed".to_owned(),
    ];
    script.extend(pending(&scratch, plan).await?);
    Ok(script)
}

/// Applies the pending revisions, and returns their statements.
async fn pending(connection: &Transaction, plan: &UpgradePlan) -> Result<Vec<String>, DbErr> {
    let mut statements = ledger::write(connection, plan.ledger(), plan.revision()).await?;
    for revision in &plan.pending {
        statements.extend(revision.apply(connection).await?);
    }
    Ok(statements)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_asks_for_the_ledger_that_was_read() {
        let at = Ledger::At("ae85467a75d2".to_owned());
        let place = r#""public"."alembic_version""#;
        let on_postgresql = says_on_postgresql(&at, place);
        let expected =
            r#"(SELECT array_agg(version_num::text) FROM "public"."alembic_version") = ARRAY['ae85467a75d2']"#;
        assert_eq!(on_postgresql, expected);
        assert_eq!(says_on_sqlite(&at), "(SELECT group_concat(version_num) FROM alembic_version) = 'ae85467a75d2'");
        assert_eq!(says_on_postgresql(&Ledger::Missing, place), r#"to_regclass('"public"."alembic_version"') IS NULL"#);
        assert!(says_on_sqlite(&Ledger::Empty).starts_with("NOT EXISTS"));
    }
}
