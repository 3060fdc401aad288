"""compose.yaml and the targets of containers.mk: start, restart, redeploy, failures, jobs, clean."""

import os
import signal

import base_images
import connections
from command import Outcome, run
from lab import Lab
from tally import Tally, expect, expect_equal, expect_in, until

# As podman-compose names the containers of a project `tarsy`.
DATABASE = "tarsy_database_1"
BACKEND = "tarsy_backend_1"
SOUND = "is sound"


def test(lab: Lab, tally: Tally) -> None:
    stack = Stack(lab)
    test_start(stack, tally)
    test_restarts(stack, tally)
    test_crashes(stack, tally)
    test_passwords(stack, tally)
    test_prune(stack, tally)
    test_migrate(stack, tally)
    test_clean(stack, tally)


class Stack:
    """The containers of compose.yaml, with settings of the environment."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        # The base image of TARSy's backend, and a network in which the build reaches the registry of crates.
        self.settings = {
            "COMPOSE": "podman-compose --podman-build-args=--network=host",
            "TARSY_BACKEND_IMAGE": base_images.BACKEND,
        }

    @property
    def environment(self) -> dict[str, str]:
        return self.lab.environment | self.settings

    def make(self, *words: str, expect: int | None = 0) -> Outcome:
        return run(
            "make", *words, environment=self.environment, directory=self.lab.project, expect=expect, seconds=3600
        )

    def job(self, service: str, *words: str, expect: int | None = 0) -> Outcome:
        """Runs a service once, as an operator does."""
        profile = [] if service == "init" else ["--profile", service]
        command = ["podman-compose", *profile, "run", "--rm", "-T", service, *words]
        return run(*command, environment=self.environment, directory=self.lab.project, expect=expect)

    def inspect(self, container: str, field: str) -> str:
        return self.lab.podman("inspect", "--format", f"{{{{.{field}}}}}", container).stdout.strip()

    def is_running(self, container: str) -> bool:
        return (
            self.lab.podman("inspect", "--format", "{{.State.Running}}", container, expect=None).stdout.strip()
            == "true"
        )

    def logs(self, container: str) -> str:
        return self.lab.podman("logs", container).text

    def sql(self, statement: str) -> str:
        command = ["psql", "-U", "tarsy", "-qtAX", "-v", "ON_ERROR_STOP=1", "-c", statement, "tarsy"]
        return self.lab.podman("exec", DATABASE, *command).stdout.strip()

    def backend_starts(self) -> None:
        """Waits until the stand-in, which runs `tarsy-db check`, has started after the wait."""
        until("the backend checks the database", lambda: SOUND in self.logs(BACKEND), 90)

    def kill(self, container: str) -> None:
        """Ends a container as a crash does: after `podman kill` podman would not start it again."""
        os.kill(int(self.inspect(container, "State.Pid")), signal.SIGKILL)


def test_start(stack: Stack, tally: Tally) -> None:
    with tally.case("compose: the configuration is checked"):
        expect_in("valid", stack.make("check-config").stdout)
    with tally.case("compose: database, init, wait and backend start"):
        started = stack.make("containers-start")
        expect_in("created the schema", started.text)
        stack.backend_starts()
    with tally.case("compose: status and logs"):
        status = stack.make("containers-status").stdout
        expect(DATABASE in status and BACKEND in status, status)
        expect_in(SOUND, stack.make("containers-logs").text)
    with tally.case("compose: the backend's health check"):
        stack.lab.podman("healthcheck", "run", BACKEND)
    with tally.case("compose: the password is in no container's configuration"):
        for container in [DATABASE, BACKEND]:
            expect("tarsy-dev-password" not in stack.lab.podman("inspect", container).stdout, container)


def test_restarts(stack: Stack, tally: Tally) -> None:
    stack.sql("CREATE TABLE kept AS SELECT 1 AS one")
    for target in ["containers-restart-app", "containers-deploy"]:
        with tally.case(f"compose: `make {target}` replaces the backend and keeps the database"):
            before = (stack.inspect(DATABASE, "State.StartedAt"), stack.inspect(BACKEND, "Id"))
            expect_in("nothing to do", stack.make(target).text)
            stack.backend_starts()
            expect_equal(stack.inspect(DATABASE, "State.StartedAt"), before[0])
            expect(stack.inspect(BACKEND, "Id") != before[1], "the backend is the same container")
            expect_equal(stack.sql("SELECT one FROM kept"), "1")
    stack.sql("DROP TABLE kept")


def test_crashes(stack: Stack, tally: Tally) -> None:
    with tally.case("compose: a database that is killed comes back, and the backend can use it"):
        stack.kill(DATABASE)
        until("the database runs again", lambda: stack.is_running(DATABASE))
        stack.lab.podman("exec", BACKEND, "tarsy-db", "wait", "--for", "schema", "--timeout", "60s")
    with tally.case("compose: a backend that starts without its database waits for it"):
        stack.lab.podman("stop", DATABASE)
        stack.lab.podman("restart", "--time", "2", BACKEND)
        until("it says why it waits", lambda: "waiting for" in stack.logs(BACKEND).rsplit(SOUND, 1)[-1])
        expect(stack.lab.podman("healthcheck", "run", BACKEND, expect=None).code != 0, "the health check succeeds")
        before = stack.logs(BACKEND).count(SOUND)
        stack.lab.podman("start", DATABASE)
        until("it starts the backend", lambda: stack.logs(BACKEND).count(SOUND) > before, 90)
    with tally.case("compose: a backend that is killed comes back"):
        before = stack.logs(BACKEND).count(SOUND)
        stack.kill(BACKEND)
        until("it starts again", lambda: stack.is_running(BACKEND) and stack.logs(BACKEND).count(SOUND) > before, 90)


def test_passwords(stack: Stack, tally: Tally) -> None:
    other = stack.lab.project / "other-password"
    # Characters that a URL would have to escape.
    other.write_text("p@ss/w:rd %41\n")
    other.chmod(0o444)
    with tally.case("compose: a wrong password ends `init` with 77 and says so"):
        stack.settings["TARSY_PASSWORD_FILE"] = "./other-password"
        refused = stack.job("init", expect=77)
        expect_in("password authentication failed", refused.text)
        expect("p@ss" not in refused.text, "the password is shown")
    with tally.case("compose: and `make containers-deploy` leaves the old backend running"):
        stack.make("containers-deploy", expect=2)
        expect(stack.is_running(BACKEND), "it ended")
    with tally.case("compose: a changed password is used after the next deployment"):
        stack.sql("ALTER ROLE tarsy PASSWORD 'p@ss/w:rd %41'")
        stack.make("containers-deploy")
        stack.backend_starts()
    with tally.case("compose: the old password is refused then"):
        del stack.settings["TARSY_PASSWORD_FILE"]
        stack.job("init", expect=77)
    stack.sql("ALTER ROLE tarsy PASSWORD 'tarsy-dev-password'")


def test_prune(stack: Stack, tally: Tally) -> None:
    sessions = "SELECT string_agg(session_id, ' ' ORDER BY session_id) FROM alert_sessions"
    stack.sql(connections.SESSIONS)
    stack.settings["HISTORY_RETENTION_DAYS"] = "90"
    with tally.case("compose: a dry run of `prune` removes nothing"):
        stack.job("prune", "prune", "--events", "--dry-run")
        expect_equal(stack.sql(sessions), "new newer old")
    with tally.case("compose: `prune` removes what is past its retention"):
        stack.job("prune")
        expect_equal(stack.sql(sessions), "new newer")
    stack.sql("DELETE FROM alert_sessions")
    del stack.settings["HISTORY_RETENTION_DAYS"]
    with tally.case("compose: the jobs replaced no container"):
        expect(stack.is_running(DATABASE) and stack.is_running(BACKEND), "one of them ended")


def test_migrate(stack: Stack, tally: Tally) -> None:
    stack.settings["TARSY_HISTORY_DIRECTORY"] = str(connections.history(stack.lab).parent)
    with tally.case("compose: `migrate` moves a SQLite history"):
        expect_in("moved /history/history.db", stack.job("migrate").text)
        expect_equal(stack.sql("SELECT count(*) FROM alert_sessions"), "3")
    with tally.case("compose: a second `migrate` is refused (7)"):
        stack.job("migrate", expect=7)


def test_clean(stack: Stack, tally: Tally) -> None:
    with tally.case("compose: `make containers-deploy-fresh` begins with an empty database"):
        stack.make("containers-deploy-fresh")
        stack.backend_starts()
        expect_equal(stack.sql("SELECT count(*) FROM alert_sessions"), "0")
    with tally.case("compose: a database with a password of its own is deleted only with CONFIRM=yes"):
        own = {**stack.settings, "TARSY_PASSWORD_FILE": "./other-password"}
        stack.settings, usual = own, stack.settings
        expect_in("CONFIRM=yes", stack.make("containers-clean", expect=2).stderr)
        stack.settings = usual
        expect(stack.is_running(DATABASE), "it was deleted")
    with tally.case("compose: `make containers-clean` leaves nothing"):
        stack.make("containers-clean")
        expect_equal(stack.lab.podman("ps", "--all", "--quiet").stdout, "")
        expect_equal(stack.lab.podman("volume", "ls", "--quiet", "--filter", "name=tarsy").stdout, "")
