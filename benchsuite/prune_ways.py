"""The ways to remove old sessions that are compared, and the databases that they work on."""

import json
import re
import shutil
import sqlite3
import subprocess
import time
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import ClassVar

from history import NOW, call, tarsy_db
from measure import Cost, Failed, measured, module
from server import DATABASE, Server

# What tarsy-db is run with, but for the cutoff and the database.
PRUNE = ["prune", "--now", NOW, "--yes", "--max-share", "100%", "--output", "json"]
TERMINAL = "('completed', 'failed', 'cancelled', 'timed_out')"
# Children first.
TABLES = ["llm_interactions", "mcp_communications", "stage_executions", "alert_sessions"]
# Orphans.
ORPHANS = " UNION ALL ".join(
    f"SELECT '{table}.{column}' FROM {table} c WHERE {column} IS NOT NULL"
    f" AND NOT EXISTS (SELECT 1 FROM {parent} p WHERE p.{key} = c.{column})"
    for table, column, parent, key in [
        ("stage_executions", "session_id", "alert_sessions", "session_id"),
        ("llm_interactions", "session_id", "alert_sessions", "session_id"),
        ("mcp_communications", "session_id", "alert_sessions", "session_id"),
        ("llm_interactions", "stage_execution_id", "stage_executions", "execution_id"),
        ("mcp_communications", "stage_execution_id", "stage_executions", "execution_id"),
    ]
)
# What every PostgreSQL database of a run is made from.
TEMPLATE = "history"
# So that the server logs which sessions waited for a lock, and for how long.
SETTINGS = ["log_lock_waits=on", "deadlock_timeout=100ms", "log_line_prefix=%a ", "lc_messages=C"]


@dataclass
class Pruned(Cost):
    """The cost of pruning, and its effect on a concurrent writer."""

    longest_batch: float | None = None
    # The writer's transactions that met the prune: seconds from when they were due, in order.
    latencies: tuple[float, ...] = ()
    errors: int = 0
    # How often the writer waited for a lock for more than 100 ms; None if it is not counted.
    lock_waits: int | None = None


@dataclass
class Postgresql:
    """A database on the server, created for each run from a template."""

    name: str
    server: Server
    # The SQLite file that the template was made from.
    history: Path

    MARK: ClassVar = "%s"

    def __post_init__(self):
        self.environment = self.server.environment

    def prepare(self):
        """Makes the template, at the revision of the history."""
        self.server.drop_database(TEMPLATE)
        self.server.query(f"CREATE DATABASE {TEMPLATE} TEMPLATE template0", "postgres")
        ends = ["--from", self.history, "--to", self.url(TEMPLATE)]
        call(self.history.parent, "migrate-sqlite-to-postgres", *ends, environment=self.environment)
        self.server.query("VACUUM (ANALYZE)", TEMPLATE)

    def fresh(self):
        self.server.fresh_database("lz4", TEMPLATE)

    def drop(self):
        self.server.drop_database()

    def url(self, database=DATABASE):
        return f"postgresql://127.0.0.1:{self.server.port}/{database}"

    def connect(self, application):
        own = self.environment
        return module("psycopg2").connect(
            host=own["PGHOST"], port=own["PGPORT"], user=own["PGUSER"], password=own["PGPASSWORD"],
            dbname=DATABASE, application_name=application,
        )  # fmt: skip

    def begin(self, cursor):
        """Begins a transaction, which the module does by itself."""

    @staticmethod
    def errors():
        return module("psycopg2").Error

    def lock_waits(self):
        """How often the writer has waited for a lock for longer than `deadlock_timeout`, as the log has it."""
        return len(re.findall("^writer .* still waiting for ", self.server.log.read_text(), re.MULTILINE))


@dataclass
class Sqlite:
    """A file, copied for each run."""

    name: str
    journal: str
    history: Path

    MARK: ClassVar = "?"
    environment: ClassVar = None

    def __post_init__(self):
        self.file = self.history.with_name("pruned.db")

    def prepare(self):
        """The history itself is what is copied."""

    def fresh(self):
        self.drop()
        shutil.copyfile(self.history, self.file)
        with closing(sqlite3.connect(self.file)) as connection:
            [journal] = connection.execute(f"PRAGMA journal_mode = {self.journal}").fetchone()
        if journal != self.journal:
            raise Failed(f"the journal mode is {journal}")
        # Dirty pages would compete with the measured program for the disk.
        subprocess.run(["sync", "-f", self.file], check=True)

    def drop(self):
        for suffix in ["", "-wal", "-shm", "-journal"]:
            self.file.with_name(self.file.name + suffix).unlink(missing_ok=True)

    def url(self):
        return f"sqlite:///{self.file}"

    def connect(self, _application):
        """As TARSy's synchronous engine does: with the module's defaults, which wait 5 s for a lock."""
        connection = sqlite3.connect(self.file)
        connection.execute("PRAGMA foreign_keys = ON")
        return connection

    def begin(self, cursor):
        """Begins a transaction, with its lock."""
        cursor.execute("BEGIN IMMEDIATE")

    @staticmethod
    def errors():
        return sqlite3.Error

    def lock_waits(self):
        return None


@dataclass(frozen=True)
class Cutoff:
    """Closed sessions that started before a time in microseconds since the epoch."""

    at_us: int

    def condition(self):
        return f"started_at_us < {self.at_us} AND status IN {TERMINAL}"

    def rfc3339(self):
        cutoff = datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(microseconds=self.at_us)
        return cutoff.isoformat(timespec="microseconds")


@dataclass
class Way:
    """A way to prune one kind of database."""

    name: str
    target: Postgresql | Sqlite

    # Whether sessions that the writer has locked at that time may remain.
    passes_over: ClassVar = False

    def run(self, cutoff):
        """Removes what is old and returns what that cost."""
        raise NotImplementedError

    def check(self, cutoff, inserts, touched):
        """Checks that exactly the old sessions were removed, and that no row has lost its parent."""
        old = f"SELECT session_id FROM alert_sessions WHERE {cutoff.condition()}"
        left = [session_id for [session_id] in self.ask(old)]
        if wrong := set(left) - (set(touched) if self.passes_over else set()):
            raise Failed(f"{len(wrong)} old sessions are left")
        for table, expected in kept_rows(self.target.history, cutoff, left).items():
            [[found]] = self.ask(f"SELECT count(*) FROM {table}")
            expected += inserts.get(table, 0)
            if found != expected:
                raise Failed(f"{table} has {found:,} rows instead of {expected:,}")
        if orphans := self.ask(ORPHANS):
            raise Failed(f"{len(orphans)} rows without a parent, as one by {orphans[0][0]}")
        return left

    def ask(self, sql):
        with closing(self.target.connect("check")) as connection:
            cursor = connection.cursor()
            cursor.execute(sql)
            return cursor.fetchall()


class Nothing(Way):
    """No pruning for this many seconds."""

    def __init__(self, target, seconds):
        super().__init__("idle", target)
        self.seconds = seconds

    def run(self, cutoff):
        time.sleep(self.seconds)
        return Pruned(self.seconds)

    def check(self, cutoff, inserts, touched):
        return []


class TarsyDb(Way):
    """This tool."""

    passes_over = True

    def run(self, cutoff):
        directory = self.target.history.parent
        answer = directory / "summary.json"
        with answer.open("w") as file:
            command = [tarsy_db(), "--database-url", self.target.url(), *PRUNE, "--before", cutoff.rfc3339()]
            cost = measured(command, self.target.environment, directory, file)
        removed = json.loads(answer.read_text())["removed"] or {}
        return Pruned(cost.seconds, cost.cpu_seconds, cost.peak_kib, removed.get("longest_batch_seconds"))


@dataclass
class ByHand(Way):
    """A script as an operator would write it, in as many transactions as it takes."""

    # The sessions of a transaction; None for all in one.
    batch: int | None = None
    pause_seconds: float = 0
    # The tables that it deletes from; others follow by cascades.
    tables: tuple[str, ...] = tuple(TABLES)

    def run(self, cutoff):
        longest, started = 0, time.monotonic()
        try:
            with closing(self.target.connect("peer")) as connection:
                cursor = connection.cursor()
                while sessions := self.next_sessions(cursor, cutoff):
                    self.target.begin(cursor)
                    began = time.monotonic()
                    for table in self.tables:
                        cursor.execute(f"DELETE FROM {table} WHERE session_id IN ({sessions})")
                    connection.commit()
                    longest = max(longest, time.monotonic() - began)
                    if self.batch is None:
                        break
                    time.sleep(self.pause_seconds)
        except self.target.errors() as error:
            raise Failed(first_line(error)) from error
        return Pruned(time.monotonic() - started, longest_batch=longest)

    def next_sessions(self, cursor, cutoff):
        """The sessions of the next transaction, in SQL."""
        old = f"SELECT session_id FROM alert_sessions WHERE {cutoff.condition()}"
        if self.batch is None:
            return old
        cursor.execute(f"{old} ORDER BY started_at_us LIMIT {self.batch}")
        return ", ".join(f"'{session_id}'" for [session_id] in cursor.fetchall())


def first_line(error):
    """What an error says, without what the server adds to it."""
    return str(error).partition("\n")[0]


def kept_rows(history, cutoff, left):
    """The rows of each table that stay when all old sessions but those `left` are gone."""
    but = ", ".join(f"'{session_id}'" for session_id in left)
    gone = f"SELECT session_id FROM alert_sessions WHERE {cutoff.condition()} AND session_id NOT IN ({but})"
    with closing(sqlite3.connect(f"file:{history}?mode=ro", uri=True)) as source:
        return {
            table: source.execute(f"SELECT count(*) FROM {table} WHERE session_id NOT IN ({gone})").fetchone()[0]
            for table in TABLES
        }
