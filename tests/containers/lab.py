"""A podman of its own, which shares neither images nor containers nor settings with that of the user."""

import contextlib
import os
import shutil
import signal
from dataclasses import dataclass
from pathlib import Path

from command import Outcome, run

ROOT = Path(__file__).resolve().parents[2]

# runc and cgroupfs need no daemon and no systemd. The limits are set because podman would otherwise ask for higher ones
# than this process may give.
CONTAINERS_CONF = """\
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]

[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
lock_type = "file"
runtime = "runc"
tmp_dir = "{directory}/libpod-run"
volume_path = "{directory}/volumes"

[network]
network_backend = "netavark"
network_config_dir = "{directory}/networks"
"""

STORAGE_CONF = """\
[storage]
driver = "overlay"
graphroot = "{directory}/storage"
runroot = "{directory}/storage-run"
"""

# What the Dockerfile and make see. Their own copy, so that a user's .env and settings have no effect.
PROJECT = [
    ".dockerignore",
    "Cargo.lock",
    "Cargo.toml",
    "Dockerfile",
    "Makefile",
    "build.rs",
    "compose.yaml",
    "containers.mk",
    "deploy",
    "examples",
    "migration",
    "packages.mk",
    "src",
    "tests/cli/main.rs",
]


@dataclass(frozen=True)
class Lab:
    directory: Path

    @property
    def project(self) -> Path:
        return self.directory / "project"

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("TARSY_", "DATABASE_", "PG"))}
        return kept | {
            "CONTAINERS_CONF": str(self.directory / "containers.conf"),
            "CONTAINERS_STORAGE_CONF": str(self.directory / "storage.conf"),
            "PATH": f"{self.directory / 'venv/bin'}:{os.environ['PATH']}",
            "TARSY_DATABASE_PORT": "15432",
            "TARSY_BACKEND_PORT": "18000",
        }

    def podman(self, *words: str | Path, expect: int | None = 0, seconds: float = 300) -> Outcome:
        command = ["podman", *words]
        return run(*command, expect=expect, seconds=seconds, environment=self.environment, directory=self.project)

    def has_image(self, name: str) -> bool:
        return self.podman("image", "exists", name, expect=None).code == 0

    def remove_containers(self) -> None:
        self.end_builds()
        self.podman("rm", "--all", "--force", "--time", "0", "--volumes", expect=None)
        self.podman("network", "prune", "--force", expect=None)
        self.podman("volume", "prune", "--force", expect=None)

    def end_builds(self) -> None:
        """Ends what an interrupted `podman build` leaves running; its containers are not among those of `podman ps`."""
        ours = f"upperdir={self.directory / 'storage'}/"
        for mounts in Path("/proc").glob("[0-9]*/mountinfo"):
            # The process may have ended.
            with contextlib.suppress(OSError):
                roots = [line for line in mounts.read_text().splitlines() if line.split()[4] == "/"]
                if any(ours in root for root in roots):
                    os.kill(int(mounts.parent.name), signal.SIGKILL)
        built = self.podman("ps", "--all", "--external", "--quiet", "--filter", "status=unknown", expect=None)
        for container in built.stdout.split():
            self.podman("rm", "--force", container, expect=None)


def prepare() -> Lab:
    # The Makefile has made it, with venv/ in it.
    directory = ROOT / "target/containers"
    lab = Lab(directory)
    for name, text in {"containers.conf": CONTAINERS_CONF, "storage.conf": STORAGE_CONF}.items():
        (directory / name).write_text(text.format(directory=directory))
    copy_project(lab.project)
    root = lab.podman("info", "--format", "{{.Store.GraphRoot}}").stdout.strip()
    if root != str(directory / "storage"):
        raise SystemExit(f"podman does not read CONTAINERS_STORAGE_CONF: it would work on {root}")
    lab.remove_containers()
    return lab


def copy_project(target: Path) -> None:
    shutil.rmtree(target, ignore_errors=True)
    for name in PROJECT:
        source, copy = ROOT / name, target / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, copy)
        else:
            shutil.copy2(source, copy)
