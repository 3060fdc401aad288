-- A deferred trigger would fire after the comparison, and its pending events would block ALTER TABLE until then.
SET CONSTRAINTS ALL IMMEDIATE;
SELECT set_config(name, value, true) FROM (
    SELECT name, CASE
        -- If the client is gone while an index is built, the server ends the session and releases its locks.
        WHEN name = 'client_connection_check_interval' AND setting = '0' AND version() LIKE '%linux%' THEN '1s'
        -- Otherwise a crash could lose a commit that was already reported.
        WHEN name = 'synchronous_commit' AND setting = 'off' THEN 'local'
        -- With `replica` foreign keys are not checked. A role that may not set it gets an obstacle in preflight.
        WHEN name = 'session_replication_role' AND setting <> 'origin' THEN 'origin'
        -- Makes a policy that would hide rows from the comparison an error.
        WHEN name = 'row_security' THEN 'off'
        -- An index definition does not name the database's own tablespace.
        WHEN name = 'default_tablespace' THEN ''
        WHEN name = 'jit' THEN 'off'
    END AS value
    FROM pg_settings) chosen
WHERE value IS NOT NULL
