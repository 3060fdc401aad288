"""Large histories of small rows, made by SQL; each stresses another part of tarsy-db.

The SQL is the same for both databases, but for what is in braces: see `Rows.insert`, and `WORDS` in
`scale_targets`. `n` is the number of a row. Keys are hashes of it, so that they are in no order, as those of TARSy."""

from collections.abc import Callable
from dataclasses import dataclass

# The sessions started evenly over so many days. Half of them are older than the cutoff.
DAYS, CUTOFF_DAYS = 180, 90
DAY_US = 24 * 3600 * 1_000_000


@dataclass
class Rows:
    """The rows 1 to `count(size)` of a table: each column's name and its value in SQL."""

    table: str
    count: Callable[[int], int]
    columns: dict[str, str]

    def insert(self, size, numbers, words):
        """The statement. `numbers` is SQL for all numbers up to one."""
        count = self.count(size)
        words = words | {"count": count, "span": DAYS * DAY_US, "step": DAYS * DAY_US // count}
        values = ", ".join(value.format_map(words) for value in self.columns.values())
        return f"INSERT INTO {self.table} ({', '.join(self.columns)}) SELECT {values} FROM {numbers.format(count)}"


@dataclass
class History:
    """A history that can be made in every size."""

    name: str
    # What it consists of, where `s` is its size.
    what: str
    rows: list[Rows]
    revision: str = "head"


def all_of(size):
    return size


def half(size):
    return size // 2


STARTED, ENDED = "{now} - n * {step}", "{now} - n * {step} + 60000000"


def sessions(count=all_of, **columns):
    own = {
        "session_id": "md5('s' || n)", "alert_data": """('{{"pod": "pod-' || n || '"}}'){json}""",
        "agent_type": "'KubernetesAgent'", "alert_type": "'PodCrash'", "status": "'completed'",
        "started_at_us": STARTED, "completed_at_us": ENDED, "chain_id": "'kubernetes'",
        "final_analysis": "'The pod ran out of memory. ' || md5('f' || n)",
    }  # fmt: skip
    return Rows("alert_sessions", count, own | columns)


def stages(count=all_of, **columns):
    own = {
        "execution_id": "md5('e' || n)", "session_id": "md5('s' || n)", "stage_id": "'analysis'", "stage_index": "0",
        "stage_name": "'analysis'", "agent": "'KubernetesAgent'", "status": "'completed'",
        "started_at_us": STARTED, "completed_at_us": ENDED,
    }  # fmt: skip
    return Rows("stage_executions", count, own | columns)


def interactions(count=all_of, **columns):
    own = {
        "interaction_id": "md5('i' || n)", "session_id": "md5('s' || n)", "stage_execution_id": "md5('e' || n)",
        "timestamp_us": STARTED, "duration_ms": "1000", "success": "true", "model_name": "'model'",
        "conversation": CONVERSATION,
    }  # fmt: skip
    return Rows("llm_interactions", count, own | columns)


def communications(count=all_of, **columns):
    own = {
        "communication_id": "md5('c' || n)", "step_description": "'call'", "request_id": "'r' || n",
        "session_id": "md5('s' || n)", "stage_execution_id": "md5('e' || n)", "timestamp_us": STARTED,
        "duration_ms": "100", "success": "true", "server_name": "'kubernetes'", "communication_type": "'tool_call'",
        "tool_name": "'get_pods'", "tool_result": """('{{"pods": ' || n || '}}'){json}""",
    }  # fmt: skip
    return Rows("mcp_communications", count, own | columns)


# Every third ends an analysis, as the upgrade's second revision finds it out.
CONVERSATION = (
    """('{{"messages": [{{"role": "assistant", "content": "'"""
    """ || CASE WHEN n % 3 = 0 THEN 'Final Answer: ' ELSE 'Action: ' END || md5('m' || n) || '"}}]}}'){jsonb}"""
)
ONE_SESSION = {"session_id": "md5('s' || 1)", "stage_execution_id": "md5('e' || 1)"}


def one(_size):
    return 1


HISTORIES = [
    History("A", "s sessions, each with a stage and a communication", [sessions(), stages(), communications()]),
    History(
        "B", "one session of 2 s interactions",
        [
            sessions(one), stages(one),
            # All of them before the cutoff: it would be in use otherwise.
            interactions(lambda size: 2 * size, **ONE_SESSION, timestamp_us="{now} - {span} + n"),
        ],
    ),
    History(
        "C", "s / 2 sessions with a communication each; s / 2 orphans",
        [
            sessions(half), communications(half, stage_execution_id="NULL"),
            stages(lambda size: size // 4, session_id="md5('gone' || n)"),
            communications(
                lambda size: size // 4, communication_id="md5('o' || n)", session_id="md5('gone' || n)",
            ),
        ],
    ),
    History(
        "D", "2 s events, of which nine in ten are old",
        [
            sessions(one),
            Rows("events", lambda size: 2 * size, {
                "channel": "'session:' || md5('s' || (n / 10))", "payload": """('{{"event": ' || n || '}}'){json}""",
                "created_at": "{time}({now} - n * {step} / 18) / 1000000{end_time}",
            }),
        ],
    ),
    History(
        "E", "s / 5 sessions, each with three parallel stages",
        [
            sessions(lambda size: size // 5), stages(lambda size: size // 5),
            stages(
                lambda size: 3 * (size // 5), execution_id="md5('p' || n)", session_id="md5('s' || ((n + 2) / 3))",
                parent_stage_execution_id="md5('e' || ((n + 2) / 3))", parallel_index="1 + n % 3",
                parallel_type="'multi_agent'",
            ),
        ],
    ),
    History(
        "F", "s sessions, each with a conversation, at the baseline",
        [sessions(alert_id="md5('a' || n)"), stages(), interactions()], "baseline",
    ),
    History(
        "H", "one session of s interactions, each with a value that PostgreSQL cannot hold",
        [sessions(one), stages(one), interactions(**ONE_SESSION, error_message="'a' || char(0) || n")],
    ),
    History("K", "s sessions that are all open", [sessions(status="'in_progress'", completed_at_us="NULL"), stages()]),
    History(
        "N", "s sessions; half of the old ones are needed by younger ones",
        [
            sessions(),
            stages(parent_stage_execution_id=(
                "CASE WHEN n <= {count} / 2 AND n % 2 = 0 THEN md5('e' || (n + {count} / 2)) END"
            )),
        ],
    ),
]  # fmt: skip
