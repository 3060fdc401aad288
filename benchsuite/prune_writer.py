"""A process that writes at a fixed rate, as a backend does, while another program prunes."""

import itertools
import math
import multiprocessing
import signal
import sqlite3
import time
import uuid
from contextlib import closing
from typing import NamedTuple

from history import NOW_US
from measure import Failed
from prune_ways import first_line

# The rows of a transaction: a session, a stage, its first and its last conversation, and what a tool said.
TABLES = {"alert_sessions": 1, "stage_executions": 1, "llm_interactions": 2, "mcp_communications": 1}
# How many different sessions are inserted, again and again under new names.
SAMPLES = 50
# The time that the writer needs to start.
LEAD_SECONDS = 2
TAIL_SECONDS = 1


class Transaction(NamedTuple):
    """When a transaction was due and when it was over, by the machine's monotonic clock."""

    due: float
    ended: float
    is_insert: bool
    error: str | None


class Writer:
    """The process, which ends with its `with`."""

    def __init__(self, *, target, samples, updated, rate):
        """`updated` are sessions of which every other transaction updates one; without any, all insert."""
        context = multiprocessing.get_context("fork")
        self.receiver, sender = context.Pipe(duplex=False)
        # When nothing is due any more. A value, because a backlog has to be worked off first.
        self.end = context.Value("d", math.inf)
        arguments = (target, samples, updated, rate, self.end, sender)
        self.process = context.Process(target=work, args=arguments, daemon=True)
        self.sender = sender

    def __enter__(self):
        self.process.start()
        self.sender.close()
        self.receive()
        time.sleep(LEAD_SECONDS)
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.join()
        self.receiver.close()

    def finish(self):
        """Returns all transactions, after a short time without other load."""
        time.sleep(TAIL_SECONDS)
        self.end.value = time.monotonic()
        return self.receive()

    def receive(self):
        try:
            return self.receiver.recv()
        except EOFError:
            raise Failed("the writer ended early") from None


def work(target, samples, updated, rate, end, sender):
    """Writes until the end, each transaction at its time, or as soon as those before it are over."""
    # Ctrl-C is handled by the parent process, which ends this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    done = []
    sessions = itertools.cycle(samples)
    updates = itertools.cycle(updated)
    with closing(target.connect("writer")) as connection:
        sender.send("ready")
        began = time.monotonic()
        for number in itertools.count():
            due = began + number / rate
            time.sleep(max(0, due - time.monotonic()))
            if due > end.value:
                break
            is_insert, error = not updated or number % 2 == 0, None
            try:
                cursor = connection.cursor()
                statements = insert(target, next(sessions)) if is_insert else update(target, next(updates), number)
                for sql, values in statements:
                    cursor.execute(sql, values)
                connection.commit()
            except target.errors() as failure:
                connection.rollback()
                error = first_line(failure)
            # From when it was due, so that a transaction delayed by an earlier one counts as slow too.
            done.append(Transaction(due, time.monotonic(), is_insert, error))
    sender.send(done)


def insert(target, sample):
    """The statements that write a session under a new name."""
    session_id, execution_id = str(uuid.uuid4()), str(uuid.uuid4())
    names = {
        "session_id": session_id, "current_stage_id": execution_id,
        "execution_id": execution_id, "stage_execution_id": execution_id,
    }  # fmt: skip
    for table, row in sample:
        own = {key: str(uuid.uuid4()) for key in ("alert_id", "interaction_id", "communication_id")}
        marks = ", ".join([target.MARK] * len(row))
        values = [(own | names).get(column, value) for column, value in row.items()]
        yield f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})", values


def update(target, session_id, number):
    """The statement that updates a session."""
    mark = target.MARK
    yield f"UPDATE alert_sessions SET error_message = {mark} WHERE session_id = {mark}", [f"note {number}", session_id]


def samples_of(history):
    """The newest sessions of a history that can be written once more, each as rows with their tables."""
    samples = []
    with closing(sqlite3.connect(f"file:{history}?mode=ro", uri=True)) as source:
        flags = {
            table: {name for _, name, kind, *_ in source.execute(f"PRAGMA table_info({table})") if kind == "BOOLEAN"}
            for table in TABLES
        }
        source.row_factory = sqlite3.Row

        def rows(table, condition, *values):
            found = source.execute(f"SELECT * FROM {table} WHERE {condition}", values)
            # PostgreSQL does not accept numbers as booleans.
            return [
                {name: bool(value) if name in flags[table] else value for name, value in dict(row).items()}
                for row in found
            ]

        newest = "status = 'completed' ORDER BY started_at_us DESC LIMIT ?"
        for session in rows("alert_sessions", newest, SAMPLES):
            # They have just begun.
            session |= {"status": "in_progress", "started_at_us": NOW_US}
            [stage] = rows("stage_executions", "session_id = ? ORDER BY stage_index LIMIT 1", session["session_id"])
            of_stage = "stage_execution_id = ? ORDER BY timestamp_us"
            calls = rows("llm_interactions", of_stage, stage["execution_id"])
            tools = rows("mcp_communications", of_stage, stage["execution_id"])
            samples.append([
                ("alert_sessions", session), ("stage_executions", stage),
                ("llm_interactions", calls[0]), ("llm_interactions", calls[-1]), ("mcp_communications", tools[-1]),
            ])  # fmt: skip
    return samples
