//! What the data transaction sets for itself, so that what a role, a database or a server has for everyday work
//! neither ends the load nor falsifies it. Everything ends with the transaction.

/// To be run first in every transaction that writes or reads back rows, as several statements in one. Settings that a
/// server of an older version does not have are passed over.
///
/// `lock_timeout` is left as the user chose it, `default_toast_compression` to the caller. So is
/// `maintenance_work_mem`: more than the default of 64 MB made b-trees no faster, and GIN indexes slower and larger.
pub(crate) const SETTINGS: &str = "
    -- What a deferred trigger does would come after the comparison, and until then nothing could be altered.
    SET CONSTRAINTS ALL IMMEDIATE;
    SELECT set_config(name, value, true) FROM (
        SELECT name, CASE
            -- Limits for everyday queries.
            WHEN name IN ('statement_timeout', 'idle_in_transaction_session_timeout', 'transaction_timeout') THEN '0'
            -- A client that is gone is noticed while an index is built, too, and its locks and its disk are free.
            WHEN name = 'client_connection_check_interval' AND setting = '0' AND version() LIKE '%linux%' THEN '1s'
            -- Otherwise a crash right after it could undo a commit that was reported.
            WHEN name = 'synchronous_commit' AND setting = 'off' THEN 'local'
            -- In `replica` foreign keys are not looked after. Only few may set it: what they may not is an obstacle.
            WHEN name = 'session_replication_role' AND setting <> 'origin' THEN 'origin'
            -- A policy that hides rows from the comparison becomes an error.
            WHEN name = 'row_security' THEN 'off'
            -- A definition does not say that an index is where the database is.
            WHEN name = 'default_tablespace' THEN ''
            WHEN name = 'jit' THEN 'off'
        END AS value
        FROM pg_settings) chosen
    WHERE value IS NOT NULL";

/// To be run before rows are read back: large values are elsewhere than in their table, which therefore looks too small
/// for parallel workers. With this set, the server starts them for every small query as well.
pub(crate) const PARALLEL: &str = "SET LOCAL parallel_setup_cost = 0; SET LOCAL parallel_tuple_cost = 0;
    SET LOCAL min_parallel_table_scan_size = 0";
