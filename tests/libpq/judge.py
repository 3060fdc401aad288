"""`judge.py libpq|sqlalchemy URL`: connects as TARSy's backend does, and prints what it sees as JSON."""

import json
import sys
from collections.abc import Callable

import psycopg2

SEEN = """
SELECT current_user, current_database(), inet_server_port(), s.ssl, s.version, current_setting('search_path'),
       current_setting('application_name'), to_regclass('alembic_version') IS NOT NULL
FROM pg_stat_ssl s WHERE s.pid = pg_backend_pid()
"""
NAMES = ["user", "database", "port", "has_tls", "tls", "search_path", "application", "has_schema"]


def connect_with_libpq(url: str) -> Callable[[], object]:
    return lambda: psycopg2.connect(dsn=url)


def connect_with_sqlalchemy(url: str) -> Callable[[], object]:
    # Imported where it is needed, because it takes half a second.
    from sqlalchemy import create_engine

    return lambda: create_engine(url).raw_connection()


def main() -> None:
    connect = connect_with_libpq if sys.argv[1] == "libpq" else connect_with_sqlalchemy
    try:
        connection = connect(sys.argv[2])()
        cursor = connection.cursor()
        cursor.execute(SEEN)
        seen = dict(zip(NAMES, cursor.fetchone(), strict=True))
        seen["revision"] = None
        if seen.pop("has_schema"):
            cursor.execute("SELECT version_num FROM alembic_version")
            seen["revision"] = cursor.fetchone()[0]
        connection.close()
    except Exception as error:  # Whatever stops the backend is the answer.
        seen = {"error": f"{type(error).__name__}: {error}"}
    json.dump(seen, sys.stdout)


main()
