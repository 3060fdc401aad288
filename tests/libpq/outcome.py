"""What came of a case: for the judge and for tarsy-db in the same words."""

import json
import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from case import Case
from instance import Visit
from lab import Lab

# A silent server is waited for without limit by some; everything else ends by itself, however busy the machine is.
LONGEST_SECONDS = 60
LONGEST_SILENCE_SECONDS = 12
JUDGE = Path(__file__).with_name("judge.py")


@dataclass(frozen=True)
class Outcome:
    """How one of the two fared: in (`visit`), or out (`error`)."""

    # Where it was in the end.
    visit: Visit | None
    # Every connection that a server let in on the way.
    visits: tuple[Visit, ...]
    error: str
    seconds: float
    # The revision of the schema that the search path leads to; None where it is not asked for, or there is none.
    revision: str | None = None
    exit_code: int | None = None
    # What tarsy-db calls the database, and its warnings.
    shown: str = ""
    warning: str = ""

    @property
    def is_in(self) -> bool:
        return self.visit is not None


class BrokenHarness(Exception):
    """What the judge saw and what the logs say differ."""


def judge(case: Case, lab: Lab, directory: Path, url: str, variables: dict[str, str]) -> Outcome:
    command = [sys.executable, "-I", str(JUDGE), case.judge, url]
    code, output, errors, seconds = run(command, directory, variables, longest_seconds(case))
    visits = tuple(lab.visits())
    if code is None:
        return Outcome(None, visits, "no answer", seconds)
    try:
        seen = json.loads(output)
    except ValueError as error:
        raise BrokenHarness(f"the judge of {case.name} ends with {code}: {output}{errors}") from error
    if "error" in seen:
        return Outcome(None, visits, seen["error"].strip(), seconds)
    if not visits:
        raise BrokenHarness(f"the judge of {case.name} is in, but no log says so: {seen}")
    visit = visits[-1]
    logged = (visit.tls, visit.application.replace("[unknown]", ""), visit.port)
    if logged != (seen["tls"] or "", printable(seen["application"]), seen["port"] or visit.port):
        raise BrokenHarness(f"the judge of {case.name} saw {seen}, and the log says {visit}")
    return Outcome(visit, visits, "", seconds, seen["revision"] if case.sees_schema else None)


def try_tarsy_db(binary: Path, case: Case, lab: Lab, directory: Path, variables: dict[str, str]) -> Outcome:
    ways = ["info"] if case.sees_schema else ["wait", "--for", "connect", "--max-attempts", "1"]
    command = [str(binary), *ways, "--output", "json"]
    code, output, errors, seconds = run(command, directory, variables, longest_seconds(case))
    visits = tuple(lab.visits())
    if code is None:
        return Outcome(None, visits, "no answer", seconds)
    try:
        answer = json.loads(output)
    except ValueError:
        return Outcome(None, visits, f"no JSON: {output}{errors}".strip(), seconds, exit_code=code)
    if code != 0 or not visits:
        error = answer.get("error") or {"message": f"exit code {code} without a connection"}
        causes = [error["message"], *error.get("causes", [])]
        return Outcome(None, visits, ": ".join(causes), seconds, exit_code=code)
    warning = " ".join(line for line in errors.splitlines() if "WARN" in line)
    return Outcome(visits[-1], visits, "", seconds, answer.get("revision"), code, answer.get("database", ""), warning)


def longest_seconds(case: Case) -> float:
    return LONGEST_SILENCE_SECONDS if case.is_timed else LONGEST_SECONDS


def run(
    command: list[str], directory: Path, variables: dict[str, str], limit: float = LONGEST_SECONDS
) -> tuple[int | None, str, str, float]:
    """Returns exit code (None after too long), standard output, standard error, and seconds."""
    environment = {name: os.fsencode(value) for name, value in variables.items()}
    began = time.monotonic()
    try:
        done = subprocess.run(
            [os.fsencode(part) for part in command], env=environment, cwd=directory, capture_output=True,
            timeout=limit, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return None, "", "", time.monotonic() - began
    seconds = time.monotonic() - began
    return done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"), seconds


def printable(name: str) -> str:
    """An application name as a log of the server has it."""
    return re.sub(r"[^ -~]", "?", name)
