"""The images that the Dockerfile and compose.yaml begin with: from a registry, or made by debootstrap."""

import shutil
from pathlib import Path

from command import run
from lab import Lab

HERE = Path(__file__).resolve().parent

RUST = "docker.io/library/rust:1.95-bookworm"
POSTGRES = "docker.io/library/postgres:16"
# What the Dockerfile puts the binary into by default, and what the images made here begin with.
DEBIAN = "docker.io/library/debian:bookworm-slim"
# In the place of TARSy's backend: another release of Debian, with another C library than the build. It looks up hosts
# with a library of its own as well (`myhostname`), which a program with another C library cannot load.
BACKEND = "docker.io/library/debian:bullseye-slim"


def provide(lab: Lab, source: str) -> None:
    for name in [RUST, POSTGRES, DEBIAN, BACKEND]:
        if not lab.has_image(name):
            print(f"image   {name}, from {source}", flush=True)
            if source == "registry":
                lab.podman("pull", "--quiet", name, seconds=1200)
            else:
                make(lab, name)


def make(lab: Lab, name: str) -> None:
    match name:
        case "docker.io/library/debian:bookworm-slim":
            bootstrap(lab, "bookworm", name)
        case "docker.io/library/debian:bullseye-slim":
            bootstrap(lab, "bullseye", name, "--include=libnss-myhostname")
        case "docker.io/library/rust:1.95-bookworm":
            provide_first(lab, DEBIAN)
            # The toolchain of this machine, without its documentation.
            toolchain = run("rustc", "--print", "sysroot").stdout.strip()
            contexts = [f"--build-context=toolchain={toolchain}", "--build-context=certificates=/etc/ssl/certs"]
            build(lab, name, "rust", *contexts)
        case "docker.io/library/postgres:16":
            provide_first(lab, DEBIAN)
            build(lab, name, "postgres")


def provide_first(lab: Lab, name: str) -> None:
    if not lab.has_image(name):
        make(lab, name)


def bootstrap(lab: Lab, release: str, name: str, *options: str) -> None:
    """Makes the smallest system of a release, from the mirror that this machine uses."""
    root = lab.directory / f"root-{release}"
    shutil.rmtree(root, ignore_errors=True)
    run("debootstrap", "--variant=minbase", *options, release, root, mirror(), seconds=1200)
    archive = root.with_suffix(".tar")
    run("tar", "--directory", root, "--create", "--file", archive, "--exclude", "./var/cache/apt/archives/*.deb", ".")
    lab.podman("import", "--quiet", archive, name)
    archive.unlink()
    shutil.rmtree(root)


def mirror() -> str:
    """The first mirror of the machine's apt."""
    for index in run("apt-get", "indextargets", "--format", "$(SITE)", expect=None).stdout.split():
        if index.rstrip("/").endswith("/debian"):
            return index
    raise SystemExit("apt names no mirror of Debian: BASE_IMAGES=registry takes the images of a registry")


def build(lab: Lab, name: str, file: str, *words: str) -> None:
    lab.podman(
        *("build", "--network", "host", "--tag", name, "--file", HERE / f"images/{file}.Containerfile"),
        *(*words, HERE / "images"),
        seconds=1200,
    )
