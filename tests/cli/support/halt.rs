//! Blocks the binary on the server until the returned transaction ends.

use super::Database;
use super::process::Held;

/// Takes the lock that the blocked statements wait for.
const HOLD: &str = "SELECT pg_advisory_xact_lock(4711)";

/// Waits without waiting for a lock, which may have a limit.
const LOOK_AGAIN: &str = "WHILE NOT pg_try_advisory_xact_lock_shared(4711) LOOP PERFORM pg_sleep(0.01); END LOOP;";

impl Held {
    /// Makes every COMMIT wait that follows an event on a PostgreSQL table: a deferred trigger runs inside the COMMIT.
    pub(crate) fn halt_commits(database: &Database, table: &str, event: &str) -> Self {
        database.execute(&format!(
            "CREATE FUNCTION halt() RETURNS trigger LANGUAGE plpgsql SET search_path = public AS $$ BEGIN {LOOK_AGAIN} RETURN NULL; END $$;
             CREATE CONSTRAINT TRIGGER halt AFTER {event} ON {table} DEFERRABLE INITIALLY DEFERRED
             FOR EACH ROW EXECUTE FUNCTION halt();"
        ));
        Self::begin(database, HOLD)
    }

    /// Waits until the binary is blocked in a COMMIT.
    pub(crate) fn wait_for_halted_commit(database: &Database) {
        database.wait_until(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
             AND application_name = 'tarsy' AND query = 'COMMIT' AND wait_event = 'PgSleep'",
        );
    }

    /// Makes an INSERT or a COPY wait, for a lock, at each row for which a condition on `NEW` holds.
    pub(crate) fn halt_inserts(database: &Database, table: &str, condition: &str) -> Self {
        database.execute(&format!(
            "CREATE FUNCTION halt() RETURNS trigger LANGUAGE plpgsql SET search_path = public AS $$ BEGIN
                 PERFORM pg_advisory_xact_lock_shared(4711); RETURN NEW; END $$;
             CREATE TRIGGER halt BEFORE INSERT ON {table} FOR EACH ROW WHEN ({condition}) EXECUTE FUNCTION halt();"
        ));
        Self::begin(database, HOLD)
    }

    /// Makes a batch of `prune` wait before its commit.
    pub(crate) fn halt_removals(database: &Database) -> Self {
        database.execute(&format!(
            "CREATE FUNCTION halt() RETURNS trigger LANGUAGE plpgsql SET search_path = public AS $$ BEGIN {LOOK_AGAIN} RETURN OLD; END $$;
             CREATE TRIGGER halt BEFORE DELETE ON alert_sessions FOR EACH ROW EXECUTE FUNCTION halt()"
        ));
        Self::begin(database, HOLD)
    }

    /// Waits until a batch has been blocked for so many seconds.
    pub(crate) fn wait_for_halted_removal(database: &Database, seconds: &str) {
        database.wait_until(&format!(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'tarsy'
             AND query LIKE '%DELETE FROM %_alert_sessions_ WHERE %' AND wait_event = 'PgSleep'
             AND query_start < clock_timestamp() - interval '{seconds} s'"
        ));
    }
}
