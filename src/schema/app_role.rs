//! The role of TARSy's backend where another role owns the tables: what it lacks, and the statements that grant it.
//!
//! The backend uses the tables and reads the ledger. It needs no privilege to change the schema.

use sea_orm::{ConnectionTrait, DbErr, Statement, Value};

use super::time_zone::is_utc;
use super::visible::texts;
use crate::database::connection::row;
use crate::database::failure::{DatabaseCause, DatabaseError, ResultExt, Verb};
use crate::database::namespace::tables_of_tarsy;
use crate::database::quote::quoted;
use crate::database::transaction::{SearchPath, Transaction};
use crate::diagnostic::{Details, Diagnostic};
use crate::exit_code::ExitCode;
use crate::format::counted;

/// Why a role did not get what the backend needs. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum AppRoleError {
    #[error("there is no role `{0}`; nothing was changed")]
    Missing(String),
    /// The role that is logged in may not run these statements.
    #[error(
        "the role `{by}` may not grant `{role}` all that TARSy's backend needs: {}; nothing was changed",
        counted(.statements.len() as u64, "statement")
    )]
    NotAllowed { role: String, by: String, statements: Vec<String> },
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

impl Diagnostic for AppRoleError {
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::Missing(_) => ExitCode::Configuration,
            Self::NotAllowed { .. } => ExitCode::Privilege,
            Self::Database(error) => error.exit_code(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Missing(role) => Some(format!(
                "check the name, which is case-sensitive; `CREATE ROLE {} LOGIN` creates the role, and `\\password` of \
                 psql sets its password",
                quoted(role)
            )),
            Self::NotAllowed { .. } => Some(
                "let the owner of these objects, or a superuser, run the statements, then the same command again"
                    .into(),
            ),
            Self::Database(error) => error.hint(),
        }
    }

    fn details(&self) -> Details {
        match self {
            Self::NotAllowed { statements, .. } => Details {
                lines: statements.iter().map(|statement| format!("{statement};")).collect(),
                ..Details::of(statements)
            },
            Self::Missing(_) | Self::Database(_) => Details::default(),
        }
    }
}

/// What a statement is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// The backend does not work without it.
    Needed,
    /// It takes away what the backend should not have.
    Excess,
    /// As [`Purpose::Excess`], but others lose it as well: a group, everyone, or who granted it. Only the operator can
    /// decide that.
    Shared,
    /// It is about objects that will be created later.
    Later,
}

/// A statement that gives a role what it lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RoleChange {
    pub purpose: Purpose,
    pub statement: String,
    /// Whether the role that is logged in may run it.
    is_allowed: bool,
}

#[cfg(test)]
impl RoleChange {
    /// One that may be run.
    pub(crate) fn new(purpose: Purpose, statement: &str) -> Self {
        Self { purpose, statement: statement.to_owned(), is_allowed: true }
    }
}

/// What the catalog says of a role.
#[derive(Debug, Default)]
pub(crate) struct RoleFacts {
    /// TARSy's tables and their schemas that the role may change because it is their owner, a member of the owner, or a
    /// superuser.
    pub owned: Vec<String>,
    /// Why the role cannot log in.
    pub obstacles: Vec<String>,
    /// The statement that lets the role log in.
    pub open_login: String,
    /// The tables of which row policies may hide rows from the role.
    pub row_secured: Vec<String>,
    /// The search path with which the role logs in, as the server stores it.
    pub search_path: String,
    /// The schemas of TARSy's tables.
    pub schemas: Vec<String>,
    /// The search path that lets the role find them.
    pub path: String,
    /// The beginning of the statement that changes a setting of the role.
    pub set: String,
    /// The settings of the role or of the database that are in force for it, as `name=value`, of those that change what the
    /// backend can do.
    pub settings: Vec<String>,
}

/// The values that switch a setting on, as the server stores them.
const ON: [&str; 6] = ["on", "true", "t", "yes", "y", "1"];

impl RoleFacts {
    /// The sentence for the operator if the role can change the schema.
    #[must_use]
    pub(crate) fn ownership(&self, role: &str) -> Option<String> {
        let tables = (!self.owned.is_empty()).then(|| self.owned.join(", "))?;
        Some(format!("`{role}` can change the schema, because it is a superuser, or may act as the owner of {tables}"))
    }

    /// The sentence for the operator if the role cannot log in, which a group need not.
    #[must_use]
    pub(crate) fn no_login(&self, role: &str) -> Option<String> {
        let reasons = (!self.obstacles.is_empty()).then(|| self.obstacles.join(", "))?;
        Some(format!("`{role}` cannot log in, because {reasons}; run `{}`", self.open_login))
    }

    /// The sentence for the operator if the role may not see or write every row.
    #[must_use]
    pub(crate) fn hidden_rows(&self, role: &str) -> Option<String> {
        let tables = (!self.row_secured.is_empty()).then(|| self.row_secured.join(", "))?;
        Some(format!(
            "row-level security may hide rows of {tables} from `{role}`, or refuse to write them; create policies that allow \
             it every row, or let a superuser run `ALTER ROLE {} BYPASSRLS`",
            quoted(role)
        ))
    }

    /// The sentence for the operator if the role's unqualified names do not lead to the tables.
    #[must_use]
    pub(crate) fn wrong_path(&self, role: &str) -> Option<String> {
        let path = schemas_of(&self.search_path, role);
        let schema = self.schemas.iter().find(|schema| !path.contains(schema))?;
        let Self { search_path, set, path, .. } = self;
        Some(format!(
            "`{role}` does not find the tables in the schema `{schema}`, because its search path is `{search_path}`; run \
             `{set} search_path = {path}`"
        ))
    }

    /// A setting of the role or of the database.
    fn setting(&self, name: &str) -> Option<&str> {
        self.settings.iter().find_map(|setting| setting.strip_prefix(name)?.strip_prefix('='))
    }

    /// The sentence for the operator if the role cannot write.
    #[must_use]
    pub(crate) fn read_only(&self, role: &str) -> Option<String> {
        let value = self.setting("default_transaction_read_only")?.to_lowercase();
        ON.contains(&value.as_str()).then(|| {
            format!("transactions of `{role}` are read-only; run `{} default_transaction_read_only = off`", self.set)
        })
    }

    /// The sentence for the operator if the server does not enforce foreign keys in the role's sessions.
    #[must_use]
    pub(crate) fn unenforced_keys(&self, role: &str) -> Option<String> {
        let value = self.setting("session_replication_role")?;
        value.eq_ignore_ascii_case("replica").then(|| {
            format!(
                "foreign keys are not enforced for `{role}`, because its `session_replication_role` is `replica`; let a \
                 superuser run `{} session_replication_role = origin`",
                self.set
            )
        })
    }

    /// The sentence for the operator if the role's sessions have another time zone than UTC.
    #[must_use]
    pub(crate) fn other_time_zone(&self, role: &str) -> Option<String> {
        let zone = self.setting("timezone").filter(|zone| !is_utc(zone))?;
        Some(format!(
            "sessions of `{role}` are set to {zone}: TARSy's events would get times in that zone; run \
             `{} timezone = 'UTC'`",
            self.set
        ))
    }
}

/// The schemas of a search path such as `"$user", public`.
fn schemas_of(path: &str, role: &str) -> Vec<String> {
    let (mut schemas, mut schema, mut is_quoted) = (Vec::new(), String::new(), false);
    let mut characters = path.chars().chain([',']).peekable();
    while let Some(character) = characters.next() {
        match character {
            '"' if is_quoted && characters.next_if_eq(&'"').is_some() => schema.push('"'),
            '"' => is_quoted = !is_quoted,
            ',' if !is_quoted => schemas.push(std::mem::take(&mut schema)),
            other if other.is_whitespace() && !is_quoted => {}
            other if is_quoted => schema.push(other),
            other => schema.extend(other.to_lowercase()),
        }
    }
    schemas.into_iter().map(|schema| if schema == "$user" { role.to_owned() } else { schema }).collect()
}

/// What the catalog says of a role, or `None` if there is no such role.
///
/// # Errors
/// The database's error.
pub(crate) async fn facts(connection: &Transaction, role: &str) -> Result<Option<RoleFacts>, DbErr> {
    let (tables, schemas) = tables(connection);
    let homes: Vec<String> = connection.namespace().schemas().into_iter().map(str::to_owned).collect();
    let is_of_server = has_path_of_server(connection).await?;
    let values: [Value; 5] = [role.into(), tables.into(), schemas.into(), homes.clone().into(), is_of_server.into()];
    let sql = include_str!("app_role_facts.sql");
    let found = connection.query_one_raw(Statement::from_sql_and_values(connection.backend(), sql, values)).await?;
    let facts = |row: sea_orm::QueryResult| {
        Ok(RoleFacts {
            owned: row.try_get("", "owned")?,
            obstacles: row.try_get("", "obstacles")?,
            open_login: row.try_get::<Option<String>>("", "open_login")?.unwrap_or_default(),
            row_secured: row.try_get("", "row_secured")?,
            search_path: row.try_get("", "search_path")?,
            schemas: homes,
            path: row.try_get::<Option<String>>("", "path")?.unwrap_or_default(),
            set: row.try_get("", "set")?,
            settings: row.try_get("", "settings")?,
        })
    };
    found.map(facts).transpose()
}

/// Whether the search path with which this session began is the server's own, and not one of the URL or of the role that is
/// logged in. The server tells where a value is from only while it is in force.
async fn has_path_of_server(connection: &Transaction) -> Result<bool, DbErr> {
    connection.execute_unprepared("SET LOCAL search_path TO DEFAULT").await?;
    let sql = "SELECT source OPERATOR(pg_catalog.<>) ALL (ARRAY['client', 'user', 'database user']) AS is_of_server
               FROM pg_catalog.pg_settings WHERE name OPERATOR(pg_catalog.=) 'search_path'";
    let is_of_server = row(connection, sql).await?.try_get("", "is_of_server");
    connection.search(SearchPath::Empty).await?;
    is_of_server
}

/// The statements that give the role what it lacks, on the tables that exist and on those that are `created` later. The
/// statements of a role that does not exist are none.
///
/// # Errors
/// The database's error.
pub(crate) async fn changes(connection: &Transaction, role: &str, created: &[&str]) -> Result<Vec<RoleChange>, DbErr> {
    let (tables, schemas) = tables(connection);
    let home = connection.namespace().schemas().first().copied().unwrap_or_default().to_owned();
    let values: [Value; 5] = [role.into(), tables.into(), schemas.into(), texts(created), home.into()];
    let sql = include_str!("app_role.sql");
    let found = connection.query_all_raw(Statement::from_sql_and_values(connection.backend(), sql, values)).await?;
    let change = |row: &sea_orm::QueryResult| {
        let purpose: String = row.try_get("", "purpose")?;
        let purpose = match purpose.as_str() {
            "needed" => Purpose::Needed,
            "excess" => Purpose::Excess,
            "shared" => Purpose::Shared,
            _ => Purpose::Later,
        };
        let (statement, is_allowed) = (row.try_get("", "statement")?, row.try_get("", "is_allowed")?);
        Ok(RoleChange { purpose, statement, is_allowed })
    };
    found.iter().map(change).collect()
}

/// As [`changes`], for a role that must exist, and that the role that is logged in may grant everything.
///
/// # Errors
/// [`AppRoleError`].
pub(crate) async fn plan(connection: &Transaction, role: &str, created: &[&str]) -> Result<Vec<String>, AppRoleError> {
    let read = || (Verb::Read, format!("the privileges of `{role}`"));
    if facts(connection, role).await.context(read())?.is_none() {
        return Err(AppRoleError::Missing(role.to_owned()));
    }
    let mut changes = changes(connection, role, created).await.context(read())?;
    changes.retain(|change| change.purpose != Purpose::Shared);
    let (allowed, refused): (Vec<_>, Vec<_>) = changes.into_iter().partition(|change| change.is_allowed);
    let statements = |changes: Vec<RoleChange>| changes.into_iter().map(|change| change.statement).collect();
    match refused.is_empty() {
        true => Ok(statements(allowed)),
        false => Err(not_allowed(connection, role, statements(refused)).await?),
    }
}

/// Gives the role what it lacks, and returns the statements.
///
/// # Errors
/// [`AppRoleError`].
pub(crate) async fn grant(transaction: &Transaction, role: &str) -> Result<Vec<String>, AppRoleError> {
    let statements = plan(transaction, role, &[]).await?;
    for statement in &statements {
        let action = || (Verb::Run, format!("`{statement}`"));
        transaction.execute_unprepared(statement).await.context(action())?;
    }
    // The server only warns if it grants less than it was asked for.
    let rest = match statements.is_empty() {
        true => Vec::new(),
        false => plan(transaction, role, &[]).await?,
    };
    match rest.is_empty() {
        true => Ok(statements),
        false => Err(not_allowed(transaction, role, rest).await?),
    }
}

/// The lines for the operator about privileges beyond the backend's needs that a grant to the role does not give it.
pub(crate) fn shared(role: &str, changes: &[RoleChange]) -> Vec<String> {
    let title = format!(
        "`{role}` has more than TARSy's backend needs, through a group, PUBLIC, or another role that granted it; review \
         and run"
    );
    beyond(changes, Purpose::Shared, title)
}

/// As [`shared`], about what a grant to the role gives it, which `init --app-role` takes back.
pub(crate) fn excess(role: &str, changes: &[RoleChange]) -> Vec<String> {
    let title =
        format!("`{role}` has more than TARSy's backend needs; `tarsy-db init --app-role` takes it back, or run");
    beyond(changes, Purpose::Excess, title)
}

fn beyond(changes: &[RoleChange], purpose: Purpose, title: String) -> Vec<String> {
    let statements: Vec<_> = changes.iter().filter(|change| change.purpose == purpose).collect();
    let title = (!statements.is_empty()).then_some(title);
    title.into_iter().chain(statements.iter().map(|change| format!("{};", change.statement))).collect()
}

async fn not_allowed(
    connection: &Transaction,
    role: &str,
    statements: Vec<String>,
) -> Result<AppRoleError, DatabaseError> {
    let by = current_role(connection).await.context((Verb::Read, "the name of the role"))?;
    Ok(AppRoleError::NotAllowed { role: role.to_owned(), by, statements })
}

async fn current_role(connection: &Transaction) -> Result<String, DatabaseCause> {
    Ok(row(connection, "SELECT current_user::text AS name").await?.try_get("", "name")?)
}

/// TARSy's tables with the ledger, and the schema in which each of them is or would be created.
fn tables(connection: &Transaction) -> (Vec<String>, Vec<String>) {
    let schema = |table: &str| connection.namespace().schema_of(table).unwrap_or_default().to_owned();
    tables_of_tarsy().map(|table| (table.to_owned(), schema(table))).unzip()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_path_is_read_as_the_server_stores_it() {
        assert_eq!(schemas_of(r#""$user", public"#, "backend"), ["backend", "public"]);
        assert_eq!(schemas_of(r#""My ""own"", schema", Tarsy"#, "backend"), [r#"My "own", schema"#, "tarsy"]);
    }

    #[test]
    fn a_role_that_does_not_find_the_tables_is_told_the_statement() {
        let facts = |search_path: &str| RoleFacts {
            search_path: search_path.to_owned(),
            schemas: vec!["tarsy".to_owned()],
            path: "tarsy".to_owned(),
            set: "ALTER ROLE ... SET".to_owned(),
            ..RoleFacts::default()
        };
        assert_eq!(facts("public, tarsy").wrong_path("backend"), None);
        assert_eq!(facts("\"$user\"").wrong_path("tarsy"), None);
        let wrong = facts("public").wrong_path("backend").expect("a sentence");
        assert!(
            wrong.ends_with("because its search path is `public`; run `ALTER ROLE ... SET search_path = tarsy`"),
            "{wrong}"
        );
    }

    #[test]
    fn settings_that_keep_the_backend_from_its_work_are_told_with_the_statement() {
        let facts = |setting: &str| RoleFacts { settings: vec![setting.to_owned()], ..RoleFacts::default() };
        assert!(facts("default_transaction_read_only=on").read_only("a").is_some());
        assert!(facts("session_replication_role=replica").unenforced_keys("a").is_some());
        assert!(
            facts("timezone=Asia/Tokyo").other_time_zone("a").is_some_and(|text| text.contains("timezone = 'UTC'"))
        );
        assert_eq!(facts("default_transaction_read_only=off").read_only("a"), None);
        assert_eq!(facts("session_replication_role=origin").unenforced_keys("a"), None);
        assert_eq!(facts("timezone=Etc/UTC").other_time_zone("a"), None);
    }
}
