"""A PostgreSQL server of the matrix, and who came in according to its log."""

import re
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

# No user, database or application name of the matrix has this byte, and the server replaces it where a client sends it.
SEPARATOR = "\x1f"
PREFIX = SEPARATOR.join(["%n", "%p", "%u", "%d", "%a", ""])
SETTINGS = {
    "log_connections": "on",
    "log_disconnections": "on",
    "log_line_prefix": PREFIX,
    "lc_messages": "C",
    "fsync": "off",
    "autovacuum": "off",
    "shared_buffers": "2MB",
    "max_connections": "20",
    "max_wal_senders": "4",
    "max_worker_processes": "2",
    "wal_level": "replica",
    "hot_standby": "on",
    "password_encryption": "scram-sha-256",
}
LONGEST_START_SECONDS = 60
LONGEST_LEAVE_SECONDS = 3


@dataclass(frozen=True)
class Visit:
    """A connection that a server let in."""

    server: str
    port: int
    user: str
    database: str
    # The version of TLS, or empty.
    tls: str
    # How the role was authenticated, and as whom; empty with `trust`.
    identity: str
    application: str
    began: float


@dataclass
class Instance:
    """A server in a directory of its own."""

    name: str
    binaries: Path
    directory: Path
    account: dict[str, object]
    addresses: Sequence[str]
    port: int
    sockets: Sequence[str] = ()
    settings: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen | None = None
    read_bytes: int = 0

    @property
    def data(self) -> Path:
        return self.directory / "data"

    @property
    def log(self) -> Path:
        return self.directory / "log"

    def start(self) -> None:
        settings = SETTINGS | self.settings | {
            "listen_addresses": ",".join(self.addresses),
            "unix_socket_directories": ",".join(self.sockets),
        }  # fmt: skip
        arguments = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with self.log.open("w") as log:
            # A session of its own: Ctrl-C is for the matrix, which stops the server.
            self.process = subprocess.Popen(
                [self.binaries / "postgres", "-D", self.data, "-p", str(self.port), *arguments],
                stdout=log, stderr=log, cwd=self.directory, start_new_session=True, **self.account,
            )  # fmt: skip

    def wait(self) -> None:
        """Waits until the server takes queries."""
        deadline = time.monotonic() + LONGEST_START_SECONDS
        while not re.search("ready to accept (read-only )?connections", self.log.read_text(errors="replace")):
            if (self.process and self.process.poll() is not None) or time.monotonic() > deadline:
                raise SystemExit(f"the server {self.name} does not start:\n{self.log.read_text(errors='replace')}")
            time.sleep(0.05)

    def stop(self) -> None:
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait()

    def copy_to(self, target: "Instance") -> None:
        """Copies the data of this server, which must not run."""
        target.directory.mkdir()
        command = ["cp", "-a", "--reflink=auto", str(self.data), str(target.data)]
        subprocess.run(command, check=True)
        if self.account:
            shutil.chown(target.directory, str(self.account["user"]))

    def visits(self) -> list[Visit]:
        """Who came in since the last call. A visit counts when it is over, because its name may change until then."""
        deadline = time.monotonic() + LONGEST_LEAVE_SECONDS
        while True:
            with self.log.open("rb") as log:
                log.seek(self.read_bytes)
                new = log.read()
            found, is_complete = read_visits(self, new.decode(errors="replace"))
            if is_complete or time.monotonic() > deadline:
                self.read_bytes += len(new)
                return found
            time.sleep(0.01)


def read_visits(instance: Instance, log: str) -> tuple[list[Visit], bool]:
    """The visits in a part of a log, and whether all of them are over."""
    open_visits: dict[str, Visit] = {}
    identities: dict[str, str] = {}
    over = []
    for line in log.splitlines():
        parts = line.split(SEPARATOR)
        if len(parts) != 6:
            continue
        seconds, process, user, database, application, message = parts
        message = message.removeprefix("LOG:  ")
        if authenticated := re.match(r'connection authenticated: identity="(.*)" method=(\S+)', message):
            identities[process] = f"{authenticated[2]} {authenticated[1]}"
        elif re.match("(replication )?connection authorized:", message):
            protocol = re.search(r"SSL enabled \(protocol=([^,]+)", message)
            identity = identities.pop(process, "")
            tls = protocol[1] if protocol else ""
            open_visits[process] = Visit(
                instance.name, instance.port, user, database, tls, identity, "", float(seconds)
            )
        elif message.startswith("disconnection:") and process in open_visits:
            visit = open_visits.pop(process)
            over.append(Visit(**{**vars(visit), "application": application}))
    return over + list(open_visits.values()), not open_visits
