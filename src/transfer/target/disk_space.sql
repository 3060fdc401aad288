-- The directory of the tables, unless they are in several tablespaces; the data directory; the largest size of the
-- write-ahead log. The log has no limit where it is archived or a replication slot keeps it. $1: the tables; $2: the
-- schema of each.
WITH data AS (SELECT setting AS directory FROM pg_settings WHERE name = 'data_directory'),
ours AS (
    SELECT c.reltablespace FROM unnest($1::text[], $2::text[]) AS w(name, schema)
    JOIN pg_namespace n ON n.nspname = w.schema
    JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = w.name AND c.relkind = 'r'),
places AS (
    SELECT DISTINCT coalesce(nullif(ours.reltablespace, 0), b.dattablespace) AS tablespace
    FROM pg_database b LEFT JOIN ours ON true
    WHERE b.datname = current_database())
SELECT pg_backend_pid() AS process, coalesce('(' || inet_client_port() || ')', '[local]') AS port,
       coalesce(nullif(pg_tablespace_location(max(tablespace)), ''), (SELECT directory FROM data)) AS place,
       (SELECT directory FROM data) AS data,
       CASE WHEN current_setting('wal_level') = 'minimal' THEN 0
            WHEN current_setting('archive_mode') <> 'off' OR EXISTS (SELECT FROM pg_replication_slots) THEN NULL
            ELSE pg_size_bytes(current_setting('max_wal_size')) END AS log_limit
FROM places
HAVING count(*) = 1
   AND coalesce(nullif(pg_tablespace_location(max(tablespace)), ''), (SELECT directory FROM data)) IS NOT NULL
