SELECT 'the database', format('has the encoding %s, but a history needs UTF8', e),
       'create another one: CREATE DATABASE ... ENCODING ''UTF8'' TEMPLATE template0'
FROM current_setting('server_encoding') e WHERE e <> 'UTF8'
