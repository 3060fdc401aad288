SELECT 'the database', 'is read-only for this role: `default_transaction_read_only` is on', advice
FROM reset
WHERE name = 'default_transaction_read_only' AND NOT pg_is_in_recovery()
  AND current_setting('default_transaction_read_only')::boolean
