SELECT 'the search path',
       format('has no schema that exists and that role `%s` may use (permission denied): %s', current_user,
              (SELECT reset_val FROM pg_settings WHERE name = 'search_path')),
       format('GRANT USAGE, CREATE ON SCHEMA ... TO %I, or ALTER ROLE %1$I SET search_path = ...', current_user)
WHERE NOT EXISTS (SELECT FROM path)
