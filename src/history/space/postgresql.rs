//! The space of dead rows in PostgreSQL's tables.

use migration::Revision;
use sea_orm::{ConnectionTrait, DbErr, Statement};
use serde::Serialize;

use crate::database::transaction::Transaction;
use crate::schema::model::Schema;

/// The reclaimable space of a PostgreSQL table. The numbers of rows are the server's own estimates.
#[derive(Debug, Clone, Serialize)]
pub struct TableSpace {
    pub table: String,
    /// The number of live rows.
    pub live_rows: u64,
    /// The number of dead rows that were not vacuumed yet.
    pub dead_rows: u64,
    /// With indexes and TOAST.
    pub bytes: u64,
    /// The dead share of rows and of TOAST, estimated.
    pub reclaimable_bytes: u64,
    /// The last manual VACUUM, RFC 3339.
    pub last_vacuum: Option<String>,
    /// The last autovacuum, RFC 3339.
    pub last_autovacuum: Option<String>,
    /// Whether this role may vacuum it.
    pub may_vacuum: bool,
}

pub(crate) async fn tables(connection: &Transaction, schema: &Schema) -> Result<Vec<TableSpace>, DbErr> {
    let names: Vec<_> =
        Revision::HEAD.tables().into_iter().filter(|table| schema.tables.contains_key(*table)).collect();
    let schemas = names.iter().filter_map(|table| connection.namespace().schema_of(table)).map(str::to_owned);
    let schemas: Vec<String> = schemas.collect();
    let names: Vec<String> = names.into_iter().map(str::to_owned).collect();
    let statement = Statement::from_sql_and_values(connection.backend(), TABLES, [names.into(), schemas.into()]);
    let mut tables = Vec::new();
    for row in connection.query_all_raw(statement).await? {
        let number = |name| row.try_get::<i64>("", name).map(i64::unsigned_abs);
        tables.push(TableSpace {
            table: row.try_get("", "name")?,
            live_rows: number("live_rows")?,
            dead_rows: number("dead_rows")?,
            bytes: number("bytes")?,
            reclaimable_bytes: number("reclaimable_bytes")?,
            last_vacuum: row.try_get("", "last_vacuum")?,
            last_autovacuum: row.try_get("", "last_autovacuum")?,
            may_vacuum: row.try_get("", "may_vacuum")?,
        });
    }
    Ok(tables)
}

/// Most of the space is in the TOAST tables, which have dead rows of their own. The space of a partitioned table is in its
/// partitions, which a vacuum of the table includes. A table may be vacuumed by its owner, by the owner of the database,
/// and since PostgreSQL 17 by roles with the MAINTAIN privilege. `$1` are the tables, `$2` their schemas.
const TABLES: &str = "
    SELECT c.relname::text AS name,
           sum(pg_stat_get_live_tuples(p.oid))::bigint AS live_rows,
           sum(pg_stat_get_dead_tuples(p.oid))::bigint AS dead_rows,
           sum(pg_total_relation_size(p.oid))::bigint AS bytes,
           sum((SELECT coalesce(sum(pg_relation_size(f) * pg_stat_get_dead_tuples(f)::float8
                                    / nullif(pg_stat_get_live_tuples(f) + pg_stat_get_dead_tuples(f), 0)), 0)
                FROM unnest(ARRAY[p.oid, nullif(p.reltoastrelid, 0)]) f))::bigint AS reclaimable_bytes,
           to_char(max(pg_stat_get_last_vacuum_time(p.oid)) AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')
               AS last_vacuum,
           to_char(max(pg_stat_get_last_autovacuum_time(p.oid)) AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')
               AS last_autovacuum,
           bool_and(pg_has_role(p.relowner, 'USAGE') OR pg_has_role(d.datdba, 'USAGE')
                    OR CASE WHEN current_setting('server_version_num')::int >= 170000
                            THEN has_table_privilege(p.oid, 'MAINTAIN') ELSE false END) AS may_vacuum
    FROM unnest($1, $2) AS t (name, schema)
    JOIN pg_namespace n ON n.nspname = t.schema
    JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = t.name
    JOIN pg_database d ON d.datname = current_database()
    CROSS JOIN LATERAL unnest(c.oid || ARRAY(SELECT relid::oid FROM pg_partition_tree(c.oid)
                                             WHERE isleaf AND c.relkind = 'p')) AS part (oid)
    JOIN pg_class p ON p.oid = part.oid
    WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't'
    GROUP BY c.oid, c.relname
    ORDER BY c.relname";
