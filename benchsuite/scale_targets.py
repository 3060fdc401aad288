"""The databases that hold a made history, and what each is measured with."""

import hashlib
import sqlite3
from contextlib import closing
from typing import ClassVar

import prune_ways
from history import call
from prune_ways import TEMPLATE
from server import DATABASE


class Sqlite(prune_ways.Sqlite):
    """A file, copied for each run that changes it."""

    # The numbers from 1, and what the databases write differently.
    NUMBERS: ClassVar = (
        "(WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {0})"
        " SELECT n FROM numbers WHERE n <= {0}) AS numbers"
    )
    WORDS: ClassVar = {"json": "", "jsonb": "", "time": "datetime(", "end_time": ", 'unixepoch')"}

    def make(self, made, size, now_us):
        self.history.unlink(missing_ok=True)
        call(self.history.parent, "init", "--to", made.revision, "--database-url", f"sqlite:///{self.history}")
        with closing(sqlite3.connect(self.history, isolation_level=None)) as connection:
            connection.create_function("md5", 1, lambda text: hashlib.md5(text.encode()).hexdigest())
            for pragma in ["journal_mode = OFF", "synchronous = OFF", "cache_size = -262144", "foreign_keys = OFF"]:
                connection.execute(f"PRAGMA {pragma}")
            kept = "SELECT name, sql FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL"
            indexes = connection.execute(kept).fetchall()
            words = self.WORDS | {"now": now_us}
            connection.execute("BEGIN")
            for statement in [
                *(f"DROP INDEX {name}" for name, _ in indexes),
                *(rows.insert(size, self.NUMBERS, words) for rows in made.rows),
                *(definition for _, definition in indexes),
            ]:
                connection.execute(statement)
            connection.execute("COMMIT")

    def discard(self):
        self.drop()
        self.history.unlink(missing_ok=True)

    def count(self, sql):
        with closing(self.connect("check")) as connection:
            [[number]] = connection.execute(sql)
        return number

    def end_statements(self):
        """The statements of a killed process have ended with it."""


class Postgresql(prune_ways.Postgresql):
    """A database, copied for each run that changes it."""

    NUMBERS: ClassVar = "generate_series(1::bigint, {0}) AS numbers(n)"
    WORDS: ClassVar = {
        "json": "::json", "jsonb": "::jsonb", "time": "timezone('UTC', to_timestamp(", "end_time": "))",
    }  # fmt: skip
    INDEXES: ClassVar = """
        SELECT format('DROP INDEX %s', i.indexrelid::regclass), pg_get_indexdef(i.indexrelid)
        FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
        WHERE c.relnamespace = 'public'::regnamespace AND NOT i.indisprimary
    """

    def make(self, made, size, now_us):
        self.server.drop_database(TEMPLATE)
        self.server.query(f"CREATE DATABASE {TEMPLATE} TEMPLATE template0", "postgres")
        target = ["--database-url", self.url(TEMPLATE)]
        call(self.history.parent, "init", "--to", made.revision, *target, environment=self.environment)
        indexes = self.server.query(self.INDEXES, TEMPLATE)
        words = self.WORDS | {"now": now_us}
        statements = [
            # No trigger asks for parents, which orphans lack.
            "SET session_replication_role = replica", "SET maintenance_work_mem = '256MB'",
            *(drop for drop, _ in indexes),
            *(rows.insert(size, self.NUMBERS, words) for rows in made.rows),
            *(create for _, create in indexes),
        ]  # fmt: skip
        self.server.query("; ".join(statements), TEMPLATE)
        self.server.query("VACUUM (ANALYZE)", TEMPLATE)

    def discard(self):
        self.drop()
        self.server.drop_database(TEMPLATE)

    def count(self, sql):
        [[number]] = self.server.query(sql)
        return int(number)

    def end_statements(self):
        """The server notices that its client was killed only when it has an answer for it."""
        ended = f"SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE datname = '{DATABASE}'"
        self.server.query(ended, "postgres")


class Move(Postgresql):
    """An empty database, and a file that is moved into it."""

    def make(self, made, size, now_us):
        self.source = Sqlite(self.name, "wal", self.history)
        self.source.make(made, size, now_us)
        self.file = self.history

    def fresh(self):
        self.server.fresh_database("lz4")

    def discard(self):
        self.drop()
        self.source.discard()
