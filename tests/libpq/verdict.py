"""Compares what came of a case: the same, or which kind of difference."""

import re
from dataclasses import dataclass

from case import SQLALCHEMY, Case
from instance import Visit
from outcome import Outcome
from refusals import REFUSALS, TAKEN

# The kinds of differences, the worst first.
KINDS = {
    "came in": "tarsy-db connects where libpq does not",
    "elsewhere": "another server, role, database or schema",
    "less protected": "plain text or an older TLS where libpq has better",
    "also elsewhere": "a server let tarsy-db in where libpq was never",
    "wrong code": "an exit code that does not fit a failed connection, or no JSON",
    "kept out": "libpq connects, tarsy-db does not",
    "refused": "refused by name (78), but not one of the refusals that are meant",
    "better protected": "TLS, or a newer one, where libpq has less",
    "otherwise": "the same place, but another login or application name",
    "later": "the answer takes more than 3 s longer",
    "shown otherwise": "the shown address is not where the connection is",
}
# The exit codes of a connection that failed: unavailable, busy, access, configuration, deadline.
FAILURES = {69, 75, 77, 78, 124}
CONFIGURATION = 78
# Exit codes that fit an error of the judge; to every other error fits that of the configuration. Another code is no
# difference, because both failed, but it is listed.
CODES = {
    "password authentication failed|no password supplied|pg_hba.conf|permitted to log in|permission denied": {77},
    "valid client certificate|certificate authentication failed": {77},
    "authentication method requirement|channel binding|SSL error: .*alert|requirepeer": {77, 78},
    "too many connections": {75},
    "Connection refused|no answer|timeout expired|could not translate host name|Is the server running": {69},
    "session is (not )?read-only|hot standby mode": {69, 78},
    "EOF detected|server closed the connection|Connection reset": {69},
    "expected authentication request|SSL negotiation|during SSL exchange|frontend protocol": {69},
}
ANOTHER_CODE = "another exit code"
LATER_SECONDS = 3
# tarsy-db may send its own name where libpq sends none.
APPLICATION = "tarsy"
NO_NAME = "[unknown]"


@dataclass(frozen=True)
class Verdict:
    """`kind` is one of `KINDS`, `refused by name`, `taken on purpose`, `warned`, `ANOTHER_CODE`, or empty: the same."""

    case: Case
    judge: Outcome
    subject: Outcome
    kind: str = ""
    reason: str = ""

    @property
    def name(self) -> str:
        return self.case.name

    @property
    def is_difference(self) -> bool:
        return self.kind in KINDS


def compare(case: Case, judge: Outcome, subject: Outcome) -> Verdict:
    kind, reason = difference(case, judge, subject)
    return Verdict(case, judge, subject, kind, reason)


def difference(case: Case, judge: Outcome, subject: Outcome) -> tuple[str, str]:
    if subject.visit and not judge.visit:
        if subject.warning and is_unreadable(case, judge):
            return "warned", subject.warning
        if any(purpose.fits(case.name, "") for purpose in TAKEN):
            return "taken on purpose", f"at {place(subject.visit)}"
        return "came in", f"at {place(subject.visit)}"
    if subject.visit and judge.visit:
        return difference_inside(case, judge, judge.visit, subject, subject.visit)
    places = {place(visit) for visit in judge.visits}
    if others := [place(visit) for visit in subject.visits if place(visit) not in places]:
        return "also elsewhere", f"at {others[0]}, then {subject.error}"
    if subject.exit_code is not None and (subject.exit_code not in FAILURES or subject.error.startswith("no JSON")):
        return "wrong code", f"exit code {subject.exit_code}: {subject.error}"
    if not judge.visit:
        is_late = case.is_timed and subject.seconds > judge.seconds + LATER_SECONDS
        if is_late:
            return "later", f"{subject.seconds:.1f} s, not {judge.seconds:.1f} s"
        return ("", "") if fits(judge, subject) else (ANOTHER_CODE, f"{subject.exit_code}: {subject.error}")
    if case.sees_schema and judge.revision is None and places == {place(visit) for visit in subject.visits}:
        # It was there, and found no table either.
        return "", ""
    if subject.exit_code == CONFIGURATION and any(one.fits(case.name, subject.error) for one in REFUSALS):
        return "refused by name", subject.error
    if subject.exit_code == CONFIGURATION and named_parameters(case, subject.error):
        return "refused", subject.error
    return "kept out", f"exit code {subject.exit_code}: {subject.error}"


def difference_inside(case: Case, judge: Outcome, expected: Visit, subject: Outcome, found: Visit) -> tuple[str, str]:
    for name in ["server", "user", "database"]:
        if getattr(expected, name) != getattr(found, name):
            return "elsewhere", f"{place(found)}, not {place(expected)}"
    if case.sees_schema and judge.revision != subject.revision:
        return "elsewhere", f"the schema at revision {subject.revision}, not {judge.revision}"
    if expected.tls > found.tls:
        return "less protected", f"{found.tls or 'plain text'}, not {expected.tls}"
    if expected.tls != found.tls:
        return "better protected", f"{found.tls}, not {expected.tls or 'plain text'}"
    if expected.identity != found.identity:
        return "otherwise", f"authenticated as {found.identity!r}, not {expected.identity!r}"
    names = {expected.application} | ({APPLICATION} if expected.application == NO_NAME else set())
    if found.application not in names:
        return "otherwise", f"application name {found.application!r}, not {expected.application!r}"
    if case.is_timed and subject.seconds > judge.seconds + LATER_SECONDS:
        return "later", f"{subject.seconds:.1f} s, not {judge.seconds:.1f} s"
    if not is_shown(found, subject.shown):
        return "shown otherwise", f"{subject.shown} is {place(found)}"
    return "", ""


def fits(judge: Outcome, subject: Outcome) -> bool:
    """Whether the exit code is one for an error of the judge. A process that was killed has none."""
    codes = [codes for pattern, codes in CODES.items() if re.search(pattern, judge.error)] or [{CONFIGURATION}]
    return subject.exit_code is None or subject.exit_code in set().union(*codes)


def is_unreadable(case: Case, judge: Outcome) -> bool:
    """Whether the backend fails because of how the URL is written. Then a warning is enough."""
    is_misread = re.search('database ".*" does not exist|could not translate host name', judge.error, re.DOTALL)
    return case.judge == SQLALCHEMY and bool(is_misread or not judge.error.startswith("OperationalError"))


def is_shown(visit: Visit, shown: str) -> bool:
    """Whether `user@host:port/database` names the role, the port and the database of the connection."""
    return shown.startswith(f"{visit.user}@") and shown.endswith(f":{visit.port}/{visit.database}")


def place(visit: Visit) -> str:
    return f"{visit.server} as {visit.user} in {visit.database} {visit.tls or 'without TLS'}"


def named_parameters(case: Case, message: str) -> list[str]:
    """The parameters and variables of the case that a message names, without those that it lists as supported."""
    parameters = [pair.partition("=")[0] for pair in re.split("[?&]", case.url.partition("?")[2])]
    told = message.partition("supported are")[0]
    return [name for name in [*parameters, *case.environment] if name and f"`{name}" in told]
