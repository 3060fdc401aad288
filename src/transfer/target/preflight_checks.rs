//! The statements that find what is in the way on the target.

use super::obstacle::{ObstacleKind, ObstacleSeverity};
use super::operation::Operation;
use crate::schema::lock;

/// The work that a check is for.
const ANY: &[Operation] = &[Operation::Move, Operation::Append];
const MOVE: &[Operation] = &[Operation::Move];
const APPEND: &[Operation] = &[Operation::Append];

/// Each gives rows of three texts: the object, what is the matter with it, and what to do. All of them are ASCII: in
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

/// The whole statement of a check.
pub(crate) fn statement(check: &str) -> String {
    format!("{OURS} {check}").replace("{advisory}", &advisory_lock())
}

/// What all of them begin with: the tables that are wanted, the columns that may be filled, those of the tables that
/// are there, the schema in which the others come to be, and where a setting comes from.
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
            ELSE format('take `%s` out of the server''s configuration', name) END AS advice
        FROM pg_settings)";

const STANDBY: &str = "
    SELECT 'the server', 'is a standby, which takes no writes', 'connect to the primary' WHERE pg_is_in_recovery()";

const READ_ONLY: &str = "
    SELECT 'the database', 'takes no writes of this role: `default_transaction_read_only` is on', advice
    FROM reset
    WHERE name = 'default_transaction_read_only' AND NOT pg_is_in_recovery()
      AND current_setting('default_transaction_read_only')::boolean";

const ENCODING: &str = "
    SELECT 'the database', format('has the encoding %s, and a history needs UTF8', e),
           'CREATE DATABASE ... ENCODING ''UTF8'' TEMPLATE template0'
    FROM current_setting('server_encoding') e WHERE e <> 'UTF8'";

const NO_SCHEMA: &str = "
    SELECT 'the search path',
           format('leads to no schema that role `%s` may use (permission denied, or there is none): %s', current_user,
                  current_setting('search_path')),
           format('GRANT USAGE, CREATE ON SCHEMA ... TO %I, or ALTER ROLE %1$I SET search_path = ...', current_user)
    WHERE current_schema() IS NULL";

/// Whoever owns a table cannot build an index on it without this.
const CREATE: &str = "
    SELECT format('schema %s', n.nspname),
           format('is closed: permission denied for role `%s` to create tables and indexes', current_user),
           format('GRANT CREATE ON SCHEMA %I TO %I', n.nspname, current_user)
    FROM pg_namespace n
    WHERE n.oid IN (SELECT relnamespace FROM ours UNION SELECT schema FROM place)
      AND NOT has_schema_privilege(n.oid, 'CREATE')";

/// The shape that the tables should have is replayed with temporary ones.
const TEMPORARY: &str = "
    SELECT 'the database', format('is closed: permission denied for role `%s` to create temporary tables', current_user),
           format('GRANT TEMPORARY ON DATABASE %I TO %I', current_database(), current_user)
    WHERE NOT has_database_privilege(current_database(), 'TEMPORARY')";

/// Indexes and foreign keys are set aside, also those that lead here from an operator's tables.
const OWNERSHIP: &str = "
    SELECT string_agg(o.oid::regclass::text, ', ' ORDER BY o.oid::regclass::text),
           format('%s to role `%s`: permission denied for `%s` to set indexes and foreign keys aside',
                  CASE count(*) WHEN 1 THEN 'belongs' ELSE 'belong' END, pg_get_userbyid(o.relowner), current_user),
           format('connect as `%s`, or GRANT %1$I TO %I', pg_get_userbyid(o.relowner), current_user)
    FROM (SELECT oid, relowner FROM ours
          UNION SELECT c.oid, c.relowner FROM pg_constraint f JOIN pg_class c ON c.oid = f.conrelid
                WHERE f.contype = 'f' AND f.confrelid IN (SELECT oid FROM ours)) o
    WHERE NOT pg_has_role(o.relowner, 'USAGE')
    GROUP BY o.relowner";

/// Owners can take rights from themselves.
const TABLE_PRIVILEGES: &str = "
    SELECT name, format('is closed: permission denied for role `%s` to %s', current_user, string_agg(p, ', ' ORDER BY p)),
           format('GRANT %s ON %s TO %I', string_agg(p, ', ' ORDER BY p), name, current_user)
    FROM ours, unnest(ARRAY ['SELECT', 'INSERT', 'TRUNCATE', 'REFERENCES']) p
    WHERE pg_has_role(relowner, 'USAGE') AND NOT has_table_privilege(oid, p)
    GROUP BY name";

/// Holding a row needs the right to alter it.
const APPEND_PRIVILEGES: &str = "
    SELECT name, format('is closed: permission denied for role `%s` to %s', current_user, string_agg(p, ', ' ORDER BY p)),
           format('GRANT %s ON %s TO %I', string_agg(p, ', ' ORDER BY p), name, current_user)
    FROM ours, unnest(ARRAY ['SELECT', 'INSERT', 'UPDATE']) p
    WHERE NOT has_table_privilege(oid, p)
    GROUP BY name";

const LEDGER_PRIVILEGES: &str = "
    SELECT l.oid::regclass::text,
           format('is closed: permission denied for role `%s` to %s', current_user, string_agg(p, ', ' ORDER BY p)),
           format('GRANT %s ON %s TO %I', string_agg(p, ', ' ORDER BY p), l.oid::regclass, current_user)
    FROM pg_class l, unnest(ARRAY ['SELECT', 'INSERT', 'UPDATE', 'DELETE']) p
    WHERE l.relname = 'alembic_version' AND l.relkind = 'r' AND pg_table_is_visible(l.oid)
      AND NOT has_table_privilege(l.oid, p)
      -- It is written only where something is created.
      AND (p = 'SELECT' OR (SELECT count(*) FROM ours) < (SELECT count(*) FROM wanted))
    GROUP BY l.oid";

const SEQUENCE_PRIVILEGES: &str = "
    SELECT d.objid::regclass::text, format('is closed: permission denied for role `%s` to set it', current_user),
           format('GRANT UPDATE ON SEQUENCE %s TO %I', d.objid::regclass, current_user)
    FROM ours JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = ours.oid
         AND d.classid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')
    JOIN pg_class s ON s.oid = d.objid
    -- Asked of anything else this is an error, and conditions have no order.
    WHERE CASE WHEN s.relkind = 'S' THEN NOT has_sequence_privilege(s.oid, 'UPDATE') END";

/// Where a table would be created, or where it hides one.
const NAMES: &str = "
    SELECT format('%s %s', kind, c.relname), 'has the name of one of TARSy''s tables',
           CASE WHEN kind = 'partitioned table' THEN 'use a new database: rows cannot be loaded frozen into its parts'
                WHEN kind = 'temporary table' THEN 'use a new session: it hides the real one'
                ELSE format('rename it, or use another database or schema: ALTER %s %s RENAME TO ...',
                            -- Its name in SQL: a composite type is a type.
                            upper(replace(kind, 'composite ', '')), c.oid::regclass) END
    FROM pg_class c, LATERAL (SELECT CASE WHEN c.relpersistence = 't' THEN 'temporary table' ELSE CASE c.relkind
        WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' WHEN 'f' THEN 'foreign table' WHEN 'S' THEN 'sequence'
        WHEN 'p' THEN 'partitioned table' WHEN 'c' THEN 'composite type' ELSE 'index' END END AS kind) k
    WHERE (c.relname IN (SELECT name FROM wanted) OR c.relname = 'alembic_version') AND pg_table_is_visible(c.oid)
      AND CASE WHEN c.relpersistence = 't' OR c.relkind = 'p' THEN true
               ELSE c.relkind <> 'r' AND (c.relnamespace = (SELECT schema FROM place) OR EXISTS (
                   SELECT FROM pg_class t JOIN pg_namespace n ON n.oid = t.relnamespace
                   WHERE t.relname = c.relname AND t.relkind = 'r' AND n.nspname = ANY (current_schemas(false)))) END";

/// Every table has a type of its name: a domain or an enumeration would be in its way.
const TYPES: &str = "
    SELECT format('type %s', t.typname), 'has the name of one of TARSy''s tables',
           format('rename it: ALTER TYPE %s RENAME TO ...', t.oid::regtype)
    FROM pg_type t
    WHERE (t.typname IN (SELECT name FROM wanted) OR t.typname = 'alembic_version')
      AND t.typrelid = 0 AND t.typelem = 0 AND t.typnamespace = (SELECT schema FROM place)";

/// Which of them does the backend mean?
const SCHEMAS: &str = "
    SELECT string_agg(c.oid::regclass::text, ', ' ORDER BY c.oid::regclass::text),
           format(CASE WHEN count(*) = 1 THEN 'is' ELSE 'are' END
                  || CASE WHEN is_visible THEN ' filled in another schema than the others, which are in %s'
                          ELSE ' there as well, beside those that are filled in schema %s' END, schema::regnamespace),
           'make sure that the search path of the backend''s role leads where yours does'
    FROM pg_class c, place, LATERAL (SELECT pg_table_is_visible(c.oid) AS is_visible) v
    WHERE c.relname IN (SELECT name FROM wanted) AND c.relkind IN ('r', 'p') AND c.relpersistence <> 't'
      AND c.relnamespace <> schema AND has_schema_privilege(c.relnamespace, 'USAGE')
    GROUP BY schema, is_visible";

const PARTITIONS: &str = "
    SELECT name, format('is a partition of %s: its indexes and foreign keys cannot be set aside', inhparent::regclass),
           format('ALTER TABLE %s DETACH PARTITION %s', inhparent::regclass, name)
    FROM ours JOIN pg_inherits ON inhrelid = ours.oid WHERE relispartition";

const INHERITANCE: &str = "
    SELECT name, format('inherits from %s, where its rows will be seen, too', inhparent::regclass),
           format('ALTER TABLE %s NO INHERIT %s, if that is not meant', name, inhparent::regclass)
    FROM ours JOIN pg_inherits ON inhrelid = ours.oid WHERE NOT relispartition
    UNION ALL
    SELECT name, format('has the child %s, whose rows are read as its own', inhrelid::regclass),
           format('ALTER TABLE %s NO INHERIT %s, if that is not meant', inhrelid::regclass, name)
    FROM ours JOIN pg_inherits ON inhparent = ours.oid WHERE relkind = 'r'";

const UNLOGGED: &str = "
    SELECT name, 'is UNLOGGED: a crash of the server empties it', format('ALTER TABLE %s SET LOGGED', name)
    FROM ours WHERE relpersistence = 'u'";

const COLUMNS: &str = "
    SELECT format('%s.%I', name, attname),
           CASE WHEN attgenerated <> '' THEN 'is generated and takes no value'
                ELSE 'must not be NULL, has no default, and the source has no value for it' END,
           CASE WHEN attgenerated <> '' THEN format('ALTER TABLE %s ALTER %I DROP EXPRESSION', name, attname)
                ELSE format('ALTER TABLE %s ALTER %I DROP NOT NULL, or SET DEFAULT ...', name, attname) END
    FROM ours JOIN pg_attribute ON attrelid = ours.oid AND attnum > 0 AND NOT attisdropped,
         LATERAL (SELECT format('%s.%s', relname, attname) IN (SELECT place FROM known) AS is_known) k
    WHERE CASE WHEN is_known THEN attgenerated <> ''
               ELSE attnotnull AND NOT atthasdef AND attidentity = '' END";

const CONDITIONS: &str = "
    SELECT name, format('has a condition of your own, which every row has to fulfil: %I %s', conname,
                        pg_get_constraintdef(k.oid)),
           format('ALTER TABLE %s DROP CONSTRAINT %I, if it is not meant for the past', name, conname)
    FROM ours JOIN pg_constraint k ON conrelid = ours.oid WHERE contype IN ('c', 'x')";

/// Disabled ones and those of replication do not fire. Bits of the type: 1 row, 2 before, 4 insert, 32 truncate.
const TRIGGERS: &str = "
    SELECT name, format('has the trigger `%s` (%s %s): %s', tgname,
                        CASE WHEN tgtype & 2 = 0 THEN 'after' ELSE 'before' END,
                        CASE WHEN tgtype & 4 = 0 THEN 'truncate' WHEN tgtype & 1 = 0 THEN 'insert, once' ELSE
                             'insert, for each row' END,
                        CASE WHEN tgtype & 7 = 7 THEN 'what it alters or leaves out ends the move when it is compared'
                             ELSE 'what it does beyond this table happens for the past, too' END),
           format('ALTER TABLE %s DISABLE TRIGGER %I, and ENABLE it afterwards', name, tgname)
    FROM ours JOIN pg_trigger ON tgrelid = ours.oid
    WHERE NOT tgisinternal AND tgenabled IN ('O', 'A') AND tgtype & 36 <> 0";

const EVENT_TRIGGERS: &str = "
    SELECT format('event trigger %I', evtname),
           format('fires when indexes and foreign keys are set aside and built again, and runs %s', evtfoid::regprocedure),
           format('ALTER EVENT TRIGGER %I DISABLE, and ENABLE it afterwards', evtname)
    FROM pg_event_trigger
    WHERE evtenabled IN ('O', 'A') AND evtevent IN ('ddl_command_start', 'ddl_command_end', 'sql_drop', 'table_rewrite')
      AND (evttags IS NULL OR evttags && ARRAY ['ALTER TABLE', 'CREATE INDEX', 'DROP INDEX', 'COMMENT', 'CREATE TABLE'])";

const RULES: &str = "
    SELECT name, format('has the rule `%s`, which COPY passes by: what it does with rows will not happen', rulename),
           'do it yourself afterwards'
    FROM ours JOIN pg_rewrite ON ev_class = ours.oid WHERE ev_type = '3' AND ev_enabled IN ('O', 'A')";

const APPEND_RULES: &str = "
    SELECT name, format('has the rule `%s`, which is about rows that are inserted, and so about these', rulename),
           'make sure that it is meant for the past'
    FROM ours JOIN pg_rewrite ON ev_class = ours.oid WHERE ev_type = '3' AND ev_enabled IN ('O', 'A')";

const ROW_SECURITY: &str = "
    SELECT name, format('has row-level security, to which role `%s` is subject: COPY is refused%s', current_user,
                        (SELECT format(' (policy %s)', string_agg(format('`%s`', polname), ', ' ORDER BY polname))
                         FROM pg_policy WHERE polrelid = ours.oid HAVING count(*) > 0)),
           CASE WHEN pg_has_role(relowner, 'USAGE') THEN
                    format('ALTER TABLE %s NO FORCE ROW LEVEL SECURITY, and FORCE it afterwards', name)
                ELSE format('connect as the owner, `%s`, or as a role with BYPASSRLS', pg_get_userbyid(relowner)) END
    FROM ours WHERE row_security_active(oid)";

/// A publication of all tables has those, too, that are not there yet.
const PUBLICATIONS: &str = "
    SELECT format('publication %I', p.pubname),
           format('sends the whole history to its subscribers%s: %s',
                  CASE WHEN p.pubtruncate THEN ', which empty their tables first' ELSE '' END, t.tables),
           'make sure that they have these tables at the same revision, and empty; or leave the tables out for now'
    FROM pg_publication p, LATERAL (
        SELECT CASE WHEN p.puballtables THEN 'all tables'
                    ELSE (SELECT string_agg(ours.name, ', ' ORDER BY ours.name)
                          FROM ours JOIN pg_publication_tables l
                               ON l.schemaname = ours.relnamespace::regnamespace::name AND l.tablename = ours.relname
                          WHERE l.pubname = p.pubname) END AS tables) t
    WHERE t.tables IS NOT NULL AND p.pubinsert";

const SUBSCRIPTIONS: &str = "
    SELECT format('subscription %I', s.subname),
           format('brings rows of another database to %s', string_agg(ours.name, ', ' ORDER BY ours.name)),
           format('ALTER SUBSCRIPTION %I DISABLE before, and see what it still brings afterwards', s.subname)
    FROM ours JOIN pg_subscription_rel r ON r.srrelid = ours.oid JOIN pg_subscription s ON s.oid = r.srsubid
    GROUP BY s.subname";

/// The session is named as far as the role may know. What has no role is the server's own, and gives way.
const LOCKS: &str = "
    SELECT format('pid %s', a.pid),
           format('(role %s%s%s%s) holds %s', a.usename, ', application `' || a.application_name || '`', ', ' || a.state,
                  ', for ' || extract(epoch FROM clock_timestamp() - a.xact_start)::bigint || 's',
                  string_agg(DISTINCT coalesce(ours.name, 'the lock of another tarsy-db'), ', ')),
           'it is waited for until `--lock-timeout`: stop TARSy''s backend and whatever else uses the target'
    FROM pg_locks l JOIN pg_stat_activity a USING (pid) LEFT JOIN ours ON l.locktype = 'relation' AND l.relation = ours.oid
    WHERE l.granted AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND l.pid <> pg_backend_pid() AND a.usename IS NOT NULL AND (ours.oid IS NOT NULL OR {advisory})
    GROUP BY a.pid, a.usename, a.application_name, a.state, a.xact_start";

/// A prepared transaction has no session; the number behind its locks is its transaction's.
const PREPARED: &str = "
    SELECT format('the prepared transaction `%s`', p.gid),
           format('of role %s, from %s, holds %s', p.owner, to_char(p.prepared AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'),
                  string_agg(DISTINCT ours.name, ', ')),
           format('COMMIT PREPARED %L, or ROLLBACK PREPARED %1$L', p.gid)
    FROM pg_prepared_xacts p
    JOIN pg_locks x ON x.locktype = 'transactionid' AND x.transactionid = p.transaction AND x.pid IS NULL
    JOIN pg_locks l ON l.virtualtransaction = x.virtualtransaction AND l.pid IS NULL AND l.locktype = 'relation'
    JOIN ours ON ours.oid = l.relation
    GROUP BY p.gid, p.owner, p.prepared";

/// Without rights the state of a standby is NULL.
const SYNCHRONOUS_STANDBY: &str = "
    SELECT '`synchronous_standby_names`', format('is `%s`, and no such standby is seen: the commit may wait for ever', names),
           'make sure that one is connected'
    FROM current_setting('synchronous_standby_names') names
    WHERE names <> '' AND current_setting('synchronous_commit') NOT IN ('off', 'local')
      AND NOT EXISTS (SELECT FROM pg_stat_replication WHERE sync_state IN ('sync', 'quorum'))";

const TEMPORARY_FILES: &str = "
    SELECT '`temp_file_limit`', format('is %s: building the index of a large table may take more', limit_is), advice
    FROM reset, current_setting('temp_file_limit') limit_is WHERE name = 'temp_file_limit' AND limit_is <> '-1'";

/// The condition that `l` is the lock under which tarsy-db works.
fn advisory_lock() -> String {
    let (high, low) = (lock::KEY >> 32, lock::KEY & 0xffff_ffff);
    format!("l.locktype = 'advisory' AND l.classid = {high} AND l.objid = {low} AND l.objsubid = 1")
}
