"""What tarsy-db may refuse by name where libpq connects: parameters and variables, each with the reason."""

GSSAPI = "tarsy-db is built without GSSAPI, so that it needs no library of Kerberos"
REPLICATION = "a connection of the replication protocol cannot run the statements of tarsy-db"
ENCODING = "tarsy-db reads and writes UTF-8 only; another encoding would change values"

REFUSALS = {
    "gssencmode": GSSAPI,
    "PGGSSENCMODE": GSSAPI,
    "gsslib": GSSAPI,
    "PGGSSLIB": GSSAPI,
    "krbsrvname": GSSAPI,
    "PGKRBSRVNAME": GSSAPI,
    "gssdelegation": GSSAPI,
    "PGGSSDELEGATION": GSSAPI,
    "replication": REPLICATION,
    "client_encoding": ENCODING,
    "PGCLIENTENCODING": ENCODING,
}

# The same for SQLite, where SQLAlchemy opens a file.
URI = "a URI of SQLite opens the file in ways that tarsy-db does not check"
PYTHON = "a setting of Python's driver that has no counterpart"
UNREAD = "SQLAlchemy ignores it, and a wrong name would go unnoticed"
SQLITE_REFUSALS = {
    "uri": URI,
    "mode": URI,
    "cache": URI,
    "immutable": URI,
    "isolation_level": PYTHON,
    "detect_types": PYTHON,
    "cached_statements": PYTHON,
    "foo": UNREAD,
    "sslmode": UNREAD,
}
