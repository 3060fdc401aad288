SELECT name, format('has the rule `%s` on INSERT, which also applies to the appended rows', rulename),
       'make sure that it is intended for old rows'
FROM ours JOIN pg_rewrite ON ev_class = ours.oid WHERE ev_type = '3' AND ev_enabled IN ('O', 'A')
