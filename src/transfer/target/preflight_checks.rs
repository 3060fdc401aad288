//! The SQL statements of the preflight.

use super::obstacle::{ObstacleKind, ObstacleSeverity};
use super::operation::Operation;
use crate::schema::lock;

/// The operations that a check applies to.
const ANY: &[Operation] = &[Operation::Move, Operation::Append];
const MOVE: &[Operation] = &[Operation::Move];
const APPEND: &[Operation] = &[Operation::Append];

/// Each statement returns rows of three texts: the object, the problem and what to do. The statements are ASCII: with
/// some encodings the server could not read anything else.
pub(crate) const CHECKS: [(ObstacleKind, ObstacleSeverity, &[Operation], &str); 30] = [
    (ObstacleKind::Standby, ObstacleSeverity::Refusal, ANY, STANDBY),
    (ObstacleKind::ReadOnly, ObstacleSeverity::Refusal, ANY, READ_ONLY),
    (ObstacleKind::Encoding, ObstacleSeverity::Refusal, ANY, ENCODING),
    (ObstacleKind::Privilege, ObstacleSeverity::Refusal, ANY, NO_SCHEMA),
    (ObstacleKind::Privilege, ObstacleSeverity::Refusal, MOVE, CREATE),
    (ObstacleKind::Privilege, ObstacleSeverity::Refusal, ANY, TEMPORARY),
    (ObstacleKind::Privilege, ObstacleSeverity::Refusal, MOVE, OWNERSHIP),
    (ObstacleKind::Privilege, ObstacleSeverity::Refusal, MOVE, TABLE_PRIVILEGES),
    (ObstacleKind::Privilege, ObstacleSeverity::Refusal, APPEND, APPEND_PRIVILEGES),
    (ObstacleKind::Privilege, ObstacleSeverity::Refusal, ANY, LEDGER_PRIVILEGES),
    (ObstacleKind::Privilege, ObstacleSeverity::Refusal, ANY, SEQUENCE_PRIVILEGES),
    (ObstacleKind::Name, ObstacleSeverity::Refusal, ANY, NAMES),
    (ObstacleKind::Name, ObstacleSeverity::Refusal, ANY, TYPES),
    (ObstacleKind::Schema, ObstacleSeverity::Warning, ANY, SCHEMAS),
    (ObstacleKind::Inheritance, ObstacleSeverity::Refusal, MOVE, PARTITIONS),
    (ObstacleKind::Inheritance, ObstacleSeverity::Warning, ANY, INHERITANCE),
    (ObstacleKind::Unlogged, ObstacleSeverity::Refusal, ANY, UNLOGGED),
    (ObstacleKind::Column, ObstacleSeverity::Refusal, ANY, COLUMNS),
    (ObstacleKind::Condition, ObstacleSeverity::Warning, ANY, CONDITIONS),
    (ObstacleKind::Trigger, ObstacleSeverity::Warning, ANY, TRIGGERS),
    (ObstacleKind::EventTrigger, ObstacleSeverity::Warning, MOVE, EVENT_TRIGGERS),
    (ObstacleKind::Rule, ObstacleSeverity::Warning, MOVE, RULES),
    (ObstacleKind::Rule, ObstacleSeverity::Warning, APPEND, APPEND_RULES),
    (ObstacleKind::RowSecurity, ObstacleSeverity::Refusal, ANY, ROW_SECURITY),
    (ObstacleKind::Publication, ObstacleSeverity::Warning, MOVE, PUBLICATIONS),
    (ObstacleKind::Subscription, ObstacleSeverity::Warning, ANY, SUBSCRIPTIONS),
    (ObstacleKind::Lock, ObstacleSeverity::Warning, MOVE, LOCKS),
    (ObstacleKind::Prepared, ObstacleSeverity::Refusal, MOVE, PREPARED),
    (ObstacleKind::SynchronousStandby, ObstacleSeverity::Warning, ANY, SYNCHRONOUS_STANDBY),
    (ObstacleKind::TemporaryFiles, ObstacleSeverity::Warning, MOVE, TEMPORARY_FILES),
];

/// The complete statement of a check.
pub(crate) fn statement(check: &str) -> String {
    format!("{OURS} {check}").replace("{advisory}", &advisory_lock())
}

/// The CTEs of all checks. `wanted`: the tables to fill. `known`: their columns. `ours`: the wanted tables that exist.
/// `place`: the schema in which missing tables are created. `reset`: how to reset a setting.
pub(crate) const OURS: &str = "
    WITH wanted AS (SELECT unnest($1::text[]) AS name),
    known AS (SELECT unnest($2::text[]) AS place),
    ours AS (
        SELECT c.*, c.oid::regclass::text AS name FROM pg_class c JOIN wanted ON c.relname = wanted.name
        WHERE pg_table_is_visible(c.oid) AND c.relkind IN ('r', 'p') AND c.relpersistence <> 't'),
    place AS (
        SELECT coalesce((SELECT relnamespace FROM ours WHERE relname = 'alert_sessions'),
                        to_regnamespace(quote_ident(current_schema()))) AS schema),
    reset AS (
        SELECT name, CASE source
            WHEN 'user' THEN format('ALTER ROLE %I RESET %s', session_user, name)
            WHEN 'database' THEN format('ALTER DATABASE %I RESET %s', current_database(), name)
            WHEN 'database user' THEN
                format('ALTER ROLE %I IN DATABASE %I RESET %s', session_user, current_database(), name)
            ELSE format('remove `%s` from the server''s configuration', name) END AS advice
        FROM pg_settings)";

const STANDBY: &str = "
    SELECT 'the server', 'is a standby, which is read-only', 'connect to the primary' WHERE pg_is_in_recovery()";

const READ_ONLY: &str = "
    SELECT 'the database', 'is read-only for this role: `default_transaction_read_only` is on', advice
    FROM reset
    WHERE name = 'default_transaction_read_only' AND NOT pg_is_in_recovery()
      AND current_setting('default_transaction_read_only')::boolean";

const ENCODING: &str = "
    SELECT 'the database', format('has the encoding %s, but a history needs UTF8', e),
           'create another one: CREATE DATABASE ... ENCODING ''UTF8'' TEMPLATE template0'
    FROM current_setting('server_encoding') e WHERE e <> 'UTF8'";

const NO_SCHEMA: &str = "
    SELECT 'the search path',
           format('has no schema that exists and that role `%s` may use (permission denied): %s', current_user,
                  current_setting('search_path')),
           format('GRANT USAGE, CREATE ON SCHEMA ... TO %I, or ALTER ROLE %1$I SET search_path = ...', current_user)
    WHERE current_schema() IS NULL";

/// Without this privilege even the owner of a table cannot create an index on it.
const CREATE: &str = "
    SELECT format('schema %s', n.nspname),
           format('cannot be used by role `%s` to create tables and indexes: permission denied, needs CREATE', current_user),
           format('GRANT CREATE ON SCHEMA %I TO %I', n.nspname, current_user)
    FROM pg_namespace n
    WHERE n.oid IN (SELECT relnamespace FROM ours UNION SELECT schema FROM place)
      AND NOT has_schema_privilege(n.oid, 'CREATE')";

/// The expected schema is replayed in temporary tables.
const TEMPORARY: &str = "
    SELECT 'the database', format('cannot be used by role `%s` to create temporary tables: permission denied, needs TEMPORARY',
                                 current_user),
           format('GRANT TEMPORARY ON DATABASE %I TO %I', current_database(), current_user)
    WHERE NOT has_database_privilege(current_database(), 'TEMPORARY')";

/// The load drops and recreates indexes and foreign keys, including those of other tables that reference TARSy's.
const OWNERSHIP: &str = "
    SELECT string_agg(o.oid::regclass::text, ', ' ORDER BY o.oid::regclass::text),
           format('%s to role `%s`: permission denied for role `%s` to drop and recreate indexes and foreign keys',
                  CASE count(*) WHEN 1 THEN 'belongs' ELSE 'belong' END, pg_get_userbyid(o.relowner), current_user),
           format('connect as `%s`, or GRANT %1$I TO %I', pg_get_userbyid(o.relowner), current_user)
    FROM (SELECT oid, relowner FROM ours
          UNION SELECT c.oid, c.relowner FROM pg_constraint f JOIN pg_class c ON c.oid = f.conrelid
                WHERE f.contype = 'f' AND f.confrelid IN (SELECT oid FROM ours)) o
    WHERE NOT pg_has_role(o.relowner, 'USAGE')
    GROUP BY o.relowner";

/// Owners can revoke their own privileges.
const TABLE_PRIVILEGES: &str = "
    SELECT name, format('cannot be used by role `%s`: permission denied, needs %s', current_user,
                        string_agg(p, ', ' ORDER BY p)),
           format('GRANT %s ON %s TO %I', string_agg(p, ', ' ORDER BY p), name, current_user)
    FROM ours, unnest(ARRAY ['SELECT', 'INSERT', 'TRUNCATE', 'REFERENCES']) p
    WHERE pg_has_role(relowner, 'USAGE') AND NOT has_table_privilege(oid, p)
    GROUP BY name";

/// Locking a row requires UPDATE.
const APPEND_PRIVILEGES: &str = "
    SELECT name, format('cannot be used by role `%s`: permission denied, needs %s', current_user,
                        string_agg(p, ', ' ORDER BY p)),
           format('GRANT %s ON %s TO %I', string_agg(p, ', ' ORDER BY p), name, current_user)
    FROM ours, unnest(ARRAY ['SELECT', 'INSERT', 'UPDATE']) p
    WHERE NOT has_table_privilege(oid, p)
    GROUP BY name";

const LEDGER_PRIVILEGES: &str = "
    SELECT l.oid::regclass::text,
           format('cannot be used by role `%s`: permission denied, needs %s', current_user,
                        string_agg(p, ', ' ORDER BY p)),
           format('GRANT %s ON %s TO %I', string_agg(p, ', ' ORDER BY p), l.oid::regclass, current_user)
    FROM pg_class l, unnest(ARRAY ['SELECT', 'INSERT', 'UPDATE', 'DELETE']) p
    WHERE l.relname = 'alembic_version' AND l.relkind = 'r' AND pg_table_is_visible(l.oid)
      AND NOT has_table_privilege(l.oid, p)
      -- It is written only if tables are created.
      AND (p = 'SELECT' OR (SELECT count(*) FROM ours) < (SELECT count(*) FROM wanted))
    GROUP BY l.oid";

const SEQUENCE_PRIVILEGES: &str = "
    SELECT d.objid::regclass::text, format('cannot be set by role `%s`: permission denied, needs UPDATE', current_user),
           format('GRANT UPDATE ON SEQUENCE %s TO %I', d.objid::regclass, current_user)
    FROM ours JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = ours.oid
         AND d.classid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')
    JOIN pg_class s ON s.oid = d.objid
    -- For other relations the function fails, and only CASE guarantees the order of evaluation.
    WHERE CASE WHEN s.relkind = 'S' THEN NOT has_sequence_privilege(s.oid, 'UPDATE') END";

/// In the schema in which a table would be created, or hiding a table of another schema.
const NAMES: &str = "
    SELECT format('%s %s', kind, c.relname), 'has the name of one of TARSy''s tables',
           CASE WHEN kind = 'partitioned table' THEN 'use a new database: COPY FREEZE does not support partitioned tables'
                WHEN kind = 'temporary table' THEN 'connect with a new session: it hides the table of that name'
                ELSE format('rename it, or use another database or schema: ALTER %s %s RENAME TO ...',
                            -- In SQL, a composite type is a TYPE.
                            upper(replace(kind, 'composite ', '')), c.oid::regclass) END
    FROM pg_class c, LATERAL (SELECT CASE WHEN c.relpersistence = 't' THEN 'temporary table' ELSE CASE c.relkind
        WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' WHEN 'f' THEN 'foreign table' WHEN 'S' THEN 'sequence'
        WHEN 'p' THEN 'partitioned table' WHEN 'c' THEN 'composite type' ELSE 'index' END END AS kind) k
    WHERE (c.relname IN (SELECT name FROM wanted) OR c.relname = 'alembic_version') AND pg_table_is_visible(c.oid)
      AND CASE WHEN c.relpersistence = 't' OR c.relkind = 'p' THEN true
               ELSE c.relkind <> 'r' AND (c.relnamespace = (SELECT schema FROM place) OR EXISTS (
                   SELECT FROM pg_class t JOIN pg_namespace n ON n.oid = t.relnamespace
                   WHERE t.relname = c.relname AND t.relkind = 'r' AND n.nspname = ANY (current_schemas(false)))) END";

/// Every table has a row type of its name, so a domain or an enum of that name prevents its creation.
const TYPES: &str = "
    SELECT format('type %s', t.typname), 'has the name of one of TARSy''s tables',
           format('rename it: ALTER TYPE %s RENAME TO ...', t.oid::regtype)
    FROM pg_type t
    WHERE (t.typname IN (SELECT name FROM wanted) OR t.typname = 'alembic_version')
      AND t.typrelid = 0 AND t.typelem = 0 AND t.typnamespace = (SELECT schema FROM place)";

/// The backend may use the tables of another schema.
const SCHEMAS: &str = "
    SELECT string_agg(c.oid::regclass::text, ', ' ORDER BY c.oid::regclass::text),
           format(CASE WHEN count(*) = 1 THEN 'is' ELSE 'are' END
                  || CASE WHEN is_visible THEN ' in another schema than the other tables, which are in schema %s'
                          ELSE ' not used: rows are written to the tables in schema %s' END, schema::regnamespace),
           'make sure that the backend''s role has the same search_path as yours'
    FROM pg_class c, place, LATERAL (SELECT pg_table_is_visible(c.oid) AS is_visible) v
    WHERE c.relname IN (SELECT name FROM wanted) AND c.relkind IN ('r', 'p') AND c.relpersistence <> 't'
      AND c.relnamespace <> schema AND has_schema_privilege(c.relnamespace, 'USAGE')
    GROUP BY schema, is_visible";

const PARTITIONS: &str = "
    SELECT name, format('is a partition of %s: its indexes and foreign keys cannot be dropped', inhparent::regclass),
           format('ALTER TABLE %s DETACH PARTITION %s', inhparent::regclass, name)
    FROM ours JOIN pg_inherits ON inhrelid = ours.oid WHERE relispartition";

const INHERITANCE: &str = "
    SELECT name, format('inherits from %s, where its rows will be visible too', inhparent::regclass),
           format('if that is not intended: ALTER TABLE %s NO INHERIT %s', name, inhparent::regclass)
    FROM ours JOIN pg_inherits ON inhrelid = ours.oid WHERE NOT relispartition
    UNION ALL
    SELECT name, format('has the child table %s, whose rows are visible in it', inhrelid::regclass),
           format('if that is not intended: ALTER TABLE %s NO INHERIT %s', inhrelid::regclass, name)
    FROM ours JOIN pg_inherits ON inhparent = ours.oid WHERE relkind = 'r'";

const UNLOGGED: &str = "
    SELECT name, 'is UNLOGGED: a crash of the server empties it', format('ALTER TABLE %s SET LOGGED', name)
    FROM ours WHERE relpersistence = 'u'";

const COLUMNS: &str = "
    SELECT format('%s.%I', name, attname),
           CASE WHEN attgenerated <> '' THEN 'is a generated column, into which no value can be copied'
                ELSE 'is NOT NULL without a default, and the source has no value for it' END,
           CASE WHEN attgenerated <> '' THEN format('ALTER TABLE %s ALTER %I DROP EXPRESSION', name, attname)
                ELSE format('ALTER TABLE %s ALTER %I DROP NOT NULL, or SET DEFAULT ...', name, attname) END
    FROM ours JOIN pg_attribute ON attrelid = ours.oid AND attnum > 0 AND NOT attisdropped,
         LATERAL (SELECT format('%s.%s', relname, attname) IN (SELECT place FROM known) AS is_known) k
    WHERE CASE WHEN is_known THEN attgenerated <> ''
               ELSE attnotnull AND NOT atthasdef AND attidentity = '' END";

const CONDITIONS: &str = "
    SELECT name, format('has a constraint of your own that every row must satisfy: %I %s', conname,
                        pg_get_constraintdef(k.oid)),
           format('if it is not intended for old rows: ALTER TABLE %s DROP CONSTRAINT %I', name, conname)
    FROM ours JOIN pg_constraint k ON conrelid = ours.oid WHERE contype IN ('c', 'x')";

/// Disabled triggers and replica triggers do not fire. Bits of `tgtype`: 1 row, 2 before, 4 insert, 32 truncate.
const TRIGGERS: &str = "
    SELECT name, format('has the trigger `%s` (%s %s): %s', tgname,
                        CASE WHEN tgtype & 2 = 0 THEN 'after' ELSE 'before' END,
                        CASE WHEN tgtype & 4 = 0 THEN 'truncate' WHEN tgtype & 1 = 0 THEN 'insert, once' ELSE
                             'insert, for each row' END,
                        CASE WHEN tgtype & 7 = 7 THEN 'if it changes or skips a row, the comparison fails and the move is rolled back'
                             ELSE 'it also fires for these old rows' END),
           format('ALTER TABLE %s DISABLE TRIGGER %I, and ENABLE it after the move', name, tgname)
    FROM ours JOIN pg_trigger ON tgrelid = ours.oid
    WHERE NOT tgisinternal AND tgenabled IN ('O', 'A') AND tgtype & 36 <> 0";

const EVENT_TRIGGERS: &str = "
    SELECT format('event trigger %I', evtname),
           format('fires when indexes and foreign keys are dropped and recreated, and runs %s', evtfoid::regprocedure),
           format('ALTER EVENT TRIGGER %I DISABLE, and ENABLE it after the move', evtname)
    FROM pg_event_trigger
    WHERE evtenabled IN ('O', 'A') AND evtevent IN ('ddl_command_start', 'ddl_command_end', 'sql_drop', 'table_rewrite')
      AND (evttags IS NULL OR evttags && ARRAY ['ALTER TABLE', 'CREATE INDEX', 'DROP INDEX', 'COMMENT', 'CREATE TABLE'])";

const RULES: &str = "
    SELECT name, format('has the rule `%s`, which COPY does not run', rulename),
           'after the move, do by hand what the rule would have done'
    FROM ours JOIN pg_rewrite ON ev_class = ours.oid WHERE ev_type = '3' AND ev_enabled IN ('O', 'A')";

const APPEND_RULES: &str = "
    SELECT name, format('has the rule `%s` on INSERT, which also applies to the appended rows', rulename),
           'make sure that it is intended for old rows'
    FROM ours JOIN pg_rewrite ON ev_class = ours.oid WHERE ev_type = '3' AND ev_enabled IN ('O', 'A')";

const ROW_SECURITY: &str = "
    SELECT name, format('has row-level security, which applies to role `%s` and prevents COPY%s', current_user,
                        (SELECT format(' (policy %s)', string_agg(format('`%s`', polname), ', ' ORDER BY polname))
                         FROM pg_policy WHERE polrelid = ours.oid HAVING count(*) > 0)),
           CASE WHEN pg_has_role(relowner, 'USAGE') THEN
                    format('ALTER TABLE %s NO FORCE ROW LEVEL SECURITY, and FORCE it after the move', name)
                ELSE format('connect as the owner, `%s`, or as a role with BYPASSRLS', pg_get_userbyid(relowner)) END
    FROM ours WHERE row_security_active(oid)";

/// A publication FOR ALL TABLES includes tables that do not exist yet.
const PUBLICATIONS: &str = "
    SELECT format('publication %I', p.pubname),
           format('sends the loaded rows to its subscribers%s: %s',
                  CASE WHEN p.pubtruncate THEN ', which first TRUNCATE their tables' ELSE '' END, t.tables),
           'make sure that the subscribers have these tables, empty and at the same revision, or drop them from the'
           || ' publication before the move'
    FROM pg_publication p, LATERAL (
        SELECT CASE WHEN p.puballtables THEN 'all tables'
                    ELSE (SELECT string_agg(ours.name, ', ' ORDER BY ours.name)
                          FROM ours JOIN pg_publication_tables l
                               ON l.schemaname = ours.relnamespace::regnamespace::name AND l.tablename = ours.relname
                          WHERE l.pubname = p.pubname) END AS tables) t
    WHERE t.tables IS NOT NULL AND p.pubinsert";

const SUBSCRIPTIONS: &str = "
    SELECT format('subscription %I', s.subname),
           format('writes rows of another database to %s', string_agg(ours.name, ', ' ORDER BY ours.name)),
           format('ALTER SUBSCRIPTION %I DISABLE before the move, and check afterwards which rows it still writes', s.subname)
    FROM ours JOIN pg_subscription_rel r ON r.srrelid = ours.oid JOIN pg_subscription s ON s.oid = r.srsubid
    GROUP BY s.subname";

/// What the role may not see of another session is left out. A process without a role belongs to the server and
/// releases its locks by itself.
const LOCKS: &str = "
    SELECT format('pid %s', a.pid),
           format('(role %s%s%s%s) locks %s', a.usename, ', application `' || a.application_name || '`', ', ' || a.state,
                  ', for ' || extract(epoch FROM clock_timestamp() - a.xact_start)::bigint || 's',
                  string_agg(DISTINCT coalesce(ours.name, 'the database for another tarsy-db'), ', ')),
           'tarsy-db waits for it up to `--lock-timeout`: stop TARSy''s backend and all other sessions on the target'
    FROM pg_locks l JOIN pg_stat_activity a USING (pid) LEFT JOIN ours ON l.locktype = 'relation' AND l.relation = ours.oid
    WHERE l.granted AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND l.pid <> pg_backend_pid() AND a.usename IS NOT NULL AND (ours.oid IS NOT NULL OR {advisory})
    GROUP BY a.pid, a.usename, a.application_name, a.state, a.xact_start";

/// A prepared transaction has no session; its locks are found by its transaction ID.
const PREPARED: &str = "
    SELECT format('the prepared transaction `%s`', p.gid),
           format('of role %s, prepared at %s, locks %s', p.owner, to_char(p.prepared AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'),
                  string_agg(DISTINCT ours.name, ', ')),
           format('COMMIT PREPARED %L, or ROLLBACK PREPARED %1$L', p.gid)
    FROM pg_prepared_xacts p
    JOIN pg_locks x ON x.locktype = 'transactionid' AND x.transactionid = p.transaction AND x.pid IS NULL
    JOIN pg_locks l ON l.virtualtransaction = x.virtualtransaction AND l.pid IS NULL AND l.locktype = 'relation'
    JOIN ours ON ours.oid = l.relation
    GROUP BY p.gid, p.owner, p.prepared";

/// If the role lacks the privilege, `sync_state` is NULL.
const SYNCHRONOUS_STANDBY: &str = "
    SELECT '`synchronous_standby_names`', format('is `%s`, but no synchronous standby is connected: the commit may wait forever', names),
           'make sure that one is connected before the move'
    FROM current_setting('synchronous_standby_names') names
    WHERE names <> '' AND current_setting('synchronous_commit') NOT IN ('off', 'local')
      AND NOT EXISTS (SELECT FROM pg_stat_replication WHERE sync_state IN ('sync', 'quorum'))";

const TEMPORARY_FILES: &str = "
    SELECT '`temp_file_limit`', format('is %s, which may be too little to build the index of a large table', limit_is), advice
    FROM reset, current_setting('temp_file_limit') limit_is WHERE name = 'temp_file_limit' AND limit_is <> '-1'";

/// The condition that `l` is tarsy-db's advisory lock.
fn advisory_lock() -> String {
    let (high, low) = (lock::KEY >> 32, lock::KEY & 0xffff_ffff);
    format!("l.locktype = 'advisory' AND l.classid = {high} AND l.objid = {low} AND l.objsubid = 1")
}
