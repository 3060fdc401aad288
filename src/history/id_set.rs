//! A set of ids from a query, as a condition of another query.

use sea_orm::sea_query::extension::postgres::PgFunc;
use sea_orm::sea_query::{Expr, ExprTrait, Func, IntoColumnRef, Query, SelectStatement};
use sea_orm::{DbBackend, Value};
use serde::Serialize;

/// Up to this many values PostgreSQL is made to look each one up in an index instead of scanning the table.
const FEW: u64 = 1000;

/// A set of values, for a membership condition.
#[derive(Debug, Clone)]
pub(crate) struct IdSet {
    ids: Ids,
    /// Whether PostgreSQL must look each value up in an index, whatever its statistics say about the size of the table
    /// and the cost of the index.
    are_few: bool,
}

#[derive(Debug, Clone)]
enum Ids {
    Of(Box<SelectStatement>),
    Listed(Vec<String>),
}

impl IdSet {
    /// All values of a query, which has about this many.
    pub(crate) fn all(query: SelectStatement, backend: DbBackend, count: u64) -> Self {
        Self { ids: Ids::Of(Box::new(query)), are_few: backend == DbBackend::Postgres && count <= FEW }
    }

    /// Few values, which are bound as one.
    pub(crate) fn bound<T: Serialize>(backend: DbBackend, values: Vec<T>) -> Self
    where
        Vec<T>: Into<Value>,
    {
        Self { ids: Ids::Of(Box::new(bound(backend, values))), are_few: backend == DbBackend::Postgres }
    }

    /// Few values, for a DELETE. SQLite would note each row in memory before it deletes the first, if the condition had a
    /// query; a list has none.
    pub(crate) fn listed(backend: DbBackend, values: Vec<String>) -> Self {
        match backend {
            DbBackend::Postgres => Self::bound(backend, values),
            _ => Self { ids: Ids::Listed(values), are_few: false },
        }
    }

    /// The values of a query that gives few, whatever the statistics say.
    pub(crate) fn looked_up(backend: DbBackend, query: SelectStatement) -> Self {
        Self { ids: Ids::Of(Box::new(query)), are_few: backend == DbBackend::Postgres }
    }

    /// The values of another query, about as many.
    pub(crate) fn with_query(&self, query: SelectStatement) -> Self {
        Self { ids: Ids::Of(Box::new(query)), are_few: self.are_few }
    }

    /// The condition that a column has one of the values.
    pub(crate) fn contains(&self, column: impl IntoColumnRef) -> Expr {
        self.has(Expr::col(column))
    }

    /// The condition that an expression has one of the values.
    pub(crate) fn has(&self, value: Expr) -> Expr {
        match &self.ids {
            // The planner does not see how many elements there are, and so expects few.
            Ids::Of(query) if self.are_few => {
                value.eq(PgFunc::any(Expr::cust_with_expr("ARRAY $1", (**query).clone())))
            }
            Ids::Of(query) => value.in_subquery((**query).clone()),
            Ids::Listed(values) => value.is_in(values.clone()),
        }
    }
}

/// The query for values that are bound as one.
fn bound<T: Serialize>(backend: DbBackend, values: Vec<T>) -> SelectStatement
where
    Vec<T>: Into<Value>,
{
    if backend == DbBackend::Postgres {
        return Query::select().expr(Func::cust("unnest").arg(Expr::val(values))).to_owned();
    }
    let json = serde_json::to_string(&values).expect("ids are text or numbers");
    Query::select().column("value").from_function(Func::cust("json_each").arg(json), "ids").to_owned()
}

/// The condition that a column has none of these values, of which there may be many.
pub(crate) fn is_none_of(backend: DbBackend, column: impl IntoColumnRef, values: Vec<String>) -> Expr {
    match backend {
        DbBackend::Postgres => Expr::col(column).ne(PgFunc::all(Expr::val(values))),
        _ => Expr::col(column).not_in_subquery(bound(backend, values)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A query with a condition, as the backend gets it.
    fn sql(backend: DbBackend, condition: Expr) -> String {
        backend.build(Query::select().column("id").from("t").and_where(condition)).sql
    }

    #[test]
    fn few_values_are_looked_up_in_postgresql_and_sqlite_knows_best() {
        let condition = |backend, count| {
            let query = Query::select().column("k").from("u").to_owned();
            sql(backend, IdSet::all(query, backend, count).contains("id"))
        };
        let looked_up = r#"SELECT "id" FROM "t" WHERE "id" = ANY(ARRAY (SELECT "k" FROM "u"))"#;
        assert_eq!(condition(DbBackend::Postgres, FEW), looked_up);
        let joined = r#"SELECT "id" FROM "t" WHERE "id" IN (SELECT "k" FROM "u")"#;
        assert_eq!(condition(DbBackend::Postgres, FEW + 1), joined);
        assert_eq!(condition(DbBackend::Sqlite, 1), joined);
    }

    #[test]
    fn values_are_bound_as_one() {
        let ids = || vec!["it's".to_owned(), "a\\".to_owned()];
        let statement = |backend: DbBackend| {
            let query = Query::select().and_where(IdSet::bound(backend, ids()).contains("id")).to_owned();
            backend.build(&query).values.expect("a value").0
        };
        assert_eq!(statement(DbBackend::Postgres), [ids().into()]);
        assert_eq!(statement(DbBackend::Sqlite), [r#"["it's","a\\"]"#.into()]);
        let listed = |backend| sql(backend, IdSet::listed(backend, ids()).contains("id"));
        assert_eq!(listed(DbBackend::Sqlite), r#"SELECT "id" FROM "t" WHERE "id" IN (?, ?)"#);
        assert_eq!(listed(DbBackend::Postgres), r#"SELECT "id" FROM "t" WHERE "id" = ANY(ARRAY (SELECT unnest($1)))"#);
        let none_of = |backend| sql(backend, is_none_of(backend, "id", ids()));
        assert_eq!(none_of(DbBackend::Postgres), r#"SELECT "id" FROM "t" WHERE "id" <> ALL($1)"#);
        let expected = r#"SELECT "id" FROM "t" WHERE "id" NOT IN (SELECT "value" FROM json_each(?) AS "ids")"#;
        assert_eq!(none_of(DbBackend::Sqlite), expected);
    }
}
