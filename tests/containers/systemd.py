"""The units in examples/: systemd finds no fault in them, and they work under their restrictions."""

import re
from pathlib import Path

import base_images
import connections
from command import run
from image import IMAGE
from lab import Lab
from tally import Tally, expect, expect_equal, expect_in, until

UNITS = ["tarsy-db-prune.service", "tarsy-db-prune.timer"]
SERVICE = "tarsy-db-prune.service"
# systemd's measure of what a service may do, from 0 (nothing) to 10.
LARGEST_EXPOSURE = 2.0
URL = f"postgresql://tarsy:{connections.PASSWORD}@database/tarsy"
MACHINE = "lab-systemd"
MACHINE_IMAGE = "localhost/systemd:latest"


def test(lab: Lab, tally: Tally) -> None:
    binary = binary_of_image(lab)
    units = [copy_of(lab, name, binary) for name in UNITS]
    with tally.case("systemd: the units are without fault"):
        verified = run("systemd-analyze", "verify", "--man=no", *units)
        expect(not verified.text.strip(), verified.text)
    with tally.case(f"systemd: the exposure of the service is below {LARGEST_EXPOSURE}"):
        shown = run("systemd-analyze", "security", "--offline=true", "--no-pager", units[0]).stdout
        exposure = float(re.search(r"exposure level for \S+: ([0-9.]+)", shown).group(1))
        print(f"        exposure {exposure}")
        expect(exposure < LARGEST_EXPOSURE, shown)
    connections.start(lab)
    with tally.case("systemd: a machine with systemd starts"):
        start_machine(lab, binary)
    with tally.case("systemd: the service prunes under its restrictions"):
        lab.podman("run", "--rm", f"--network={connections.NETWORK}", f"--env=DATABASE_URL={URL}", IMAGE, "init")
        connections.sql(lab, connections.SESSIONS)
        started = on_machine(lab, f"systemctl start {SERVICE} || journalctl --unit {SERVICE} --no-pager")
        expect_equal(state(lab), {"Result": "success", "ExecMainStatus": "0"})
        expect_equal(connections.sql(lab, "SELECT count(*) FROM alert_sessions"), "2")
        expect_equal(started, "")
    with tally.case("systemd: a wrong password is not tried again"):
        on_machine(lab, f"echo '{URL.replace(connections.PASSWORD, 'wrong')}' > /etc/tarsy-db/database-url")
        on_machine(lab, f"systemctl start {SERVICE} || true")
        expect_equal(state(lab, "SubState"), {"Result": "exit-code", "ExecMainStatus": "77", "SubState": "failed"})
    with tally.case("systemd: the timer runs every night"):
        on_machine(lab, "systemctl enable --quiet --now tarsy-db-prune.timer")
        expect_in(SERVICE, on_machine(lab, "systemctl list-timers --no-pager"))
    lab.remove_containers()


def start_machine(lab: Lab, binary: Path) -> None:
    base_images.build(lab, MACHINE_IMAGE, "systemd")
    lab.podman(
        *("run", "--detach", "--name", MACHINE, "--privileged", "--systemd=always"),
        *(f"--network={connections.NETWORK}", MACHINE_IMAGE),
    )
    lab.podman("cp", binary, f"{MACHINE}:/usr/local/bin/tarsy-db")
    for name in UNITS:
        lab.podman("cp", lab.project / "examples" / name, f"{MACHINE}:/etc/systemd/system/")
    until("systemd has started", lambda: "running" in on_machine(lab, "systemctl is-system-running || true"))
    # A machine's root is shared, and a container's is not: without it no credential reaches a service.
    on_machine(lab, "mount --make-rshared / && systemctl daemon-reload && install -d -m 0700 /etc/tarsy-db")
    on_machine(lab, f"umask 077 && echo '{URL}' > /etc/tarsy-db/database-url")
    on_machine(lab, "echo HISTORY_RETENTION_DAYS=90 > /etc/tarsy-db/retention")


def on_machine(lab: Lab, script: str) -> str:
    return lab.podman("exec", MACHINE, "sh", "-c", script).stdout


def state(lab: Lab, *more: str) -> dict[str, str]:
    properties = ",".join(["Result", "ExecMainStatus", *more])
    shown = on_machine(lab, f"systemctl show --property={properties} {SERVICE}")
    return dict(line.split("=", 1) for line in shown.splitlines())


def binary_of_image(lab: Lab) -> Path:
    binary = lab.directory / "tarsy-db"
    container = lab.podman("create", IMAGE).stdout.strip()
    lab.podman("cp", f"{container}:/usr/local/bin/tarsy-db", binary)
    lab.podman("rm", container)
    return binary


def copy_of(lab: Lab, name: str, binary: Path) -> Path:
    """The unit, with the image's binary in the place of the installed one, which systemd looks for."""
    directory = lab.directory / "units"
    directory.mkdir(exist_ok=True)
    copy = directory / name
    copy.write_text((lab.project / "examples" / name).read_text().replace("/usr/local/bin/tarsy-db", str(binary)))
    return copy
