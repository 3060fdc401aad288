"""Runs programs."""

import subprocess
from dataclasses import dataclass
from pathlib import Path


class CommandFailed(Exception):
    """A program ended with another exit code than the expected one."""


@dataclass(frozen=True)
class Outcome:
    code: int
    stdout: str
    stderr: str

    @property
    def text(self) -> str:
        return self.stdout + self.stderr


def run(
    *words: str | Path,
    expect: int | None = 0,
    environment: dict[str, str] | None = None,
    directory: Path | None = None,
    stdin: str = "",
    seconds: float = 300,
) -> Outcome:
    """Runs a program. `expect=None` allows any exit code."""
    words = tuple(str(word) for word in words)
    try:
        # Bytes, because a program in a container may write anything.
        done = subprocess.run(
            words,
            input=stdin.encode(),
            capture_output=True,
            env=environment,
            cwd=directory,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise CommandFailed(f"`{' '.join(words)}` did not end within {seconds:.0f} s\n{error.stderr}") from error
    outcome = Outcome(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))
    if expect is not None and outcome.code != expect:
        last = "\n".join(outcome.text.splitlines()[-40:])
        raise CommandFailed(f"`{' '.join(words)}` ended with {outcome.code}, expected {expect}:\n{last}")
    return outcome
