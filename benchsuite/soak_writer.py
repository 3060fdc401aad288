"""A process that does what TARSy's backend does with each alert, and notes what it has committed."""

import itertools
import multiprocessing
import signal
import sqlite3
import time
import uuid
from collections import Counter
from contextlib import closing

from measure import Failed
from prune_ways import first_line
from prune_writer import insert

# Between two attempts of a transaction, and until the writer gives up.
PAUSE_SECONDS = 0.2
PATIENCE_SECONDS = 120
# One session in so many has a chat.
CHAT_EVERY = 3


class Writer:
    """The process, which ends with its `with`. Start it before any thread, because it is a fork."""

    def __init__(self, deployment, samples, per_minute, end):
        """`end` is a time of the monotonic clock."""
        context = multiprocessing.get_context("fork")
        self.receiver, sender = context.Pipe(duplex=False)
        arguments = (deployment, samples, 60 / per_minute, end, sender)
        self.process = context.Process(target=work, args=arguments, daemon=True)

    def __enter__(self):
        self.process.start()
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.join()

    def finish(self):
        """Waits for the end. Returns the seconds of all transactions, in order, and how often each error occurred."""
        while not self.receiver.poll(1):
            if not self.process.is_alive():
                raise Failed("the writer ended early")
        return self.receiver.recv()


def work(deployment, samples, every_seconds, end, sender):
    """Writes a session whenever one is due, until the end."""
    # Ctrl-C is handled by the parent process, which ends this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    backend = Backend(deployment)
    with closing(sqlite3.connect(deployment.ledger)) as ledger:
        ledger.execute("PRAGMA synchronous = OFF")
        began = time.monotonic()
        for number, sample in enumerate(itertools.cycle(samples)):
            due = began + number * every_seconds
            if due > end:
                break
            time.sleep(max(0, due - time.monotonic()))
            for transaction in transactions(deployment, sample, with_chat=number % CHAT_EVERY == 0):
                backend.commit(transaction)
                for sql, values in transaction:
                    ledger.execute(sql.replace(deployment.MARK, "?"), values)
                ledger.commit()
    sender.send((sorted(backend.seconds), backend.errors))


class Backend:
    """Commits one transaction after the other, each until it is committed."""

    def __init__(self, deployment):
        self.deployment = deployment
        self.connection = None
        self.seconds = []
        self.errors = Counter()

    def commit(self, transaction):
        began = time.monotonic()
        for attempt in itertools.count():
            try:
                self.connection = self.connection or self.deployment.connect()
                cursor = self.connection.cursor()
                for sql, values in transaction:
                    cursor.execute(sql, values)
                self.connection.commit()
                break
            except self.deployment.errors() as error:
                if self.connection:
                    self.connection.close()
                    self.connection = None
                # The answer to the COMMIT was lost, not the COMMIT.
                if attempt > 0 and type(error).__name__ in ("IntegrityError", "UniqueViolation"):
                    break
                self.errors[first_line(error)] += 1
                if time.monotonic() - began > PATIENCE_SECONDS:
                    raise
                time.sleep(PAUSE_SECONDS)
        self.seconds.append(time.monotonic() - began)


def transactions(deployment, sample, *, with_chat):
    """What the backend commits for an alert, from its arrival to its end: statements with their values."""
    mark, started_at_us = deployment.MARK, time.time_ns() // 1000
    own = [(table, row | {"started_at_us": started_at_us} if "started_at_us" in row else row) for table, row in sample]
    session, *rest = insert(deployment, own)
    session_id = session[1][list(own[0][1]).index("session_id")]
    yield [session]
    for statement in rest:
        yield [statement]
    if with_chat:
        chat_id = str(uuid.uuid4())
        yield [
            (
                "INSERT INTO chats (chat_id, session_id, created_at_us, created_by, conversation_history, chain_id)"
                f" VALUES ({', '.join([mark] * 6)})",
                [chat_id, session_id, started_at_us, "an operator", "Q: why?\nA: because.", "kubernetes"],
            ),
            (
                "INSERT INTO chat_user_messages (message_id, chat_id, content, author, created_at_us)"
                f" VALUES ({', '.join([mark] * 5)})",
                [str(uuid.uuid4()), chat_id, "and now? 💡", "an operator", started_at_us],
            ),
        ]
    completed = f"UPDATE alert_sessions SET status = 'completed', completed_at_us = {mark} WHERE session_id = {mark}"
    yield [(completed, [time.time_ns() // 1000, session_id])]
