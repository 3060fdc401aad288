-- $2: the tables. $3: whether updates count, and not only deletes. A row for each of the tables, and of those that inherit from one,
-- of which the server refuses them: a publication sends them, and nothing identifies their rows. Of a partitioned table only the
-- partitions have rows.
SELECT format('%I.%I', n.nspname, c.relname) AS place, bool_or(p.pubupdate) AS updates, bool_or(p.pubdelete) AS deletes,
       array_agg(p.pubname::text ORDER BY p.pubname) AS publications,
       EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary AND i.indimmediate) AS has_key
FROM (WITH RECURSIVE tables AS (
          SELECT oid FROM visible WHERE relname = ANY ($2) AND relkind IN ('r', 'p')
          UNION
          SELECT h.inhrelid FROM tables t JOIN pg_inherits h ON h.inhparent = t.oid)
      SELECT oid FROM tables) t
JOIN pg_class c ON c.oid = t.oid AND c.relkind = 'r'
JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_publication p ON p.pubupdate AND $3 OR p.pubdelete
WHERE c.relreplident <> 'f'
  AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND CASE c.relreplident
                      WHEN 'd' THEN i.indisprimary AND i.indimmediate WHEN 'i' THEN i.indisreplident ELSE false END)
  -- A partition is published as itself, or as the table that it is a part of.
  AND EXISTS (SELECT FROM pg_publication_tables l JOIN pg_namespace s ON s.nspname = l.schemaname
              JOIN pg_class r ON r.relnamespace = s.oid AND r.relname = l.tablename
              WHERE l.pubname = p.pubname
                AND (r.oid = c.oid OR c.relispartition AND r.oid IN (SELECT pg_partition_ancestors(c.oid))))
GROUP BY n.nspname, c.relname, c.oid
ORDER BY 1
