//! The parameters of the data transaction, so that defaults of the role, the database or the server neither abort nor
//! distort the load. They are reset at the end of the transaction.

use std::time::Duration;

use crate::database::connection::milliseconds;
use crate::database::namespace::Namespace;
use crate::database::time_limits;
use crate::database::transaction::SearchPath;

/// The statements to run first in every transaction that writes or reads back rows.
///
/// `default_toast_compression` is left to the caller. `maintenance_work_mem` is not changed: more than the default of
/// 64 MB made b-trees no faster, and GIN indexes slower and larger.
pub(crate) fn statements(namespace: &Namespace, lock_timeout: Duration) -> String {
    // The path first: the settings are chosen by functions and operators.
    let path = SearchPath::Empty.statements(namespace);
    let (lift, lock) = (time_limits::lift(), milliseconds(lock_timeout));
    format!("{path}; {lift}; SET LOCAL lock_timeout = {lock}; {SETTINGS}")
}

/// Settings that an older server does not have are skipped.
const SETTINGS: &str = include_str!("session_settings.sql");

/// To run before rows are read back. Large values are stored outside their table, so that the planner considers the
/// table too small for parallel workers. This setting makes it use them for small queries too.
pub(crate) const PARALLEL: &str = "SET LOCAL parallel_setup_cost = 0; SET LOCAL parallel_tuple_cost = 0;
    SET LOCAL min_parallel_table_scan_size = 0";
