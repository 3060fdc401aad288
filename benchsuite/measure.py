"""Measures commands, describes the machine, and renders the results."""

import argparse
import importlib
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

# pgloader can deadlock with itself (with `workers = 1` it does).
LONGEST_RUN_SECONDS = 3600


class Failed(Exception):
    """A command failed."""


class TooLong(Failed):
    """A command was killed because it took longer than this."""

    def __init__(self, seconds):
        super().__init__(f"not done after {seconds:g} s")
        self.seconds = seconds


@dataclass
class Cost:
    """The cost of one or several consecutive commands on the client's side."""

    seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_kib: int = 0

    def __add__(self, other):
        peak_kib = max(self.peak_kib, other.peak_kib)
        return Cost(self.seconds + other.seconds, self.cpu_seconds + other.cpu_seconds, peak_kib)


@dataclass
class Result:
    """The costs of the runs of one way, or why it failed."""

    way: object
    costs: list[Cost] = field(default_factory=list)
    failure: str | None = None

    def seconds(self):
        return [cost.seconds for cost in self.costs]

    def peak_kib(self):
        return max(cost.peak_kib for cost in self.costs)


def measured(command, environment, directory, answer=None, limit=LONGEST_RUN_SECONDS, codes=(0,)):
    """Runs a command and returns its cost, with that of its children. `answer` is a file for its standard output, and
    `codes` are the exit codes of success."""
    with tempfile.NamedTemporaryFile("r") as usage, tempfile.TemporaryFile("w+") as said:
        # Not the usage that this process sees: the peak of a child starts at the size of the process that forked it,
        # and an interpreter is larger than what is measured here.
        timed = [program("time"), "-f", "%U %S %M", "-o", usage.name, *map(str, command)]
        started = time.perf_counter()
        process = subprocess.Popen(
            timed, env=environment, cwd=directory, stdin=subprocess.DEVNULL, stdout=answer or said, stderr=said,
            start_new_session=True,
        )  # fmt: skip
        try:
            process.wait(limit)
        except BaseException as error:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            if isinstance(error, subprocess.TimeoutExpired):
                raise TooLong(limit) from error
            raise
        seconds = time.perf_counter() - started
        if process.returncode not in codes:
            said.seek(0)
            raise Failed(f"{command[0]} exits with {process.returncode}: {last_words(said.read())}")
        user, system, peak_kib = usage.read().splitlines()[-1].split()
        return Cost(seconds, float(user) + float(system), int(peak_kib))


def last_words(text):
    """The last line that is not empty, short enough for a table."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if re.search(r"error|exhausted|fatal", line, re.IGNORECASE)]
    return (errors or lines or ["nothing said"])[-1][:200]


PACKAGES = {
    "time": "time", "sqlite3": "sqlite3", "psql": "postgresql-client", "pgloader": "pgloader",
    "psycopg2": "python3-psycopg2",
}  # fmt: skip


def program(name):
    """The path of a program, or what to install."""
    path = shutil.which(name)
    if path is None:
        raise SystemExit(f"`{name}` is missing: sudo apt-get install {PACKAGES[name]}")
    return path


def module(name):
    """A module of Python, or what to install."""
    try:
        return importlib.import_module(name)
    except ImportError:
        raise SystemExit(f"`{name}` is missing in {sys.executable}: sudo apt-get install {PACKAGES[name]}") from None


def machine():
    """The machine in a few words."""
    described = Path("/proc/cpuinfo").read_text()
    model = re.search(r"^model name\s*: (.*)", described, re.MULTILINE)
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    model = model[1] if model else platform.machine()
    return f"{os.cpu_count()} cores ({model}), {memory_gib:.0f} GiB of memory, Linux {platform.release()}"


def version(*command):
    """The version of a program: the first number in the first lines of its output."""
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return re.search(r"\d+\.[\d.]+", said)[0]


def parser(description, rounds, room):
    """A command line with the options that all comparisons have."""
    options = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rounds", type=int, default=rounds, help=f"how often each way runs [{rounds}]")
    options.add_argument(
        "--only", action="append", metavar="NAME", help="only ways whose name begins so; may be repeated"
    )
    options.add_argument("--locale", default="C", help="the server's; others take longer to build indexes [C]")
    options.add_argument("--output", choices=["text", "markdown"], default="text", help="form of the result [text]")
    options.add_argument("--directory", default="/var/tmp", help=f"room for {room} [/var/tmp]")
    return options


def named(way, arguments):
    """Whether `--only` leaves a way in."""
    return not arguments.only or way.name.startswith(tuple(arguments.only))


def note_load(heading):
    """Prints the next step and the load of the machine."""
    load, cores = os.getloadavg()[0], os.cpu_count()
    # The load average of one minute still includes the previous run.
    warning = "  WARNING: others work on this machine" if load > 0.3 * cores else ""
    print(f"\n{heading}, load {load:.2f} on {cores} cores{warning}", file=sys.stderr)


def rounds(arguments):
    return "1 round" if arguments.rounds == 1 else f"{arguments.rounds} rounds"


def megabytes(kib):
    return f"{kib * 1024 / 1e6:,.0f} MB"


def rendered(rows, output):
    """A table of texts, the first row being its head."""
    if output == "markdown":
        lines = [f"| {' | '.join(row)} |" for row in rows]
        return "\n".join([lines[0], "|---" * len(rows[0]) + "|", *lines[1:]])
    # The message of a failure may be longer than the column.
    widths = [
        max(len(row[column]) for row in rows if not row[column].startswith("failed")) for column in range(len(rows[0]))
    ]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows)
