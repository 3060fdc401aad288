"""The commands of the soak: when they run, when one is killed, and what each run cost."""

import contextlib
import itertools
import os
import random
import signal
import statistics
import subprocess
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

from history import tarsy_db
from measure import last_words, program

RETENTION = timedelta(minutes=2)
ROUND_SECONDS = 60
# How often `init` and `check` run in a round.
LOOKS = 3
# One round in so many kills `prune`.
KILL_EVERY = 2
# How long after the switchover a command may find no primary.
SETTLED_SECONDS = 60
# How often the file handles of a command are counted.
SAMPLE_SECONDS = 0.05
UNAVAILABLE, BUSY = 69, 75


@dataclass
class Run:
    """A command that ended by itself."""

    command: str
    began: float
    ended: float
    code: int
    peak_kib: int
    said: str


class Operator:
    """Runs the commands on one deployment."""

    COMMANDS = ("prune", "init", "check")

    def __init__(self, deployment, seed):
        self.deployment = deployment
        self.chance = random.Random(f"{seed} {deployment.name}")
        self.runs = []
        self.kills = 0
        # The most that were seen open in a run of each command.
        self.handles = Counter()
        # The time in which the writer writes, by the monotonic clock.
        self.began = self.ended = None
        # When the primary was stopped, by the monotonic clock.
        self.switched_at = None
        # Where a command would leave its temporary files.
        self.temporary = deployment.directory / "tmp"
        self.temporary.mkdir()

    def work(self, end):
        """Works in rounds until the end; a switchover is at half of the time."""
        self.began, self.ended = time.monotonic(), end
        began = self.began
        with ThreadPoolExecutor(max_workers=len(self.COMMANDS)) as pool:
            for number in itertools.count():
                for look in range(LOOKS):
                    time.sleep(max(0, began + (number + look / LOOKS) * ROUND_SECONDS - time.monotonic()))
                    if time.monotonic() > end:
                        return
                    tasks = [pool.submit(self.run, command) for command in ("init", "check")]
                    if look == 0:
                        tasks.append(pool.submit(self.prune, number))
                    is_due = self.switched_at is None and time.monotonic() > (began + end) / 2
                    if is_due and self.deployment.has_standby:
                        self.switched_at = time.monotonic()
                        self.deployment.switch_over()
                    for task in tasks:
                        task.result()

    def prune(self, number):
        """Prunes; in some rounds it is killed at a random moment, and started again."""
        cutoff = datetime.now(timezone.utc) - RETENTION
        if number % KILL_EVERY == KILL_EVERY - 1:
            known = [run.ended - run.began for run in self.runs if run.command == "prune"]
            self.run_prune(cutoff, self.chance.uniform(0, 1.2 * statistics.median(known)))
        self.run_prune(cutoff)

    def run_prune(self, cutoff, kill_after=None):
        archive = ["--archive", str(self.deployment.archive)]
        options = ["--before", f"{cutoff:%Y-%m-%dT%H:%M:%SZ}", "--yes", "--max-share", "100%"]
        return self.run("prune", *options, *archive, kill_after=kill_after)

    def run(self, command, *options, kill_after=None):
        """Runs a command to its end, or kills it after so many seconds."""
        environment = (self.deployment.environment or os.environ) | {
            "DATABASE_URL": self.deployment.url, "TMPDIR": str(self.temporary),
        }  # fmt: skip
        with tempfile.NamedTemporaryFile("r") as usage, tempfile.TemporaryFile("w+") as said:
            timed = [program("time"), "-f", "%M", "-o", usage.name, tarsy_db(), command, *options]
            began = time.monotonic()
            process = subprocess.Popen(
                timed, env=environment, cwd=self.deployment.directory, stdin=subprocess.DEVNULL, stdout=said,
                stderr=said, start_new_session=True,
            )  # fmt: skip
            while (code := process.poll()) is None:
                if kill_after is not None and time.monotonic() > began + kill_after:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()
                    self.kills += 1
                    return None
                self.handles[command] = max(self.handles[command], open_handles(process.pid))
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(SAMPLE_SECONDS)
            ended = time.monotonic()
            said.seek(0)
            words = "" if code == 0 else last_words(said.read())
            # A failure is noted in the line before.
            peak_kib = int(usage.read().splitlines()[-1])
        run = Run(command, began, ended, code, peak_kib, words)
        self.runs.append(run)
        return run

    def peaks(self, command):
        """The peak of memory of each successful run of a command, in KiB, in order: of those that had work to do."""
        first = self.began + RETENTION.total_seconds() + ROUND_SECONDS
        worked = [run for run in self.runs if first < run.began < self.ended]
        return [run.peak_kib for run in worked if run.command == command and run.code == 0]

    def unexpected(self):
        """The failures that the documentation does not promise."""
        return [run for run in self.runs if run.code != 0 and not self.is_promised(run)]

    def is_promised(self, run):
        since = self.switched_at
        if since is None or run.code not in (UNAVAILABLE, BUSY):
            return False
        return run.ended >= since and run.began <= since + SETTLED_SECONDS


def open_handles(parent):
    """The number of file handles of the only child of a process; 0 if it has ended."""
    with contextlib.suppress(OSError):
        children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
        return sum(len(os.listdir(f"/proc/{child}/fd")) for child in children)
    return 0
