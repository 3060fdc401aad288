"""The image: built from the real Dockerfile, and what is in it."""

import gzip
import json
import shutil
import tarfile
import tempfile
import time
from pathlib import Path

import base_images
from lab import Lab
from tally import Tally, expect, expect_equal, expect_in

IMAGE = "localhost/tarsy-db:latest"
BACKEND_IMAGE = "localhost/tarsy-backend:latest"
LARGEST_BYTES = 25_000_000
COMMIT = "0123abc"

# Path, mode, user and group of everything in the image.
CONTENT = {
    ("etc", 0o755, 0, 0),
    ("etc/group", 0o644, 0, 0),
    ("etc/passwd", 0o644, 0, 0),
    ("etc/ssl", 0o755, 0, 0),
    ("etc/ssl/certs", 0o755, 0, 0),
    ("etc/ssl/certs/ca-certificates.crt", 0o644, 0, 0),
    ("tmp", 0o1777, 0, 0),
    ("usr", 0o755, 0, 0),
    ("usr/local", 0o755, 0, 0),
    ("usr/local/bin", 0o755, 0, 0),
    ("usr/local/bin/tarsy-db", 0o755, 0, 0),
    ("var", 0o755, 0, 0),
    ("var/lib", 0o755, 0, 0),
    ("var/lib/tarsy", 0o770, 65532, 0),
}

# As an orchestrator with strict rules runs it, under a user that is in no table. Without the second podman adds a /tmp.
STRICT = ["--read-only", "--read-only-tmpfs=false", "--cap-drop=ALL", "--security-opt=no-new-privileges"]
ANY_USER = [*STRICT, "--user=1000670000:0"]


def test(lab: Lab, tally: Tally) -> None:
    with tally.case("image: the Dockerfile is built to its end"):
        build(lab, IMAGE, "--build-arg", "VERSION=1.2.3", "--build-arg", f"REVISION={COMMIT}")
    with tally.case("image: the backend's image is built without compiling the program again"):
        arguments = ("--build-arg", f"REVISION={COMMIT}", "--build-arg", f"TARSY_BACKEND_IMAGE={base_images.BACKEND}")
        built = build(lab, BACKEND_IMAGE, "--target", "backend", *arguments)
        expect("Compiling" not in built, built)
    with tally.case("image: the program names its commit, in the backend's image as well"):
        for name, program in {IMAGE: (), BACKEND_IMAGE: ("tarsy-db",)}.items():
            expect_in(f"\ncommit: {COMMIT}\n", lab.podman("run", "--rm", name, *program, "-V", "-v").stdout)
    with tempfile.TemporaryDirectory(dir=lab.directory) as directory:
        saved = Path(directory) / "image.tar"
        with tally.case("image: it has at most 25 MB, compressed"):
            lab.podman("save", "--quiet", "--output", saved, IMAGE)
            size = compressed_bytes(saved)
            print(f"        {size / 1e6:.1f} MB compressed, {saved.stat().st_size / 1e6:.1f} MB in all")
            expect(size <= LARGEST_BYTES, f"{size} bytes")
        with tally.case("image: nothing else is in it"):
            expect_equal(content(saved), CONTENT)
    with tally.case("image: its labels, its user and its entrypoint"):
        described = json.loads(lab.podman("image", "inspect", IMAGE).stdout)[0]
        labels = {name.rsplit(".", 1)[-1]: value for name, value in described["Config"]["Labels"].items()}
        expect_equal((labels["title"], labels["licenses"]), ("tarsy-db", "Apache-2.0"))
        expect_in(f'repository = "{labels["source"]}"', (lab.project / "Cargo.toml").read_text())
        expect_equal((labels["version"], labels["revision"]), ("1.2.3", COMMIT))
        expect_equal((described["Config"]["User"], described["Config"]["Entrypoint"]), ("65532:65532", ["tarsy-db"]))
    with tally.case("image: any user of group 0 creates a history with a read-only root"):
        volume = ["--volume=history:/var/lib/tarsy"]
        lab.podman("run", "--rm", *ANY_USER, *volume, IMAGE, "init")
        expect_in("is sound", lab.podman("run", "--rm", *ANY_USER, *volume, IMAGE, "check").stdout)
    with tally.case("image: without arguments it shows its help"):
        expect_in("migrate-sqlite-to-postgres", lab.podman("run", "--rm", *ANY_USER, IMAGE).stdout)
    test_rebuild(lab, tally)


def test_rebuild(lab: Lab, tally: Tally) -> None:
    with tally.case("image: a change in src/ compiles no dependency again"):
        main = lab.project / "src/main.rs"
        main.write_text(main.read_text() + "\n// Changed.\n")
        built = build(lab, "localhost/tarsy-db:changed")
        compiled = {line.split()[1] for line in built.splitlines() if line.strip().startswith("Compiling ")}
        expect("tarsy-db" in compiled and compiled <= {"tarsy-db", "migration", "tarsy-db-migration"}, compiled)


def build(lab: Lab, name: str, *words: str) -> str:
    """Builds an image, prints how long it took, and returns what the build said."""
    began = time.monotonic()
    built = lab.podman("build", "--network", "host", "--tag", name, *words, ".", seconds=3600)
    print(f"        {name} in {time.monotonic() - began:.0f} s")
    return built.text


def compressed_bytes(saved: Path) -> int:
    """The size of an image as a registry has it."""
    with tempfile.TemporaryFile() as compressed:
        with saved.open("rb") as archive, gzip.GzipFile(fileobj=compressed, mode="wb", compresslevel=6) as writer:
            shutil.copyfileobj(archive, writer)
        return compressed.tell()


def content(saved: Path) -> set[tuple[str, int, int, int]]:
    """What is in the layers of a saved image; a later layer replaces what an earlier one has."""
    found = {}
    with tarfile.open(saved) as archive:
        for layer in json.load(archive.extractfile("manifest.json"))[0]["Layers"]:
            with tarfile.open(fileobj=archive.extractfile(layer)) as files:
                for file in files:
                    found[file.name.strip("./")] = (file.mode & 0o7777, file.uid, file.gid)
    return {(path, *owner) for path, owner in found.items() if path}
