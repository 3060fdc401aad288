"""The image beside a server: names, certificates, users, a read-only root."""

import contextlib
import sqlite3
import time
from pathlib import Path

import base_images
from command import Outcome, run
from image import ANY_USER, BACKEND_IMAGE, IMAGE, STRICT
from lab import Lab
from tally import Tally, expect_in, until

NETWORK = "lab"
PASSWORD = "development"
SERVER = "lab-server"

# One session is past any retention, and two are of now: `prune` refuses to remove more than half of a history.
NOW_US = time.time_ns() // 1000
STARTED_AT_US = {"old": 1577836800000000, "new": NOW_US, "newer": NOW_US}
SESSIONS = "".join(
    "INSERT INTO alert_sessions"
    " (session_id, alert_id, agent_type, status, started_at_us, completed_at_us, chain_id)"
    f" VALUES ('{name}', '{name}', 'kubernetes', 'completed', {started_at_us}, {started_at_us}, 'chain');\n"
    for name, started_at_us in STARTED_AT_US.items()
)


def test(lab: Lab, tally: Tally) -> None:
    with tally.case("connections: a server with a certificate of its own authority starts"):
        certificates = start(lab)
    test_names(lab, tally)
    test_tls(lab, tally, certificates)
    test_users(lab, tally)
    test_temporary_files(lab, tally)
    test_foreign_image(lab, tally)
    test_process_1(lab, tally)
    lab.remove_containers()


def start(lab: Lab) -> Path:
    """Starts a server that is the host `database` of its network, and returns the directory of its certificates."""
    certificates = lab.directory / "certificates"
    make_certificates(certificates)
    start_server(lab, certificates)
    return certificates


def sql(lab: Lab, statement: str) -> str:
    command = ["psql", "-U", "tarsy", "-qtAX", "-v", "ON_ERROR_STOP=1", "-c", statement, "tarsy"]
    return lab.podman("exec", SERVER, *command).stdout.strip()


def make_certificates(directory: Path) -> None:
    """An authority, and a certificate of the host `database`."""
    directory.mkdir(exist_ok=True)
    common = ["-newkey", "rsa:2048", "-nodes", "-days", "30"]
    run(
        "openssl",
        "req",
        "-x509",
        *common,
        "-subj",
        "/CN=Laboratory",
        "-keyout",
        "ca.key",
        "-out",
        "ca.crt",
        directory=directory,
    )
    run(
        "openssl",
        "req",
        *common[:3],
        "-subj",
        "/CN=database",
        "-keyout",
        "server.key",
        "-out",
        "server.csr",
        directory=directory,
    )
    (directory / "names").write_text("subjectAltName=DNS:database\n")
    run(
        *("openssl", "x509", "-req", "-in", "server.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial"),
        *("-days", "30", "-extfile", "names", "-out", "server.crt"),
        directory=directory,
    )


def start_server(lab: Lab, certificates: Path) -> None:
    lab.podman("network", "create", NETWORK)
    # The server reads its key only if the key is its own.
    with_key = "install -m 0600 -o postgres /certificates/server.key /etc/server.key && exec postgres-entrypoint" + (
        " -c ssl=on -c ssl_cert_file=/certificates/server.crt -c ssl_key_file=/etc/server.key"
    )
    lab.podman(
        *("run", "--detach", "--name", SERVER, "--network", NETWORK, "--network-alias", "database"),
        *("--env", "POSTGRES_USER=tarsy", "--env", "POSTGRES_DB=tarsy", "--env", f"POSTGRES_PASSWORD={PASSWORD}"),
        *("--volume", f"{certificates}:/certificates:ro", "--entrypoint", "sh", base_images.POSTGRES, "-c", with_key),
    )
    wait_for(lab, "postgresql://tarsy@database/tarsy", "--timeout", "2m", expect=0)


def wait_for(lab: Lab, url: str, *arguments: str, podman: tuple[str, ...] = (), expect: int | None = 0) -> Outcome:
    """Runs `wait` in the image, once unless arguments say otherwise."""
    network = () if any(word.startswith("--network") for word in podman) else (f"--network={NETWORK}",)
    arguments = arguments or ("--max-attempts", "1")
    environment = (f"--env=DATABASE_URL={url}", f"--env=PGPASSWORD={PASSWORD}")
    return lab.podman(
        "run", "--rm", *ANY_USER, *network, *environment, *podman, IMAGE, "wait", *arguments, expect=expect, seconds=150
    )


def test_names(lab: Lab, tally: Tally) -> None:
    with tally.case("connections: the name server of the network knows the host"):
        expect_in("is usable", wait_for(lab, "postgresql://tarsy@database/tarsy").stdout)
    with tally.case("connections: a host of /etc/hosts"):
        address = lab.podman(
            "inspect", "--format", f"{{{{.NetworkSettings.Networks.{NETWORK}.IPAddress}}}}", SERVER
        ).stdout.strip()
        wait_for(lab, "postgresql://tarsy@listed/tarsy", podman=(f"--add-host=listed:{address}",))
    with tally.case("connections: localhost"):
        wait_for(lab, "postgresql://tarsy@localhost/tarsy", podman=(f"--network=container:{SERVER}",))
    with tally.case("connections: a name that no server knows is reported (69)"):
        expect_in("host name", wait_for(lab, "postgresql://tarsy@no-such-host/tarsy", expect=69).stderr)


def test_tls(lab: Lab, tally: Tally, certificates: Path) -> None:
    url = "postgresql://tarsy@database/tarsy?sslmode=verify-full"
    authority = f"--volume={certificates}/ca.crt:"
    with tally.case("connections: the server is verified with the authority of a file"):
        wait_for(lab, f"{url}&sslrootcert=/run/ca.crt", podman=(f"{authority}/run/ca.crt:ro",))
    with tally.case("connections: `sslrootcert=system` is the file in the image"):
        expect_in("certificate", wait_for(lab, f"{url}&sslrootcert=system", expect=78).stderr)
        wait_for(lab, f"{url}&sslrootcert=system", podman=(f"{authority}/etc/ssl/certs/ca-certificates.crt:ro",))
    with tally.case("connections: a certificate of another host is refused (78)"):
        podman = (f"{authority}/run/ca.crt:ro", f"--network=container:{SERVER}")
        wait_for(lab, f"{url}&sslrootcert=/run/ca.crt".replace("@database", "@localhost"), podman=podman, expect=78)


def test_users(lab: Lab, tally: Tally) -> None:
    with tally.case("connections: without a role in the URL the image's user logs in by its name"):
        refused = lab.podman(
            *("run", "--rm", *STRICT, f"--network={NETWORK}", "--env=DATABASE_URL=postgresql://database/tarsy"),
            *("--env=PGPASSWORD=x", IMAGE, "wait", "--max-attempts", "1"),
            expect=77,
        )
        expect_in('"nonroot"', refused.stderr)
    with tally.case("connections: init and check with a read-only root, any user, a password file and 32 MB of memory"):
        secret = lab.directory / "password"
        secret.write_text(PASSWORD)
        environment = ("--env=DATABASE_HOST=database", "--env=DATABASE_PASSWORD_FILE=/run/secrets/password")
        podman = (
            *ANY_USER,
            f"--network={NETWORK}",
            *environment,
            f"--volume={secret}:/run/secrets/password:ro",
            "--memory=32m",
        )
        for command in ["init", "check"]:
            lab.podman("run", "--rm", *podman, IMAGE, command)


def test_temporary_files(lab: Lab, tally: Tally) -> None:
    """A source with a rollback journal is copied to TMPDIR, or /tmp."""
    source = lab.directory / "source"
    source.mkdir(exist_ok=True)
    run("cp", history(lab), source / "history.db")
    migrate = ("migrate-sqlite-to-postgres", "--check-only", "--from", "/source/history.db")
    url = f"--env=DATABASE_URL=postgresql://tarsy:{PASSWORD}@database/tarsy"
    podman = ("run", "--rm", *ANY_USER, f"--network={NETWORK}", url, f"--volume={source}:/source:ro")
    with tally.case("connections: a source is copied to a /tmp in memory"):
        lab.podman(*podman, "--tmpfs=/tmp", IMAGE, *migrate)
    with tally.case("connections: without a /tmp that can be written TMPDIR is asked for (73)"):
        refused = lab.podman(*podman, IMAGE, *migrate, expect=None)
        expect_in("set TMPDIR", refused.stderr)
    with tally.case("connections: TMPDIR may be a volume"):
        lab.podman(*podman, "--volume=copies:/var/lib/tarsy", "--env=TMPDIR=/var/lib/tarsy", IMAGE, *migrate)


def history(lab: Lab) -> Path:
    """A history in SQLite, with a rollback journal."""
    directory = lab.directory / "history"
    directory.mkdir(exist_ok=True)
    directory.chmod(0o777)
    path = directory / "history.db"
    path.unlink(missing_ok=True)
    lab.podman("run", "--rm", *ANY_USER, f"--volume={directory}:/var/lib/tarsy", IMAGE, "init")
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA journal_mode = DELETE")
        database.executescript(SESSIONS)
        database.commit()
    return path


def test_foreign_image(lab: Lab, tally: Tally) -> None:
    with tally.case("backend's image: hosts are looked up, although it names a library of another glibc for that"):
        expect_in("myhostname", lab.podman("run", "--rm", BACKEND_IMAGE, "cat", "/etc/nsswitch.conf").stdout)
        podman = ("run", "--rm", f"--network={NETWORK}", f"--env=PGPASSWORD={PASSWORD}", BACKEND_IMAGE)
        for host, code in {"database": 0, "no-such-host": 69}.items():
            url = f"postgresql://tarsy@{host}/tarsy"
            lab.podman(*podman, "tarsy-db", "wait", "--max-attempts", "1", "--database-url", url, expect=code)


def test_process_1(lab: Lab, tally: Tally) -> None:
    with tally.case("backend's image: as process 1 `wait` leaves no zombie to the backend"):
        url = f"--env=DATABASE_URL=postgresql://tarsy:{PASSWORD}@no-such-host/tarsy"
        # One orphan ends before the wait or in it, the other when the test says so.
        orphans = "(true &); (sleep infinity &); exec tarsy-db wait --for schema -- sleep infinity"
        container = lab.podman(
            "run", "--detach", url, "--entrypoint=", BACKEND_IMAGE, "sh", "-c", orphans
        ).stdout.strip()

        def children() -> list[str]:
            return lab.podman("exec", container, "cat", "/proc/1/task/1/children").stdout.split()

        until("`wait` waits", lambda: "waiting for" in lab.podman("logs", container).text, 30)
        until("only one orphan is left", lambda: len(children()) == 1, 30)
        lab.podman("exec", container, "sh", "-c", f"kill -KILL {children()[0]}")
        until("the orphan that ends is reaped", lambda: not children(), 30)
