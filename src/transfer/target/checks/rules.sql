SELECT name, format('has the rule `%s`, which COPY does not run', rulename),
       'after the move, do by hand what the rule would have done'
FROM ours JOIN pg_rewrite ON ev_class = ours.oid WHERE ev_type = '3' AND ev_enabled IN ('O', 'A')
