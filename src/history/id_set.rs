//! A set of ids from a query, as a condition of another query.

use sea_orm::DbBackend;

/// Up to this many values PostgreSQL is made to look each one up in an index instead of scanning the table.
const FEW: u64 = 1000;

/// The values of a query, for a membership condition.
#[derive(Debug, Clone, Copy)]
pub(crate) struct IdSet<'q> {
    query: &'q str,
    /// Whether PostgreSQL must look each value up in an index, whatever its statistics say about the size of the table
    /// and the cost of the index.
    are_few: bool,
}

impl<'q> IdSet<'q> {
    /// All values of a query, which has about this many.
    pub(crate) fn all(query: &'q str, backend: DbBackend, count: u64) -> Self {
        Self { query, are_few: backend == DbBackend::Postgres && count <= FEW }
    }

    /// The elements of the JSON array that is bound as `$1`.
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

    /// The condition that a column has one of the values.
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
