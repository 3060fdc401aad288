"""The databases of the soak, each as a backend, an operator and an auditor see them."""

import sqlite3
import time
from contextlib import closing
from pathlib import Path

from history import call
from measure import module
from server import DATABASE, Server, Standby

# Parents first, with their keys.
TABLES = {
    "alert_sessions": "session_id",
    "stage_executions": "execution_id",
    "llm_interactions": "interaction_id",
    "mcp_communications": "communication_id",
    "chats": "chat_id",
    "chat_user_messages": "message_id",
}


class Deployment:
    """A database, the archive of what was pruned, and the ledger of what was written."""

    name: str
    MARK: str
    url: str
    environment: dict | None = None
    has_standby = False

    def __init__(self, directory: Path):
        self.directory = directory
        directory.mkdir()
        self.archive = directory / "archive.db"
        # What the writer knows to be committed, row by row.
        self.ledger = directory.with_name(f"{directory.name}-ledger.db")
        call(directory, "init", "--to", "head", "--database-url", f"sqlite:///{self.ledger}")

    def prepare(self):
        """Creates the schema."""
        call(self.directory, "init", "--to", "head", "--database-url", self.url, environment=self.environment)

    def keys(self, table):
        """The keys of all rows of a table."""
        with closing(self.connect()) as connection:
            cursor = connection.cursor()
            cursor.execute(f"SELECT {TABLES[table]} FROM {table}")
            return {key for [key] in cursor.fetchall()}

    def left(self):
        """The number of rows in each table."""
        return {table: len(self.keys(table)) for table in TABLES}


class OnSqlite(Deployment):
    """A file in WAL mode, as `init` creates it."""

    name, MARK = "SQLite", "?"

    def __init__(self, directory):
        super().__init__(directory)
        self.file = directory / "history.db"
        self.url = f"sqlite:///{self.file}"

    def connect(self):
        """As TARSy's synchronous engine does: with foreign keys and a timeout of 5 s."""
        connection = sqlite3.connect(self.file)
        connection.execute("PRAGMA foreign_keys = ON")
        return connection

    @staticmethod
    def errors():
        return sqlite3.Error

    def left_behind(self, _seconds):
        """Files beside the database that no command should leave."""
        known = {"history.db", "archive.db", "tmp"}
        return sorted(path.name for path in self.directory.iterdir() if path.name not in known)


class OnPostgresql(Deployment):
    """A primary and its standby, both in the URL."""

    name, MARK = "PostgreSQL", "%s"
    has_standby = True

    def __init__(self, directory, primary: Server, standby: Standby):
        super().__init__(directory)
        self.primary, self.standby = primary, standby
        self.environment = primary.environment
        hosts = f"127.0.0.1:{primary.port},127.0.0.1:{standby.port}"
        self.url = f"postgresql://{hosts}/{DATABASE}?target_session_attrs=read-write"

    def prepare(self):
        self.primary.query(f"CREATE DATABASE {DATABASE}", "postgres")
        super().prepare()

    def connect(self):
        own = self.environment
        return module("psycopg2").connect(self.url, user=own["PGUSER"], password=own["PGPASSWORD"])

    @staticmethod
    def errors():
        return module("psycopg2").Error

    def switch_over(self):
        """Stops the primary and promotes its standby."""
        self.primary.stop()
        self.standby.promote()

    def left_behind(self, seconds):
        """Sessions of tarsy-db that the server still has after so many seconds."""
        asked = "SELECT query FROM pg_stat_activity WHERE application_name = 'tarsy'"
        deadline = time.monotonic() + seconds
        with closing(self.connect()) as connection, connection.cursor() as cursor:
            connection.autocommit = True
            while True:
                cursor.execute(asked)
                found = [f"a session: {query}" for [query] in cursor.fetchall()]
                if not found or time.monotonic() > deadline:
                    return found
                time.sleep(0.5)
