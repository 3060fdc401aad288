"""The commands that each history is measured with."""

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass
class Command:
    """A command, and what has to be true after it."""

    name: str
    # What is in braces are the database, files and times of the run.
    arguments: list[str]
    # The exit codes of success.
    codes: tuple[int, ...] = (0,)
    changes: bool = False
    # What runs before it without being measured.
    first: "Command | None" = None
    # Numbers that SQL has to find afterwards, by the size of the history.
    left: dict[str, Callable[[int], int]] = field(default_factory=dict)
    # What runs instead of tarsy-db.
    program: str | None = None


def looks(name, codes=(0,)):
    return Command(name, [*name.split(), *DATABASE, "--output", "json"], codes)


def counts(**tables):
    """The rows that have to be left in tables, by the size of the history."""
    return {f"SELECT count(*) FROM {table}": rows for table, rows in tables.items()}


DATABASE = ["--database-url", "{url}"]
MOVE, TARGET = ["migrate-sqlite-to-postgres", "--from", "{source}"], ["--to", "{url}"]
# A check that fails is an answer, too.
CHECK, DEEP = looks("check", codes=(0, 4)), looks("check --deep", codes=(0, 4))
INFO, EXACT = looks("info"), looks("info --exact")
LOOKS = [CHECK, DEEP, INFO, EXACT]
PRUNE = ["prune", *DATABASE, "--now", "{now}", "--yes"]
SESSIONS = ["--before", "{cutoff}", "--max-share", "100%"]
# No session is that old.
NO_SESSIONS = ["--before", "2000-01-01T00:00:00Z"]


def prunes(*options, left, of=SESSIONS, archive=False):
    """What a run would do, the run, and one with an archive."""
    name = " ".join(["prune", *options])
    arguments = [*PRUNE, *of, *options]
    ways = [Command(f"{name} --dry-run", [*arguments, "--dry-run"]), Command(name, arguments, changes=True, left=left)]
    if archive:
        archived = [*arguments, "--archive", "{archive}"]
        ways.append(Command(f"{name} --archive", archived, changes=True, left=left))
    return ways


def moves(left):
    """A move, and the comparison of what it has made."""
    move = Command("migrate", [*MOVE, *TARGET], changes=True, left=left)
    return [move, Command("migrate --verify-only", [*MOVE, *TARGET, "--verify-only"], first=move)]


def moves_with(policy, left):
    """A move that changes values, and reports each of them."""
    name = f"migrate --on {policy} --report"
    return Command(name, [*MOVE, *TARGET, "--on", policy, "--report", "{report}"], changes=True, left=left)


def scans(*options, codes=(0,)):
    name = " ".join(["migrate --check-only", *(option for option in options if option != "{report}")])
    return Command(name, [*MOVE, "--check-only", *options], codes)


UPGRADED = {
    "SELECT count(*) FROM llm_interactions WHERE interaction_type = 'final_analysis'": lambda s: s // 3,
    "SELECT count(*) FROM alert_sessions WHERE last_interaction_at = started_at_us": lambda s: s,
}

# What runs on either database, by the history.
ON_DATABASES = {
    "A": [
        *LOOKS,
        *prunes(
            left=counts(
                alert_sessions=lambda s: s // 2, stage_executions=lambda s: s // 2, mcp_communications=lambda s: s // 2
            ),
            archive=True,
        ),
    ],
    "B": [*LOOKS, *prunes(left=counts(alert_sessions=lambda s: 0, llm_interactions=lambda s: 0), archive=True)],
    "C": [
        *LOOKS,
        *prunes(
            "--orphans",
            of=NO_SESSIONS,
            archive=True,
            left=counts(
                alert_sessions=lambda s: s // 2, stage_executions=lambda s: 0, mcp_communications=lambda s: s // 2
            ),
        ),
    ],
    "D": [
        CHECK,
        INFO,
        *prunes("--events", of=NO_SESSIONS, left=counts(alert_sessions=lambda s: 1, events=lambda s: s // 5)),
    ],
    "E": [
        *LOOKS,
        *prunes(left=counts(alert_sessions=lambda s: s // 10, stage_executions=lambda s: s // 10 * 4), archive=True),
    ],
    "F": [
        Command(
            "init --to head",
            ["init", *DATABASE, "--to", "head"],
            changes=True,
            left=UPGRADED,
        )
    ],
    "K": [
        CHECK,
        INFO,
        Command("prune --dry-run --output json", [*PRUNE, *SESSIONS, "--dry-run", "--output", "json"]),
        *prunes(left=counts(alert_sessions=lambda s: s)),
    ],
    "N": [CHECK, INFO, *prunes(left=counts(alert_sessions=lambda s: s // 2 + s // 4))],
}
# What moves a file of the history, or finds what prevents it.
ON_MOVES = {
    "A": [
        scans(),
        *moves(counts(alert_sessions=lambda s: s, stage_executions=lambda s: s, mcp_communications=lambda s: s)),
    ],
    "B": moves(counts(llm_interactions=lambda s: 2 * s)),
    "C": [
        scans(codes=(65,)),
        moves_with("orphan=drop", counts(stage_executions=lambda s: 0, mcp_communications=lambda s: s // 2)),
    ],
    "H": [
        scans(codes=(65,)), scans("--report", "{report}", codes=(65,)), scans("--output", "json", codes=(65,)),
        scans("--show-values", codes=(65,)),
        moves_with("nul=replace", counts(llm_interactions=lambda s: s)),
    ],
}  # fmt: skip


def by_hand(name, *statements, **more):
    """SQL on a file, with the page cache of `prune` and without what protects other programs."""
    sql = "; ".join(["PRAGMA cache_size = -24576", "PRAGMA synchronous = NORMAL", *statements])
    return Command(f"{name} by hand", ["-batch", "{file}", sql], program="sqlite3", **more)


OLD = "IN (SELECT session_id FROM alert_sessions WHERE {old})"
DELETE = by_hand(
    "DELETE",
    f"DELETE FROM llm_interactions WHERE session_id {OLD}", f"DELETE FROM mcp_communications WHERE session_id {OLD}",
    f"DELETE FROM stage_executions WHERE session_id {OLD}", "DELETE FROM alert_sessions WHERE {old}",
    changes=True,
)  # fmt: skip
INTEGRITY = by_hand("PRAGMA integrity_check", "PRAGMA integrity_check", "PRAGMA foreign_key_check")
SIZES = by_hand(
    "SELECT",
    f"SELECT sum(length(error_message)) FROM stage_executions WHERE session_id {OLD}",
    f"SELECT sum(length(tool_result)) FROM mcp_communications WHERE session_id {OLD}",
)
# The rows of a communication, and then those of a stage, whose session is gone.
ORPHANS = [
    f"DELETE FROM {table} WHERE NOT EXISTS"
    f" (SELECT 1 FROM alert_sessions s WHERE s.session_id = {table}.session_id)"
    for table in ("mcp_communications", "stage_executions")
]
DELETE_ORPHANS = by_hand("DELETE of orphans", *ORPHANS, changes=True)
OLD_EVENTS = "created_at < datetime('{now}', '-24 hours')"
DELETE_EVENTS = by_hand("DELETE of events", f"DELETE FROM events WHERE {OLD_EVENTS}", changes=True)
UPGRADE = Command(
    "SQL of init by hand",
    ["-c", "'{program}' init --database-url '{url}' --to head --sql | sqlite3 -batch '{file}'"],
    program="sh",
    changes=True,
    left=UPGRADED,
)
# The SQL by hand that does the main part of a command on a file. The command need not grow more slowly than that.
BY_HAND = {
    "A check --deep": INTEGRITY, "A info --exact": SIZES, "A prune": DELETE, "A prune --archive": DELETE,
    "A migrate --check-only": INTEGRITY, "A migrate --verify-only": INTEGRITY,
    "B check --deep": INTEGRITY, "B prune": DELETE, "B prune --archive": DELETE,
    "C prune --orphans": DELETE_ORPHANS, "C prune --orphans --archive": DELETE_ORPHANS,
    "C migrate --check-only": INTEGRITY, "C migrate --on orphan=drop --report": INTEGRITY,
    "D prune --events": DELETE_EVENTS,
    "E check --deep": INTEGRITY, "E info --exact": SIZES,
    "F init --to head": UPGRADE,
    "H migrate --check-only": INTEGRITY, "H migrate --check-only --output json": INTEGRITY,
    "H migrate --check-only --show-values": INTEGRITY,
    "N prune": DELETE,
}  # fmt: skip
