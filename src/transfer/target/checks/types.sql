-- Every table has a row type of its name, so a domain or an enum of that name prevents its creation.
SELECT format('type %s', t.typname), 'has the name of one of TARSy''s tables',
       format('rename it: ALTER TYPE %I RENAME TO ...', t.typname)
FROM pg_type t
WHERE (t.typname IN (SELECT name FROM wanted) OR t.typname = 'alembic_version')
  AND t.typrelid = 0 AND t.typelem = 0 AND t.typnamespace = (SELECT schema FROM place)
