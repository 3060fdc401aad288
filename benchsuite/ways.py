"""The ways to move a history that are compared, each with its fastest settings."""

import shlex
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from measure import Cost, Failed, measured, program
from server import ASIDE, BARE, DATABASE, Server

# What pgloader's own documentation takes, and four times what the server gives an index by default.
INDEX_MEMORY = "512MB"
# The database for half of a history.
SECOND = f"{DATABASE}_2"


@dataclass
class Bench:
    """What all ways work with."""

    tarsy_db: Path
    server: Server
    # Room for the files of a way.
    directory: Path
    source: Path
    # The rows of each table in the source, and its columns.
    rows: dict[str, int]
    columns: dict[str, str]
    # The indexes and foreign keys that all have to end with, as SQL.
    aside: list[str]

    def psql(self, *commands):
        """A command that runs others in one connection and stops at the first error."""
        psql = [program("psql"), "-X", "-q", "-v", "ON_ERROR_STOP=1"]
        return psql + [argument for command in commands for argument in ("-c", command)]

    def rebuild(self):
        """What creates indexes and foreign keys again, with the parallel workers that the server has."""
        return [f"SET maintenance_work_mem = '{INDEX_MEMORY}'", *self.aside]

    def measured(self, command):
        """Runs a command where the files are."""
        return measured(command, self.server.environment, self.directory)


@dataclass
class Way:
    """A tool with its options, and the compression of large values on the server."""

    name: str
    toast: str

    template = BARE

    def run(self, bench):
        """Moves the history into the fresh database. Returns the cost."""
        return sum(map(bench.measured, self.commands(bench)), Cost())

    def commands(self, bench):
        """What is run in turn, and counts."""
        raise NotImplementedError

    def check(self, bench):
        """Checks that nothing is missing: every row, index and foreign key, and the compression asked for."""
        for table, expected in bench.rows.items():
            [[found]] = bench.server.query(f"SELECT count(*) FROM {table}")
            if int(found) != expected:
                raise Failed(f"{table} has {int(found):,} rows of {expected:,}")
        missing = set(bench.aside) - {create for _, create, _ in bench.server.query(ASIDE)}
        if missing:
            raise Failed(f"{len(missing)} indexes and foreign keys are missing")
        compressed = bench.server.query("SELECT DISTINCT pg_column_compression(conversation) FROM llm_interactions")
        if wrong := {method for [method] in compressed} - {"", self.toast}:
            raise Failed(f"conversations are compressed with {', '.join(sorted(wrong))}")


@dataclass
class TarsyDb(Way):
    """This tool, which creates the schema as well."""

    options: tuple[str, ...] = ()

    template = "template0"

    def commands(self, bench):
        return [self.command(bench, bench.source, bench.server.environment["PGDATABASE"])]

    def command(self, bench, source, database):
        """Moves one file into one database."""
        toast = "lz4" if self.toast == "lz4" else "keep"
        url = f"postgresql://127.0.0.1:{bench.server.port}/{database}"
        migrate = [bench.tarsy_db, "migrate-sqlite-to-postgres", "--from", source, "--to", url]
        return [*migrate, "--toast", toast, *self.options]


class Halves(TarsyDb):
    """This tool twice at the same time, each with half of the history and a database of its own: two connections to
    one database, with private tables that are put into place at the end, could hardly be faster."""

    def run(self, bench):
        bench.server.fresh_database(self.toast, database=SECOND)
        halves = zip(self.sources(bench), [bench.server.environment["PGDATABASE"], SECOND])
        first, second = (shlex.join(map(str, self.command(bench, *half))) for half in halves)
        return bench.measured(["sh", "-c", f"{first} & {second} && wait $!"])

    def check(self, bench):
        for table, expected in bench.rows.items():
            found = [bench.server.query(f"SELECT count(*) FROM {table}", name)[0][0] for name in [DATABASE, SECOND]]
            if sum(map(int, found)) != expected:
                raise Failed(f"{table} has {' and '.join(found)} rows of {expected}")

    @staticmethod
    def sources(bench):
        return [bench.directory / f"half-{number}.db" for number in range(2)]

    @staticmethod
    def write_files(bench):
        """Makes the halves: every other session, with all that belongs to it."""
        for number, path in enumerate(Halves.sources(bench)):
            with closing(sqlite3.connect(bench.source)) as source:
                source.execute("VACUUM INTO ?", [str(path)])
            with closing(sqlite3.connect(path)) as half:
                half.execute(f"CREATE TEMP TABLE gone AS SELECT session_id FROM alert_sessions WHERE rowid % 2 = {number}")
                half.execute("CREATE INDEX temp.by_id ON gone (session_id)")
                for table in reversed(bench.rows):
                    half.execute(f"DELETE FROM {table} WHERE session_id IN (SELECT session_id FROM gone)")
                half.commit()
                half.execute("VACUUM")
                # As the whole is: a file with a rollback journal would be copied first.
                half.execute("PRAGMA journal_mode = wal")


class Floor(Way):
    """The least that one connection can take: binary files that were made beforehand need no work on the client."""

    def commands(self, bench):
        copies = [
            f"\\copy {table} ({columns}) from {table}.binary (format binary)"
            for table, columns in bench.columns.items()
        ]
        return [bench.psql(*copies, *bench.rebuild())]

    @staticmethod
    def write_files(bench):
        """Makes the files from a database that holds the history."""
        for table, columns in bench.columns.items():
            bench.measured(bench.psql(f"\\copy {table} ({columns}) to {table}.binary (format binary)"))


class ReadBack(Floor):
    """As much, and then psql reads all of it back and looks at nothing: comparing every value cannot take less."""

    def commands(self, bench):
        everything = [
            f"\\copy {table} ({columns}) to '/dev/null' (format binary)" for table, columns in bench.columns.items()
        ]
        return [*super().commands(bench), bench.psql(*everything)]


class Csv(Way):
    """By hand: sqlite3 writes, psql copies, both at the same time."""

    def commands(self, bench):
        program("sqlite3")
        export = f"sqlite3 -readonly -csv {bench.source.name}"
        copies = [
            f"\\copy {table} ({columns}) from program '{export} \"SELECT {columns} FROM {table}\"' (format csv)"
            for table, columns in bench.columns.items()
        ]
        return [bench.psql(*copies, *bench.rebuild())]


class Pgloader(Way):
    """pgloader with the fastest settings that were found for it."""

    # * The schema exists, with the types that TARSy needs: pgloader's own (text, bigint and json for all) would be
    #   no database for TARSy. It needs no casts, because SQLite's 0 and 1 are booleans to PostgreSQL's COPY as well.
    # * It leaves indexes in place while it copies into existing tables, which takes small rows four times as
    #   long. So they are dropped before and created afterwards, on all cores.
    # * Rows wait between reader and writer as strings of four bytes a character. With the default of 100,000 rows a
    #   GB of conversations exhausts the heap of 1 GB, after which half of the rows are missing. A hundred are as fast
    #   as any number, and more only fill the memory.
    # * The heap's size is compiled in: the options of SBCL's runtime do not reach it.
    # * Two threads a table (one reads, one writes) and four tables at once are the defaults. With `workers = 1` it
    #   deadlocks with itself, and more writers a table gain nothing, because they wait for the reader.
    # * `on error stop`, which keeps no batch for a second try, is not faster.
    COMMANDS = """
        LOAD DATABASE FROM '{source}' INTO postgresql://{user}@{host}:{port}/{database}
        WITH data only, create no tables, include no drop, reset no sequences,
             workers = 4, concurrency = 1, prefetch rows = {rows}, batch rows = {rows}, batch size = 20 MB
        EXCLUDING TABLE NAMES LIKE 'alembic_version';
    """

    def commands(self, bench):
        environment = bench.server.environment
        load = bench.directory / "pgloader.load"
        load.write_text(
            self.COMMANDS.format(
                source=bench.source, user=environment["PGUSER"], host=environment["PGHOST"],
                port=environment["PGPORT"], database=environment["PGDATABASE"], rows=100,
            )
        )  # fmt: skip
        pgloader = [program("pgloader"), "--client-min-messages", "error", "--root-dir", bench.directory / "pgloader"]
        return [[*pgloader, load], bench.psql(*bench.rebuild())]


def ways():
    """All ways, those with lz4 first."""
    found = []
    for toast in ("lz4", "pglz"):
        found += [
            TarsyDb("tarsy-db, `--verify counts`", toast, ("--verify", "counts")),
            TarsyDb("tarsy-db, every value compared", toast),
            Halves("two at once, half each", toast),
            Pgloader("pgloader", toast),
            Floor("floor", toast),
            ReadBack("floor, and reading back", toast),
            Csv("csv", toast),
        ]
    return found


def digests(bench):
    """What the tables hold, in any order."""
    digest = "count(*), coalesce(sum(hashtextextended(t::text, 0)), 0)"
    return [bench.server.query(f"SELECT '{table}', {digest} FROM {table} t")[0] for table in bench.rows]
