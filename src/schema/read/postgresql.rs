//! Reads a schema from PostgreSQL's catalogs. Needs no privilege on the tables.
//!
//! The rows of the catalogs name each other by number, and are put together here. Joins would take twice as long, because
//! a server plans them with empty caches in each new session.

use std::collections::{BTreeMap, BTreeSet};

use migration::Revision;
use sea_orm::{ConnectionTrait, DbErr, QueryResult, Statement};

use crate::database::transaction::Transaction;
use crate::schema::column_kind::ColumnKind;
use crate::schema::model::{Column, ForeignKey, ForeignKeyAction, Index, Schema, Table};
use crate::schema::{definition, visible};

/// Reads the tables to which the names lead in this transaction: those of the schemas of the search path, or the
/// temporary ones. Only of TARSy's tables expressions are read.
pub(crate) async fn read(connection: &Transaction) -> Result<Schema, DbErr> {
    let mut catalog = Catalog { connection, relations: relations(connection).await?, attributes: BTreeMap::new() };
    if catalog.relations.is_empty() {
        return Ok(Schema::default());
    }
    let constraints = catalog.rows_with_expressions(CONSTRAINTS, catalog.tables()).await?;
    catalog.read_columns(&constraints).await?;
    catalog.add_constraints(&constraints).await?;
    catalog.add_indexes(&constraints).await?;
    for row in catalog.rows(HOOKS, catalog.tables()).await? {
        if let Some(table) = catalog.table(&row)? {
            table.hooks.insert(row.try_get("", "hook")?);
        }
    }
    Ok(catalog.into_schema())
}

/// The number of an object.
type Oid = i64;

/// What was read of the catalogs.
struct Catalog<'c> {
    connection: &'c Transaction,
    relations: BTreeMap<Oid, Relation>,
    /// The columns of these tables, and of others that they refer to, by table and number.
    attributes: BTreeMap<(Oid, i16), Attribute>,
}

/// A table to which an unqualified name leads.
struct Relation {
    name: String,
    /// The name, quoted if it needs to be.
    quoted: String,
    /// The quoted name with its schema.
    place: String,
    table: Table,
}

/// A column as keys and indexes need it.
struct Attribute {
    name: String,
    /// Whether its values have a type of PostgreSQL's own: casts have no schema, and the owner of a type may create one.
    is_of_postgresql: bool,
}

async fn relations(connection: &Transaction) -> Result<BTreeMap<Oid, Relation>, DbErr> {
    let mut relations = BTreeMap::new();
    for row in visible::rows(connection, TABLES, []).await? {
        let mut table = Table {
            schema: row.try_get("", "schema_name")?,
            is_unlogged: row.try_get("", "is_unlogged")?,
            ..Table::default()
        };
        if row.try_get("", "has_row_security")? {
            table.hooks.insert("row security".to_owned());
        }
        let relation = Relation {
            name: row.try_get("", "name")?,
            quoted: row.try_get("", "quoted")?,
            place: row.try_get("", "place")?,
            table,
        };
        relations.insert(row.try_get("", "oid")?, relation);
    }
    Ok(relations)
}

impl Catalog<'_> {
    fn into_schema(self) -> Schema {
        let namespace = self.connection.namespace();
        let tables = self.relations.into_values().map(|relation| (relation.name, relation.table));
        let is_meant =
            |name: &str, table: &Table| table.schema.as_ref().is_none_or(|schema| namespace.holds(name, schema));
        Schema { tables: tables.filter(|(name, table)| is_meant(name, table)).collect() }
    }

    /// The table of a row. None if it appeared after the tables were read.
    fn table(&mut self, row: &QueryResult) -> Result<Option<&mut Table>, DbErr> {
        Ok(self.relations.get_mut(&row.try_get("", "of_table")?).map(|relation| &mut relation.table))
    }

    /// The rows that a query finds for some objects.
    async fn rows(&self, sql: &str, oids: impl IntoIterator<Item = Oid>) -> Result<Vec<QueryResult>, DbErr> {
        self.query(sql, &[oids.into_iter().collect()]).await
    }

    /// The same with TARSy's tables as `$2`, whose expressions are printed: to print one waits for a session that has
    /// locked its table.
    async fn rows_with_expressions(
        &self,
        sql: &str,
        oids: impl IntoIterator<Item = Oid>,
    ) -> Result<Vec<QueryResult>, DbErr> {
        let names = Revision::HEAD.tables();
        let is_of_tarsy = |relation: &Relation| names.contains(&relation.name.as_str());
        let printed = self.relations.iter().filter(|(_, relation)| is_of_tarsy(relation)).map(|(oid, _)| *oid);
        self.query(sql, &[oids.into_iter().collect(), printed.collect()]).await
    }

    /// Runs a query with lists of numbers. They are written into it, because bound values take a second round trip.
    async fn query(&self, sql: &str, lists: &[Vec<Oid>]) -> Result<Vec<QueryResult>, DbErr> {
        let mut sql = sql.to_owned();
        for (oids, place) in lists.iter().zip(1..) {
            let oids = oids.iter().map(Oid::to_string).collect::<Vec<_>>().join(",");
            sql = sql.replace(&format!("${place}"), &format!("'{{{oids}}}'"));
        }
        self.connection.query_all_raw(Statement::from_string(self.connection.backend(), sql)).await
    }

    /// What a query finds for some objects, by their number.
    async fn names(&self, sql: &str, oids: BTreeSet<Oid>) -> Result<BTreeMap<Oid, String>, DbErr> {
        if oids.is_empty() {
            return Ok(BTreeMap::new());
        }
        let rows = self.rows(sql, oids).await?;
        rows.iter().map(|row| Ok((row.try_get("", "oid")?, row.try_get("", "name")?))).collect()
    }

    /// The tables that are read.
    fn tables(&self) -> impl Iterator<Item = Oid> {
        self.relations.keys().copied()
    }

    /// An expression or a type without the schemas of the search path.
    fn without_schemas(&self, definition: &str) -> String {
        definition::without_schemas(definition, self.connection.namespace().path())
    }

    /// Reads the columns of the tables, and of those that their foreign keys refer to.
    async fn read_columns(&mut self, constraints: &[QueryResult]) -> Result<(), DbErr> {
        let mut tables: BTreeSet<_> = self.tables().collect();
        tables.extend(each::<Option<Oid>>(constraints, "referenced")?.into_iter().flatten());
        let rows = self.rows_with_expressions(COLUMNS, tables).await?;
        let domains = each::<Option<Oid>>(&rows, "domain")?.into_iter().flatten().collect();
        let domains = self.names(DOMAINS, domains).await?;
        for row in rows {
            let name: String = row.try_get("", "name")?;
            let column = Column {
                kind: ColumnKind::of(&self.without_schemas(&row.try_get::<String>("", "kind")?)),
                nullable: row.try_get("", "nullable")?,
                default: row
                    .try_get::<Option<String>>("", "default_expression")?
                    .map(|text| self.without_schemas(&text)),
            };
            if let Some(table) = self.table(&row)? {
                table.columns.insert(name.clone(), column);
            }
            let is_of_postgresql = match row.try_get::<Option<Oid>>("", "domain")? {
                Some(domain) => domains.contains_key(&domain),
                None => row.try_get("", "is_of_postgresql")?,
            };
            let place = (row.try_get("", "of_table")?, row.try_get("", "number")?);
            self.attributes.insert(place, Attribute { name, is_of_postgresql });
        }
        Ok(())
    }

    /// The columns of a table by their numbers. One that was dropped meanwhile is left out.
    fn columns(&self, table: Oid, numbers: &[i16]) -> Vec<&Attribute> {
        numbers.iter().filter_map(|number| self.attributes.get(&(table, *number))).collect()
    }

    /// Adds the primary keys, foreign keys, checks, and NOT NULL constraints that are NOT VALID.
    async fn add_constraints(&mut self, constraints: &[QueryResult]) -> Result<(), DbErr> {
        let operators = each::<Option<Vec<Oid>>>(constraints, "operators")?.into_iter().flatten().flatten().collect();
        let operators = self.names(OPERATORS, operators).await?;
        let mut referenced: BTreeSet<_> =
            each::<Option<Oid>>(constraints, "referenced")?.into_iter().flatten().collect();
        referenced.retain(|oid| !self.relations.contains_key(oid));
        let elsewhere = self.names(ELSEWHERE, referenced).await?;
        for row in constraints {
            let numbers = row.try_get::<Option<Vec<i16>>>("", "columns")?.unwrap_or_default();
            let columns = self.columns(row.try_get("", "of_table")?, &numbers);
            match row.try_get::<String>("", "kind")?.as_str() {
                "p" => {
                    let names = names_of(&columns);
                    if let Some(table) = self.table(row)? {
                        table.primary_key = names;
                    }
                }
                "f" => {
                    let key = self.foreign_key(row, &columns, &operators, &elsewhere)?;
                    if let Some(table) = self.table(row)? {
                        table.foreign_keys.push(key);
                    }
                }
                "n" => {
                    let names = names_of(&columns);
                    if let Some(table) = self.table(row)? {
                        table.unvalidated_not_nulls.extend(names);
                    }
                }
                _ => {
                    let (name, definition): (String, Option<String>) =
                        (row.try_get("", "name")?, row.try_get("", "definition")?);
                    let check = definition.map(|text| format!("{name} {}", self.without_schemas(&text)));
                    if let Some(table) = self.table(row)? {
                        table.checks.extend(check);
                    }
                }
            }
        }
        Ok(())
    }

    fn foreign_key(
        &self,
        row: &QueryResult,
        columns: &[&Attribute],
        operators: &BTreeMap<Oid, String>,
        elsewhere: &BTreeMap<Oid, String>,
    ) -> Result<ForeignKey, DbErr> {
        let referenced: Oid = row.try_get("", "referenced")?;
        let referenced_columns = self.columns(referenced, &row.try_get::<Vec<i16>>("", "referenced_columns")?);
        let (place, shown) = match (self.relations.get(&referenced), elsewhere.get(&referenced)) {
            (Some(relation), _) => (relation.place.clone(), relation.quoted.clone()),
            (None, place) => place.cloned().map(|place| (place.clone(), place)).unwrap_or_default(),
        };
        let has_types_of_postgresql = columns.iter().chain(&referenced_columns).all(|column| column.is_of_postgresql);
        let of_postgresql = |oid| operators.get(&oid).map(|name| format!("OPERATOR(pg_catalog.{name})"));
        let operators: Option<Vec<_>> =
            row.try_get::<Vec<Oid>>("", "operators")?.into_iter().map(of_postgresql).collect();
        Ok(ForeignKey {
            name: row.try_get("", "name")?,
            columns: names_of(columns),
            referenced_table: shown,
            referenced_place: place,
            operators: operators.filter(|_| has_types_of_postgresql).unwrap_or_default(),
            referenced_columns: names_of(&referenced_columns),
            on_delete: ForeignKeyAction::named(&row.try_get::<String>("", "on_delete")?),
            on_update: ForeignKeyAction::named(&row.try_get::<String>("", "on_update")?),
            validated: row.try_get("", "validated")?,
            is_not_enforced: row.try_get("", "is_not_enforced")?,
            is_deferrable: row.try_get("", "is_deferrable")?,
        })
    }

    /// Adds the indexes but those of the primary keys.
    async fn add_indexes(&mut self, constraints: &[QueryResult]) -> Result<(), DbErr> {
        let rows = self.rows_with_expressions(INDEXES, self.tables()).await?;
        let classes = each::<Vec<Oid>>(&rows, "operator_classes")?;
        let known = self.names(OPERATOR_CLASSES, classes.iter().flatten().copied().collect()).await?;
        let primary = each::<Option<Oid>>(constraints, "primary_index")?;
        for (row, classes) in rows.iter().zip(classes) {
            if primary.contains(&Some(row.try_get("", "oid")?)) {
                continue;
            }
            let index = Index {
                columns: self.keys_of_index(row)?,
                unique: row.try_get("", "is_unique")?,
                method: row.try_get::<String>("", "method")?.into(),
                operator_classes: classes.iter().filter_map(|class| known.get(class).cloned()).collect(),
                predicate: row.try_get::<Option<String>>("", "predicate")?.map(|text| self.without_schemas(&text)),
                valid: row.try_get("", "valid")?,
            };
            if let Some(table) = self.table(row)? {
                table.indexes.insert(row.try_get("", "name")?, index);
            }
        }
        Ok(())
    }

    /// The columns and expressions of an index, without those of INCLUDE.
    fn keys_of_index(&self, row: &QueryResult) -> Result<Vec<String>, DbErr> {
        /// Of the options of a key.
        const DESCENDING: i16 = 1;
        let table: Oid = row.try_get("", "of_table")?;
        let numbers: Vec<i16> = row.try_get("", "columns")?;
        let definitions: Vec<String> = row.try_get::<Option<_>>("", "definitions")?.unwrap_or_default();
        // INCLUDE's columns have no options.
        let keys = numbers.iter().zip(row.try_get::<Vec<i16>>("", "options")?).enumerate();
        let key = |(position, (number, options)): (usize, (&i16, i16))| {
            let key = match (self.attributes.get(&(table, *number)), definitions.get(position)) {
                (Some(column), _) => column.name.clone(),
                (None, Some(definition)) => self.without_schemas(definition),
                (None, None) => "an expression".to_owned(),
            };
            if options & DESCENDING == 0 { key } else { format!("{key} DESC") }
        };
        Ok(keys.map(key).collect())
    }
}

fn names_of(columns: &[&Attribute]) -> Vec<String> {
    columns.iter().map(|column| column.name.clone()).collect()
}

/// A value of each row.
fn each<T: sea_orm::TryGetable>(rows: &[QueryResult], column: &str) -> Result<Vec<T>, DbErr> {
    rows.iter().map(|row| row.try_get("", column)).collect()
}

const TABLES: &str = include_str!("postgresql/tables.sql");
const COLUMNS: &str = include_str!("postgresql/columns.sql");
const CONSTRAINTS: &str = include_str!("postgresql/constraints.sql");
const INDEXES: &str = include_str!("postgresql/indexes.sql");
const HOOKS: &str = include_str!("postgresql/hooks.sql");
const DOMAINS: &str = include_str!("postgresql/domains.sql");
const ELSEWHERE: &str = include_str!("postgresql/elsewhere.sql");
const OPERATORS: &str = include_str!("postgresql/operators.sql");
const OPERATOR_CLASSES: &str = include_str!("postgresql/operator_classes.sql");
