-- $2: the tables; $3: the privileges. One that is granted on all columns is as good as one on the table. A number of an identity
-- column needs no privilege on the sequence. For some relations and privileges the functions fail, and only CASE guarantees the
-- order of evaluation.
, lacking AS (
    SELECT p AS privilege, c.relname::text AS object
    FROM visible c, unnest($3) p
    WHERE c.relname = ANY ($2) AND c.relkind IN ('r', 'p') AND (p = 'SELECT' OR c.relname <> 'alembic_version')
      AND CASE p WHEN 'USAGE' THEN false ELSE NOT has_table_privilege(c.oid, p) END
      AND CASE WHEN p IN ('SELECT', 'INSERT', 'UPDATE') THEN EXISTS (
              SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
                AND NOT has_column_privilege(c.oid, a.attnum, p)) ELSE true END
    UNION
    SELECT p, s.relname::text
    FROM visible c
    JOIN pg_attrdef a ON a.adrelid = c.oid
    JOIN pg_depend d ON d.classid = 'pg_attrdef'::regclass AND d.objid = a.oid AND d.refclassid = 'pg_class'::regclass
    JOIN pg_class s ON s.oid = d.refobjid, unnest($3) p
    WHERE c.relname = ANY ($2) AND c.relkind IN ('r', 'p') AND p = 'USAGE'
      AND CASE s.relkind WHEN 'S' THEN NOT has_sequence_privilege(s.oid, 'USAGE, UPDATE') ELSE false END
)
SELECT privilege, string_agg(object, ', ' ORDER BY object) AS objects
FROM lacking GROUP BY privilege ORDER BY privilege = 'SELECT' DESC, privilege
