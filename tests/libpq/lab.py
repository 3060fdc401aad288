"""The servers of the matrix: plain, with good and faulty certificates, a standby, and addresses where none answers."""

import contextlib
import os
import pwd
import secrets
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import psycopg2

from case import Case
from instance import Instance, Visit
from listeners import MANNERS, Listener
from roles import SYSTEM_USER, access_rules, odd_databases, statements

sys.path.append(str(Path(__file__).resolve().parents[2] / "benchsuite"))
from measure import version
from server import find_binaries

# What libpq was built with: the directory of the socket where no host is given.
DEFAULT_SOCKETS = Path("/var/run/postgresql")
PRIMARY, STANDBY, CLOSED = "127.0.0.1", "127.0.0.2", "127.0.0.3"
TAKEN: set[int] = set()


@dataclass(frozen=True)
class TlsServer:
    """A server with TLS: its certificate, the host in the cases' URLs, and what else is special."""

    certificate: str
    host: str = "localhost"
    asks_for_certificates: bool = True
    settings: dict[str, str] = field(default_factory=dict)


TLS_SERVERS = {
    "good": TlsServer("good"),
    "address": TlsServer("address", host=PRIMARY),
    "common_name": TlsServer("common_name"),
    "other_names": TlsServer("other_names"),
    "wildcard": TlsServer("wildcard"),
    "wrong_name": TlsServer("wrong_name"),
    "expired": TlsServer("expired"),
    "future": TlsServer("future"),
    "other_issuer": TlsServer("other_issuer"),
    "self_signed": TlsServer("self_signed"),
    "chained": TlsServer("chained"),
    "unchained": TlsServer("unchained"),
    "revoked": TlsServer("revoked"),
    "rsa": TlsServer("rsa"),
    "sha384": TlsServer("sha384"),
    "ed25519": TlsServer("ed25519"),
    "rsa_pss": TlsServer("rsa_pss"),
    "other_kind": TlsServer("other_kind"),
    "registered": TlsServer("registered"),
    "unasking": TlsServer("good", asks_for_certificates=False),
    "tls12": TlsServer("good", settings={"ssl_max_protocol_version": "TLSv1.2"}),
}


@dataclass(frozen=True)
class Ground:
    """What all labs of a run share."""

    directory: Path
    binaries: Path
    account: dict[str, object]
    template: Instance
    administrator: str

    @property
    def pki(self) -> Path:
        return self.directory / "pki"


def make_ground(directory: Path, tarsy_db: Path) -> Ground:
    """Makes the data directory that every server begins with."""
    binaries = server_programs()
    account = {"user": "postgres", "group": "postgres", "extra_groups": []} if os.geteuid() == 0 else {}
    template = Instance("template", binaries, directory / "template", account, [PRIMARY], free_port([PRIMARY]))
    template.directory.mkdir()
    administrator = secrets.token_hex()
    password_file = template.directory / "password"
    password_file.touch(0o600)
    password_file.write_text(administrator)
    if account:
        shutil.chown(template.directory, "postgres")
        shutil.chown(password_file, "postgres")
    initdb = [
        binaries / "initdb", "-D", template.data, "-U", "postgres", "-E", "UTF8", "--locale=C", "--no-sync",
        "-A", "scram-sha-256", f"--pwfile={password_file}", "--wal-segsize=1",
    ]  # fmt: skip
    made = subprocess.run(initdb, capture_output=True, text=True, cwd=template.directory, check=False, **account)
    if made.returncode != 0:
        raise SystemExit(f"initdb: {made.stderr.strip()}")
    ground = Ground(directory, binaries, account, template, administrator)
    write_rules(ground, template, "host all postgres 127.0.0.1/32 scram-sha-256\n" + access_rules_of(None))
    with started(template):
        run(ground, template, "postgres", statements())
        run(ground, template, "tarsy", ["CREATE SCHEMA other AUTHORIZATION elsewhere"])
        for role, revision in [("trusted", "baseline"), ("elsewhere", "head")]:
            url = f"postgresql://{role}@{PRIMARY}:{template.port}/tarsy"
            call = [tarsy_db, "init", "--to", revision, "--database-url", url]
            subprocess.run(call, check=True, capture_output=True, cwd=directory, env={})
        readable = "GRANT SELECT ON ALL TABLES IN SCHEMA public, other TO PUBLIC; GRANT USAGE ON SCHEMA other TO PUBLIC"
        run(ground, template, "tarsy", [readable])
    return ground


def server_programs() -> Path:
    return Path(os.environ.get("TEST_POSTGRESQL_BIN") or find_binaries())


def server_version() -> str:
    """The major version of the servers."""
    return version(server_programs() / "postgres", "--version").partition(".")[0]


def access_rules_of(server: TlsServer | None) -> str:
    return access_rules(has_tls=server is not None, asks_for_certificates=bool(server and server.asks_for_certificates))


def write_rules(ground: Ground, instance: Instance, rules: str) -> None:
    path = instance.data / "pg_hba.conf"
    path.write_text(rules)
    if ground.account:
        shutil.chown(path, "postgres")


def run(ground: Ground, instance: Instance, database: str, sql: list[str]) -> None:
    connection = psycopg2.connect(
        host=PRIMARY, port=instance.port, user="postgres", password=ground.administrator, dbname=database,
        sslmode="disable", client_encoding="UTF8",
    )  # fmt: skip
    with contextlib.closing(connection):
        connection.autocommit = True
        with connection.cursor() as cursor:
            for statement in sql:
                cursor.execute(statement)


@contextlib.contextmanager
def started(instance: Instance) -> Iterator[None]:
    instance.start()
    try:
        instance.wait()
        yield
    finally:
        instance.stop()


class Lab:
    """All servers once. One case at a time runs in it, so that the logs say who came in because of that case."""

    def __init__(self, ground: Ground, number: int) -> None:
        self.ground = ground
        self.directory = ground.directory / str(number)
        # Names of sockets are short, and the clients have to reach them.
        self.sockets = self.directory / "s"
        self.instances: dict[str, Instance] = {}
        self.listeners: dict[str, Listener] = {}
        self.has_ipv6 = is_free("::1", 0)
        self.has_default_sockets = is_owned(DEFAULT_SOCKETS, ground.account)

    def start(self) -> None:
        self.directory.mkdir()
        self.sockets.mkdir()
        if self.ground.account:
            shutil.chown(self.sockets, "postgres")
        self.listeners = {name: Listener(manner) for name, manner in MANNERS.items()}
        TAKEN.update(listener.port for listener in self.listeners.values())
        port = free_port([PRIMARY, STANDBY, CLOSED, *["::1"] * self.has_ipv6])
        places = [str(self.sockets), f"@tarsy-db-{port}", *[str(DEFAULT_SOCKETS)] * self.has_default_sockets]
        primary = self.add("primary", [PRIMARY, *["::1"] * self.has_ipv6], port, places, {})
        self.ground.template.copy_to(primary)
        write_rules(self.ground, primary, "host all postgres 127.0.0.1/32 scram-sha-256\n" + access_rules_of(None))
        with started(primary):
            run(self.ground, primary, "postgres", odd_databases())
        standby = self.add("standby", [STANDBY], port, (), {})
        primary.copy_to(standby)
        (standby.data / "standby.signal").touch()
        for instance in [primary, standby]:
            instance.start()
        for instance in [primary, standby]:
            instance.wait()
            instance.visits()
        addresses = [PRIMARY, *["::1"] * self.has_ipv6]
        for name in TLS_SERVERS:
            self.add(name, addresses, free_port(addresses), (), {})

    def start_for(self, case: Case) -> None:
        """Starts the servers with TLS that the case names, if none did before."""
        for name in TLS_SERVERS.keys() & case.words():
            if not self.instances[name].process:
                self.start_tls_server(name, TLS_SERVERS[name])

    def add(
        self, name: str, addresses: list[str], port: int, sockets: list[str] | tuple[()], settings: dict[str, str]
    ) -> Instance:
        ground = self.ground
        directory = self.directory / name
        instance = Instance(name, ground.binaries, directory, ground.account, addresses, port, sockets, settings)
        self.instances[name] = instance
        return instance

    def start_tls_server(self, name: str, server: TlsServer) -> None:
        instance = self.instances[name]
        certificate, key, authority = (f"../{end}" for end in ("server.crt", "server.key", "ca.crt"))
        settings = {"ssl": "on", "ssl_cert_file": certificate, "ssl_key_file": key, **server.settings}
        if server.asks_for_certificates:
            settings["ssl_ca_file"] = authority
        instance.settings = settings
        self.ground.template.copy_to(instance)
        write_rules(self.ground, instance, access_rules_of(server))
        copies = {f"{server.certificate}.crt": "server.crt", f"{server.certificate}.key": "server.key"}
        for source, target in (copies | {"ca.crt": "ca.crt"}).items():
            copied = shutil.copy(self.ground.pki / source, instance.directory / target)
            if self.ground.account:
                shutil.chown(copied, "postgres")
        instance.start()
        instance.wait()
        instance.visits()

    def stop(self) -> None:
        for instance in self.instances.values():
            instance.stop()
        for listener in self.listeners.values():
            listener.close()

    def places(self) -> dict[str, str]:
        """The words in braces of the cases' URLs, variables and files."""
        port = self.instances["primary"].port
        named = {name: f"{server.host}:{self.instances[name].port}" for name, server in TLS_SERVERS.items()}
        named |= {name: f"{PRIMARY}:{listener.port}" for name, listener in self.listeners.items()}
        ports = {f"{name}_port": str(instance.port) for name, instance in self.instances.items()}
        ports |= {f"{name}_port": str(listener.port) for name, listener in self.listeners.items()}
        return named | ports | {
            "primary": f"{PRIMARY}:{port}",
            "primary_host": PRIMARY,
            "standby": f"{STANDBY}:{port}",
            "standby_host": STANDBY,
            "closed": f"{CLOSED}:{port}",
            "closed_host": CLOSED,
            "port": str(port),
            "sockets": str(self.sockets),
            "encoded_sockets": quote(str(self.sockets), safe=""),
            "abstract": f"@tarsy-db-{port}",
            "pki": str(self.ground.pki),
            "system_user": SYSTEM_USER,
            "server_user": "postgres" if self.ground.account else pwd.getpwuid(os.geteuid()).pw_name,
        }  # fmt: skip

    def visits(self) -> list[Visit]:
        """Who came in since the last call, in order."""
        found = [visit for instance in self.instances.values() if instance.process for visit in instance.visits()]
        return sorted(found, key=lambda visit: visit.began)


def free_port(addresses: list[str]) -> int:
    """A port that is free on all of these addresses, and that no other server of this run gets."""
    while True:
        with socket.socket() as probe:
            probe.bind((addresses[0], 0))
            port = probe.getsockname()[1]
        if port not in TAKEN and all(is_free(address, port) for address in addresses):
            TAKEN.add(port)
            return port


def is_free(address: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family) as probe:
            probe.bind((address, port))
    except OSError:
        return False
    return True


def is_owned(directory: Path, account: dict[str, object]) -> bool:
    """Whether the server's user may create its socket there."""
    user = pwd.getpwnam(str(account["user"])).pw_uid if account else os.geteuid()
    return directory.is_dir() and directory.stat().st_uid == user
