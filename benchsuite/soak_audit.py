"""Compares what the writer has committed with what the database and the archive hold."""

import json
import sqlite3
from contextlib import closing

from soak_deployments import TABLES


def unaccounted(deployment):
    """Rows that are neither in the database nor in the archive, and rows that nobody wrote: a text for each table."""
    found = []
    with closing(sqlite3.connect(f"file:{deployment.archive}?mode=ro", uri=True)) as archive:
        with closing(sqlite3.connect(f"file:{deployment.ledger}?mode=ro", uri=True)) as ledger:
            for table, key in TABLES.items():
                select = f"SELECT {key} FROM {table}"
                held = deployment.keys(table) | {row for [row] in archive.execute(select)}
                written = {row for [row] in ledger.execute(select)}
                if held != written:
                    lost, unknown = len(written - held), len(held - written)
                    found.append(f"{deployment.name}: {table}: {lost} rows are lost, {unknown} were never written")
    return found


def differences(deployment):
    """Rows of the archive that are not as they were written: a text for each. It has to have all rows and no others."""
    found = []
    with closing(sqlite3.connect(f"file:{deployment.archive}?mode=ro", uri=True)) as archive:
        with closing(sqlite3.connect(f"file:{deployment.ledger}?mode=ro", uri=True)) as ledger:
            for table, key in TABLES.items():
                columns = [name for _, name, *_ in ledger.execute(f"PRAGMA table_info({table})")]
                select = f"SELECT {', '.join(columns)} FROM {table} ORDER BY {key}"
                for row, written in zip(archive.execute(select), ledger.execute(select), strict=True):
                    cells = zip(columns, row, written)
                    changed = [column for column, value, expected in cells if not is_equal(value, expected)]
                    if changed:
                        place = f"{table} {row[columns.index(key)]}"
                        found.append(f"{deployment.name}: {place}: {', '.join(changed)} changed")
    return found


def is_equal(value, expected):
    """Equal, or the same JSON: PostgreSQL's `jsonb` has its own way of writing it."""
    if value == expected or not (isinstance(value, str) and isinstance(expected, str)):
        return value == expected
    try:
        return json.loads(value) == json.loads(expected)
    except ValueError:
        return False


def rows(file):
    """The number of rows of each table of a file."""
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as connection:
        return {table: connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in TABLES}
