"""Builds the binary to measure, and generates the histories to measure it with."""

import os
import subprocess
from pathlib import Path

from measure import last_words

REPOSITORY = Path(__file__).resolve().parent.parent
# The end of every history, as a text and in microseconds since the epoch.
NOW, NOW_US = "2026-02-01T00:00:00Z", 1_769_904_000_000_000
# The variable that names a binary to measure instead of the one that is built here, such as that of a release.
OTHER = "TARSY_DB_BENCH_BINARY"


def build():
    """Builds the binary and the generator, unless another binary is to be measured."""
    if OTHER in os.environ:
        return
    command = ["cargo", "build", "--profile", "dist", "--locked", "--bin", "tarsy-db", "--example", "generate_history"]
    subprocess.run(command, cwd=REPOSITORY, check=True)


def generate(history, *options):
    """Generates the history. Returns a description of it."""
    command = ["cargo", "run", "--quiet", "--profile", "dist", "--locked", "--example", "generate_history", "--"]
    made = subprocess.run(
        [*command, "--output", history, "--now", NOW, *options],
        cwd=REPOSITORY, check=True, capture_output=True, text=True,
    )  # fmt: skip
    sessions, rows, size, *_ = made.stdout.split(", ")
    return f"{sessions}, {rows}, {size}"


def tarsy_db():
    """The binary that is measured."""
    if other := os.environ.get(OTHER):
        return Path(other).resolve()
    return Path(os.environ.get("CARGO_TARGET_DIR", REPOSITORY / "target")) / "dist" / "tarsy-db"


def call(directory, *arguments, environment=None):
    """Runs that binary without a measurement."""
    called = subprocess.run(
        [tarsy_db(), *arguments], env=environment, cwd=directory, capture_output=True, text=True, check=False
    )
    if called.returncode != 0:
        raise SystemExit(f"tarsy-db {arguments[0]}: {last_words(called.stderr)}")
