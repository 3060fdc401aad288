SELECT name, 'is UNLOGGED: a crash of the server empties it', format('ALTER TABLE %s SET LOGGED', name)
FROM ours WHERE relpersistence = 'u'
