SELECT format('event trigger %I', evtname),
       format('fires when indexes and foreign keys are dropped and recreated, and runs %s', f.name || '()'),
       format('ALTER EVENT TRIGGER %I DISABLE, and ENABLE it after the move', evtname)
FROM pg_event_trigger JOIN shown_function f ON f.oid = evtfoid
WHERE evtenabled IN ('O', 'A') AND evtevent IN ('ddl_command_start', 'ddl_command_end', 'sql_drop', 'table_rewrite')
  AND (evttags IS NULL OR evttags && ARRAY ['ALTER TABLE', 'CREATE INDEX', 'DROP INDEX', 'COMMENT', 'CREATE TABLE'])
