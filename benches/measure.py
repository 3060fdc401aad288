"""What a command costs, and what machine it ran on."""

import os
import platform
import re
import shutil
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

# pgloader can wait for itself for ever (`workers = 1` does).
LONGEST_RUN_SECONDS = 3600


class Failed(Exception):
    """A command did not do what it was asked for."""


@dataclass
class Cost:
    """What one or several commands in turn took on the client's side."""

    seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_kib: int = 0

    def __add__(self, other):
        peak_kib = max(self.peak_kib, other.peak_kib)
        return Cost(self.seconds + other.seconds, self.cpu_seconds + other.cpu_seconds, peak_kib)


def measured(command, environment, directory):
    """Runs a command and returns its cost, with that of its children."""
    with tempfile.NamedTemporaryFile("r") as usage, tempfile.TemporaryFile("w+") as said:
        # Not the usage that this process sees: the peak of a child starts at the size of the process that forked it,
        # and an interpreter is larger than what is measured here.
        timed = [program("time"), "-f", "%U %S %M", "-o", usage.name, *map(str, command)]
        started = time.perf_counter()
        process = subprocess.Popen(
            timed, env=environment, cwd=directory, stdin=subprocess.DEVNULL, stdout=said, stderr=said,
            start_new_session=True,
        )  # fmt: skip
        try:
            process.wait(LONGEST_RUN_SECONDS)
        except BaseException as error:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            if isinstance(error, subprocess.TimeoutExpired):
                raise Failed(f"not done after {LONGEST_RUN_SECONDS} s") from error
            raise
        seconds = time.perf_counter() - started
        if process.returncode != 0:
            said.seek(0)
            raise Failed(f"{command[0]} exits with {process.returncode}: {last_words(said.read())}")
        user, system, peak_kib = usage.read().splitlines()[-1].split()
        return Cost(seconds, float(user) + float(system), int(peak_kib))


def last_words(text):
    """The last line that says something, short enough for a table."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if re.search(r"error|exhausted|fatal", line, re.IGNORECASE)]
    return (errors or lines or ["nothing said"])[-1][:200]


PACKAGES = {"time": "time", "sqlite3": "sqlite3", "psql": "postgresql-client", "pgloader": "pgloader"}


def program(name):
    """The path of a program, or what to install."""
    path = shutil.which(name)
    if path is None:
        raise SystemExit(f"`{name}` is missing: sudo apt-get install {PACKAGES[name]}")
    return path


def machine():
    """The machine in a few words."""
    described = Path("/proc/cpuinfo").read_text()
    model = re.search(r"^model name\s*: (.*)", described, re.MULTILINE)
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    model = model[1] if model else platform.machine()
    return f"{os.cpu_count()} cores ({model}), {memory_gib:.0f} GiB of memory, Linux {platform.release()}"


def version(*command):
    """The version that a program gives itself: the first number in its first lines."""
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return re.search(r"\d+\.[\d.]+", said)[0]
