//! A set of ids that a query gives, as a condition of another query.

use sea_orm::DbBackend;

/// So many values cost less to look up in an index of PostgreSQL's, one by one, than to read a table that grows.
const FEW: u64 = 1000;

/// The values that a query gives, as something to be one of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct IdSet<'q> {
    query: &'q str,
    /// Whether the values are few: PostgreSQL is to look each of them up in an index, however small it takes the table
    /// for, and however dear it takes the index for.
    are_few: bool,
}

impl<'q> IdSet<'q> {
    /// All values of a query, so many of them.
    pub(crate) fn all(query: &'q str, backend: DbBackend, count: u64) -> Self {
        Self { query, are_few: backend == DbBackend::Postgres && count <= FEW }
    }

    /// The elements of the JSON array that is bound to a statement as `$1`.
    pub(crate) fn bound(backend: DbBackend) -> IdSet<'static> {
        match backend {
            DbBackend::Postgres => IdSet { query: "SELECT jsonb_array_elements_text($1::jsonb)", are_few: true },
            _ => IdSet { query: "SELECT value FROM json_each($1)", are_few: false },
        }
    }

    /// The values of another query, about as many.
    pub(crate) fn with_query(self, query: &str) -> IdSet<'_> {
        IdSet { query, are_few: self.are_few }
    }

    /// The condition that a column has one of them.
    pub(crate) fn contains(&self, column: &str) -> String {
        match self.are_few {
            true => format!("{column} = ANY (ARRAY({}))", self.query),
            false => format!("{column} IN ({})", self.query),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_values_are_looked_up_in_postgresql_and_sqlite_knows_best() {
        let condition = |backend, count| IdSet::all("SELECT 'a'", backend, count).contains("id");
        assert_eq!(condition(DbBackend::Postgres, FEW), "id = ANY (ARRAY(SELECT 'a'))");
        assert_eq!(condition(DbBackend::Postgres, FEW + 1), "id IN (SELECT 'a')");
        assert_eq!(condition(DbBackend::Sqlite, 1), "id IN (SELECT 'a')");
    }
}
