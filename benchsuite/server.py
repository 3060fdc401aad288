"""A PostgreSQL server for the comparison alone, and the databases on it."""

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from measure import Failed, program, version

DATABASE = "bench"
# What every database of a run is made from: TARSy's schema without foreign keys and indexes, but for primary keys.
BARE = "bare"
# The definitions as the server prints them, in the order in which they can be created.
ASIDE = """
SELECT format('index %s', c.relname), pg_get_indexdef(i.indexrelid), format('DROP INDEX %s', i.indexrelid::regclass)
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
WHERE c.relnamespace = 'public'::regnamespace AND NOT i.indisprimary AND i.indisvalid
UNION ALL
SELECT format('key %s', f.conname),
       format('ALTER TABLE %s ADD CONSTRAINT %I %s', f.conrelid::regclass, f.conname, pg_get_constraintdef(f.oid)),
       format('ALTER TABLE %s DROP CONSTRAINT %I', f.conrelid::regclass, f.conname)
FROM pg_constraint f WHERE f.contype = 'f' AND f.convalidated
ORDER BY 1
"""


@contextlib.contextmanager
def working(arguments, settings=()):
    """A server and a directory to work in. Both are removed afterwards."""
    # SIGTERM ends this program as Ctrl-C does, so that the server is stopped.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    # The directory should be on a disk: /tmp may be in memory.
    with tempfile.TemporaryDirectory(prefix="tarsy-db-bench-", dir=arguments.directory) as directory:
        # The server's user needs search permission.
        os.chmod(directory, 0o711)
        with Server(Path(directory) / "server", arguments.locale, settings) as server:
            yield server, Path(directory)


class Server:
    """A server with its default settings, on a free port of loopback, that no other user can log in to.

    Others than the defaults are given as `name=value`."""

    def __init__(self, directory, locale, settings=()):
        self.directory = directory
        self.settings = settings
        self.log = directory / "log"
        self.binaries = find_binaries()
        # A copy of the files, as all had it before 15, is faster than writing every page to the log as well.
        is_recent = int(version(self.binaries / "postgres", "--version").partition(".")[0]) >= 15
        self.strategy = "STRATEGY file_copy" if is_recent else ""
        self.password = secrets.token_hex()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.environment = os.environ | {
            "PGHOST": "127.0.0.1", "PGPORT": str(self.port), "PGUSER": "postgres", "PGPASSWORD": self.password,
            "PGDATABASE": DATABASE,
        }  # fmt: skip
        self.locale = locale
        self.process = None

    def __enter__(self):
        # PostgreSQL refuses to run as root.
        self.directory.mkdir()
        self.account = {}
        if os.geteuid() == 0:
            self.account = {"user": "postgres", "group": "postgres", "extra_groups": []}
            shutil.chown(self.directory, "postgres", "postgres")
        program, *arguments = self.creation()
        made = subprocess.run(
            [self.binaries / program, "-D", self.directory / "data", *arguments],
            env=self.environment, capture_output=True, text=True, cwd=self.directory, check=False, **self.account,
        )  # fmt: skip
        if made.returncode != 0:
            raise SystemExit(f"{program}: {made.stderr.strip()}")
        with self.log.open("w") as log:
            # A session of its own: Ctrl-C is for the client, which is rolled back before the server stops.
            self.process = subprocess.Popen(
                [
                    self.binaries / "postgres", "-D", self.directory / "data", "-p", str(self.port),
                    "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=",
                    *(argument for setting in self.settings for argument in ("-c", setting)),
                ],
                stdout=log, stderr=log, cwd=self.directory, start_new_session=True, **self.account,
            )  # fmt: skip
        try:
            self.wait()
        except BaseException:
            self.__exit__()
            raise
        return self

    def creation(self):
        """The program that creates the data directory, and its arguments."""
        password_file = self.directory / "password"
        password_file.touch(0o600)
        password_file.write_text(self.password)
        if self.account:
            shutil.chown(password_file, "postgres")
        return [
            "initdb", "-U", "postgres", "-E", "UTF8", f"--locale={self.locale}", "-A", "scram-sha-256",
            f"--pwfile={password_file}",
        ]  # fmt: skip

    def wait(self):
        """Waits until the server takes queries."""
        deadline = time.monotonic() + 60
        while True:
            with contextlib.suppress(Failed):
                self.query("SELECT 1", "postgres")
                return
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"the server does not start:\n{self.log.read_text()}")
            time.sleep(0.05)

    def stop(self):
        """Ends the sessions and stops the server, after its standby has received everything."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait()

    def __exit__(self, *_):
        self.stop()
        shutil.rmtree(self.directory)

    def query(self, sql, database=DATABASE):
        """Returns rows as lists of text."""
        psql = [program("psql"), "-X", "-q", "-A", "-t", "-F", "\x1f", "-R", "\x1e", "-v", "ON_ERROR_STOP=1"]
        asked = subprocess.run(
            [*psql, "-d", database, "-c", sql], env=self.environment, capture_output=True, text=True, check=False
        )
        if asked.returncode != 0:
            raise Failed(asked.stderr.strip())
        records = asked.stdout.removesuffix("\n")
        return [record.split("\x1f") for record in records.split("\x1e")] if records else []

    def make_bare(self):
        """Drops the indexes and foreign keys of the database with TARSy's schema, and returns their definitions."""
        aside = self.query(ASIDE, BARE)
        # Foreign keys first: they need the unique indexes.
        for _, _, drop in reversed(aside):
            self.query(drop, BARE)
        return [create for _, create, _ in aside]

    def fresh_database(self, toast, template="template0", database=DATABASE):
        """Gives each run a new database, and runs a checkpoint."""
        self.drop_database(database)
        self.query(f"CREATE DATABASE {database} TEMPLATE {template} {self.strategy}", "postgres")
        self.query(f"ALTER DATABASE {database} SET default_toast_compression = {toast}", "postgres")
        self.query("CHECKPOINT", "postgres")

    def drop_database(self, database=DATABASE):
        """Drops the database of a run."""
        self.query(f"DROP DATABASE IF EXISTS {database} WITH (FORCE)", "postgres")


class Standby(Server):
    """A second server that receives every change of the first one, until it is promoted."""

    def __init__(self, primary, directory):
        super().__init__(directory, primary.locale, primary.settings)
        self.primary = primary
        self.password = primary.password
        self.environment["PGPASSWORD"] = primary.password

    def creation(self):
        address = f"host=127.0.0.1 port={self.primary.port} user=postgres password={self.password}"
        return ["pg_basebackup", "-R", "--checkpoint=fast", "-d", address]

    def promote(self):
        """Makes it the primary."""
        self.query("SELECT pg_promote()", "postgres")


def find_binaries():
    """The directory with `initdb`: on PATH, or the newest where Debian and Red Hat put it."""
    on_path = shutil.which("initdb")
    packaged = [*Path("/usr/lib/postgresql").glob("*/bin/initdb"), *Path("/usr").glob("pgsql-*/bin/initdb")]
    newest = sorted(packaged, key=lambda path: int("".join(filter(str.isdigit, str(path)))))
    if not on_path and not newest:
        raise SystemExit("`initdb` is missing: sudo apt-get install postgresql")
    return Path(on_path).resolve().parent if on_path else newest[-1].parent
