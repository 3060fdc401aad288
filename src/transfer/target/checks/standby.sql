SELECT 'the server', 'is a standby, which is read-only', 'connect to the primary' WHERE pg_is_in_recovery()
