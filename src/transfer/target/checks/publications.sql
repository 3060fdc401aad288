-- A publication FOR ALL TABLES includes tables that do not exist yet.
SELECT format('publication %I', p.pubname),
       format('sends the loaded rows to its subscribers%s: %s',
              CASE WHEN p.pubtruncate THEN ', which first TRUNCATE their tables' ELSE '' END, t.tables),
       'make sure that the subscribers have these tables, empty and at the same revision, or drop them from the'
       || ' publication before the move'
FROM pg_publication p, LATERAL (
    SELECT CASE WHEN p.puballtables THEN 'all tables'
                ELSE (SELECT string_agg(ours.name, ', ' ORDER BY ours.name)
                      FROM ours JOIN pg_namespace n ON n.oid = ours.relnamespace JOIN pg_publication_tables l
                           ON l.schemaname = n.nspname AND l.tablename = ours.relname
                      WHERE l.pubname = p.pubname) END AS tables) t
WHERE t.tables IS NOT NULL AND p.pubinsert
