-- The expected schema is replayed in temporary tables.
SELECT 'the database', format('cannot be used by role `%s` to create temporary tables: permission denied, needs TEMPORARY',
                             current_user),
       format('GRANT TEMPORARY ON DATABASE %I TO %I', current_database(), current_user)
WHERE NOT has_database_privilege(current_database(), 'TEMPORARY')
