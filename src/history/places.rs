//! Where rows are in their table, which takes a few bytes each, however long their keys are, and finds them without an
//! index: the ctid on PostgreSQL, with the partition, and the rowid on SQLite.
//!
//! By the time a place is used, another row may be there: its use repeats the condition that the row has met.

use sea_orm::sea_query::extension::postgres::PgFunc;
use sea_orm::sea_query::{Expr, ExprTrait, SelectStatement};
use sea_orm::{DbBackend, DbErr, QueryResult};

use super::id_set::IdSet;
use crate::database::connection::rows;
use crate::database::transaction::Transaction;
use crate::diagnostic::Diagnostic;
use crate::exit_code::ExitCode;

/// Where a row is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    /// The partition, or the table itself, on PostgreSQL; 0 on SQLite.
    part: u32,
    /// The block and the row in it, or the halves of the rowid: 12 bytes a place instead of 16.
    row: [u32; 2],
}

impl Place {
    fn of_ctid(part: i64, ctid: &str) -> Option<Self> {
        let (block, row) = ctid.strip_prefix('(')?.strip_suffix(')')?.split_once(',')?;
        Some(Self { part: u32::try_from(part).ok()?, row: [block.parse().ok()?, row.parse().ok()?] })
    }

    fn of_rowid(rowid: i64) -> Self {
        let bits = rowid.cast_unsigned();
        let half = |bits: u64| u32::try_from(bits & u64::from(u32::MAX)).unwrap_or_default();
        Self { part: 0, row: [half(bits >> 32), half(bits)] }
    }

    fn ctid(self) -> String {
        let [block, row] = self.row;
        format!("({block},{row})")
    }

    fn rowid(self) -> i64 {
        let [high, low] = self.row;
        ((u64::from(high) << 32) | u64::from(low)).cast_signed()
    }

    /// Reads what [`select`] has selected.
    ///
    /// # Errors
    /// The driver's error.
    pub(crate) fn of_row(backend: DbBackend, row: &QueryResult) -> Result<Self, DbErr> {
        if backend == DbBackend::Sqlite {
            return row.try_get("", "place").map(Self::of_rowid);
        }
        let (part, ctid): (i64, String) = (row.try_get("", "part")?, row.try_get("", "place")?);
        Self::of_ctid(part, &ctid).ok_or_else(|| DbErr::Type(format!("{ctid} is no place of a row")))
    }
}

/// Makes a query return the places of its rows.
pub(crate) fn select(backend: DbBackend, table: &'static str, query: &mut SelectStatement) {
    match backend {
        DbBackend::Postgres => query
            .expr_as(Expr::col((table, "ctid")).cast_as("text"), "place")
            .expr_as(Expr::col((table, "tableoid")).cast_as("bigint"), "part"),
        // Between quotes a table without one would give a text. Another column may have the name `rowid`.
        _ => query.expr_as(Expr::cust("_rowid_"), "place"),
    };
}

/// The last places, at most this many, which are all in one part.
pub(crate) fn last(places: &[Place], most: usize) -> &[Place] {
    let tail = &places[places.len().saturating_sub(most)..];
    let of_others = tail.iter().rposition(|place| Some(place.part) != tail.last().map(|last| last.part));
    &tail[of_others.map_or(0, |of_others| of_others + 1)..]
}

/// The condition that a row is at one of these places, which are in one part. PostgreSQL reads the rows from there, in
/// their order, whatever its statistics say: it does not see how many places there are, and so expects few.
pub(crate) fn are_at(backend: DbBackend, table: &'static str, places: &[Place]) -> Expr {
    if backend == DbBackend::Sqlite {
        let rowids: Vec<i64> = places.iter().map(|place| place.rowid()).collect();
        return IdSet::bound(backend, rowids).has(Expr::cust("_rowid_"));
    }
    let part = places.first().map_or(0, |place| i64::from(place.part));
    let ctids: Vec<String> = places.iter().map(|place| place.ctid()).collect();
    let array = Expr::cust_with_expr("ARRAY(SELECT CAST(unnest($1) AS tid))", Expr::val(ctids));
    Expr::col((table, "ctid"))
        .eq(PgFunc::any(array))
        .and(Expr::col((table, "tableoid")).eq(Expr::val(part).cast_as("oid")))
}

/// Orphans cannot be removed, because rows of these tables have no place.
#[derive(Debug, thiserror::Error)]
#[error("{}; nothing was removed", .0.iter().map(|table| without_rowid(table)).collect::<Vec<_>>().join("; "))]
pub(crate) struct RowIdError(pub(crate) Vec<String>);

/// Why no row of a table has a place.
pub(crate) fn without_rowid(table: &str) -> String {
    format!("`{table}` has no `_rowid_`, by which `--orphans` finds rows again")
}

impl Diagnostic for RowIdError {
    fn exit_code(&self) -> ExitCode {
        ExitCode::Refused
    }

    fn hint(&self) -> Option<String> {
        let hint = "recreate the table without `WITHOUT ROWID`, and without a column of that name, or run `prune` \
                    without `--orphans`";
        Some(hint.to_owned())
    }
}

/// The tables of a SQLite file whose rows have no rowid, or another value under its name.
///
/// # Errors
/// The database's error.
pub(crate) async fn tables_without_rowid(connection: &Transaction) -> Result<Vec<String>, DbErr> {
    let sql = "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'table' AND (wr OR EXISTS (
                   SELECT 1 FROM pragma_table_xinfo(pragma_table_list.name) AS columns WHERE lower(columns.name) = '_rowid_'))
               ORDER BY name";
    rows(connection, sql).await?.iter().map(|row| row.try_get("", "name")).collect()
}

/// Keeps the first places of many, in any order.
pub(crate) struct FirstPlaces {
    most: usize,
    after: Option<Place>,
    places: Vec<Place>,
    /// Whether there are others behind them.
    has_more: bool,
}

impl FirstPlaces {
    /// Keeps at most this many places behind one.
    pub(crate) fn new(most: usize, after: Option<Place>) -> Self {
        Self { most, after, places: Vec::new(), has_more: false }
    }

    pub(crate) fn add(&mut self, place: Place) {
        if Some(place) <= self.after {
            return;
        }
        self.places.push(place);
        if self.places.len() >= 2 * self.most {
            self.trim();
        }
    }

    fn trim(&mut self) {
        if self.places.len() > self.most {
            self.places.select_nth_unstable(self.most);
            self.places.truncate(self.most);
            self.has_more = true;
        }
    }

    /// The places in their order, and the last one if there are others behind it.
    pub(crate) fn sorted(mut self) -> (Vec<Place>, Option<Place>) {
        self.trim();
        self.places.sort_unstable();
        let last = self.places.last().copied().filter(|_| self.has_more);
        (self.places, last)
    }
}

#[cfg(test)]
mod tests {
    use sea_orm::sea_query::Query;

    use super::*;

    fn place(part: i64, ctid: &str) -> Place {
        Place::of_ctid(part, ctid).expect("a ctid")
    }

    #[test]
    fn a_place_takes_12_bytes_and_comes_back_as_it_was() {
        assert_eq!(size_of::<Place>(), 12);
        for ctid in ["(0,1)", "(4294967294,65535)"] {
            assert_eq!(place(4_294_967_295, ctid).ctid(), ctid);
        }
        for rowid in [i64::MIN, -1, 0, 7, i64::MAX] {
            assert_eq!(Place::of_rowid(rowid).rowid(), rowid);
        }
        for bad in ["", "(1)", "(1,2", "(-1,2)", "1,2"] {
            assert_eq!(Place::of_ctid(1, bad), None, "{bad}");
        }
    }

    #[test]
    fn a_batch_is_taken_from_the_end_and_from_one_part() {
        let places = [place(1, "(0,1)"), place(2, "(0,1)"), place(2, "(0,2)"), place(2, "(1,1)")];
        assert_eq!(last(&places, 2), &places[2..]);
        assert_eq!(last(&places, 9), &places[1..]);
        assert_eq!(last(&places[..1], 9), &places[..1]);
        assert_eq!(last(&[], 9), &[]);
    }

    #[test]
    fn the_first_places_are_kept_whatever_their_order_and_memory_does_not_grow_with_their_number() {
        let all: Vec<_> = (0..100).map(Place::of_rowid).collect();
        let keep = |after| {
            let mut first = FirstPlaces::new(10, after);
            for index in 0..100_usize {
                first.add(all[index * 37 % 100]);
                assert!(first.places.len() < 20);
            }
            first.sorted()
        };
        assert_eq!(keep(None), (all[..10].to_vec(), Some(all[9])));
        assert_eq!(keep(Some(all[9])), (all[10..20].to_vec(), Some(all[19])));
        assert_eq!(keep(Some(all[94])), (all[95..].to_vec(), None));
    }

    #[test]
    fn rows_are_read_from_their_places() {
        let sql = |backend: DbBackend, places: &[Place]| {
            let mut query = Query::select().from("t").and_where(are_at(backend, "t", places)).to_owned();
            select(backend, "t", &mut query);
            let statement = backend.build(&query);
            (statement.sql, statement.values.expect("values").0)
        };
        let (statement, values) = sql(DbBackend::Postgres, &[place(7, "(1,2)"), place(7, "(3,4)")]);
        let expected = r#"SELECT CAST("t"."ctid" AS text) AS "place", CAST("t"."tableoid" AS bigint) AS "part" FROM "t" WHERE "t"."ctid" = ANY(ARRAY(SELECT CAST(unnest($1) AS tid))) AND "t"."tableoid" = CAST($2 AS oid)"#;
        assert_eq!(statement, expected);
        assert_eq!(values, [vec!["(1,2)".to_owned(), "(3,4)".to_owned()].into(), 7_i64.into()]);
        let (statement, values) = sql(DbBackend::Sqlite, &[Place::of_rowid(5), Place::of_rowid(-6)]);
        let expected =
            r#"SELECT _rowid_ AS "place" FROM "t" WHERE (_rowid_) IN (SELECT "value" FROM json_each(?) AS "ids")"#;
        assert_eq!(statement, expected);
        assert_eq!(values, ["[5,-6]".into()]);
    }
}
