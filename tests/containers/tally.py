"""Counts the conditions that hold and those that do not."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from command import CommandFailed


class Tally:
    def __init__(self) -> None:
        self.passed = 0
        self.failed: list[str] = []

    @contextmanager
    def case(self, name: str) -> Iterator[None]:
        """Does the work in the block, and counts whether it failed. The next case is tried in any case."""
        began = time.monotonic()
        try:
            yield
        except (AssertionError, CommandFailed, OSError) as error:
            self.failed.append(name)
            print(f"FAILED  {name}\n{indented(str(error))}", flush=True)
        else:
            self.passed += 1
            print(f"ok      {name} ({time.monotonic() - began:.1f} s)", flush=True)

    def summary(self) -> str:
        return "\n".join(
            [*(f"failed: {name}" for name in self.failed), f"{self.passed} passed, {len(self.failed)} failed"]
        )


def indented(text: str) -> str:
    return "\n".join(f"        {line}" for line in text.splitlines())


def expect(condition: bool, found: object) -> None:
    """Fails with what was found instead."""
    if not condition:
        raise AssertionError(str(found))


def expect_equal(found: object, expected: object) -> None:
    expect(found == expected, f"expected {expected!r}\nfound    {found!r}")


def expect_in(part: str, text: str) -> None:
    expect(part in text, f"`{part}` is not in:\n{text}")


def until(what: str, condition: Callable[[], bool], seconds: float = 60) -> None:
    """Waits until the condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {seconds:.0f} s: {what}")
        time.sleep(0.2)
