"""The tables that are printed, and the file with what the judge did."""

import re
from collections import Counter
from pathlib import Path
from typing import TypeVar

from case import Case
from lab import server_version
from outcome import Outcome
from roles import SYSTEM_USER
from sqlite_urls import KINDS as URL_KINDS
from sqlite_urls import UrlVerdict
from verdict import ANOTHER_CODE, KINDS, Verdict, place

Compared = TypeVar("Compared", Verdict, UrlVerdict)
HEADER = "# What libpq 17 does in each case on PostgreSQL "
JUDGED = Path(__file__).with_name("judged.txt")
# Errors of the judge whose words are not the same on each machine.
CLASSES = {
    "certificate verify failed": "certificate verify failed",
    "could not translate host name": "unknown host",
    "could not parse network address": "not an address",
    "requirepeer": "other peer",
    "setsockopt": "setsockopt",
    "Unix-domain socket path": "long path",
    "Connection refused": "refused",
    "No such file or directory": "no such file",
    "timeout expired": "no answer",
    "alert": "TLS alert",
    "EOF detected": "closed",
    "server closed the connection": "closed",
    "Connection reset": "closed",
}


def rendered(verdicts: list[Verdict], urls: list[UrlVerdict], left_out: list[Case], form: str) -> str:
    """The differences, the worst first, and the counts."""
    differences = by_kind(verdicts, KINDS)
    names = ["difference", "case", "libpq", "tarsy-db"]
    parts = [
        table(names, [[one.kind, one.case.name, judged(one.judge), one.reason] for one in differences], form),
        counted(verdicts, KINDS, form),
    ]
    differing_urls = by_kind(urls, URL_KINDS)
    names = ["difference", "URL of SQLite", "SQLAlchemy", "tarsy-db"]
    parts += [
        table(names, [[one.kind, one.name, str(one.judge), one.reason] for one in differing_urls], form),
        counted(urls, URL_KINDS, form),
    ]
    named = [[one.name, one.reason] for one in [*verdicts, *urls] if one.kind == "refused by name"]
    warned = [[one.name, one.reason] for one in [*verdicts, *urls] if one.kind == "warned"]
    codes = [[one.name, judged(one.judge), one.reason] for one in verdicts if one.kind == ANOTHER_CODE]
    taken = [[one.name, one.reason] for one in verdicts if one.kind == "taken on purpose"]
    parts += [
        table(["refused by name", "message"], named, form),
        table(["taken on purpose", "place"], taken, form),
        table(["warned", "message"], warned, form),
    ]
    parts += [table([f"both out, {ANOTHER_CODE}", "libpq", "tarsy-db"], codes, form)]
    parts += ["\n".join(f"{case.name} was left out: it needs {case.needs}" for case in left_out)]
    both_in = sum(not one.kind and one.judge.is_in for one in verdicts)
    both_out = sum(one.kind in {"", ANOTHER_CODE} and not one.judge.is_in for one in verdicts)
    parts += [
        f"{len(verdicts)} cases and {len(urls)} URLs of SQLite: {len(differences) + len(differing_urls)} differences, "
        f"{len(named)} refused by name, {len(taken)} taken on purpose, {len(warned)} warned; of the cases, "
        f"{both_in} times both came in alike, {both_out} times neither came in, "
        f"{len(codes)} of them with {ANOTHER_CODE}"
    ]
    return "\n\n".join(part for part in parts if part)


def by_kind(verdicts: list[Compared], kinds: dict[str, str]) -> list[Compared]:
    order = list(kinds)
    return sorted((one for one in verdicts if one.is_difference), key=lambda one: order.index(one.kind))


def counted(verdicts: list[Compared], kinds: dict[str, str], form: str) -> str:
    if not verdicts:
        return ""
    counts = Counter(one.kind for one in verdicts)
    return table(["differences", "kind", "meaning"], [[str(counts[kind]), kind, kinds[kind]] for kind in kinds], form)


def everything(verdicts: list[Verdict], form: str) -> str:
    """What both did in each case, with the judge's own words."""
    names = ["case", "kind", "libpq", "tarsy-db"]
    rows = [[one.case.name, one.kind or "the same", told(one.judge), told(one.subject)] for one in verdicts]
    return table(names, rows, form)


def told(outcome: Outcome) -> str:
    if outcome.visit:
        return f"in: {place(outcome.visit)}"
    return f"out: {outcome.error}" if outcome.exit_code is None else f"out: {outcome.exit_code}: {outcome.error}"


def table(names: list[str], rows: list[list[str]], form: str) -> str:
    if not rows:
        return ""
    lines = [[one_line(cell) for cell in line] for line in [names, *rows]]
    if form == "markdown":
        escaped = [[cell.replace("|", "\\|") for cell in line] for line in lines]
        ruled = [escaped[0], ["---"] * len(names), *escaped[1:]]
        return "\n".join("| " + " | ".join(line) + " |" for line in ruled)
    widths = [max(len(line[column]) for line in lines) for column in range(len(names))]
    # The last column has messages, which are as long as they are.
    padded = [
        [cell.ljust(width) for cell, width in zip(line[:-1], widths, strict=False)] + [line[-1]] for line in lines
    ]
    return "\n".join("  ".join(line).rstrip() for line in padded)


def one_line(text: str) -> str:
    return " ".join(text.split())


def judged(outcome: Outcome) -> str:
    """What the judge did, without ports, paths and the names of this machine."""
    if not outcome.visit:
        return f"out: {in_short(outcome.error)}"
    visit = outcome.visit
    words = ["in:", place(visit), visit.identity]
    name = visit.application.replace("[unknown]", "")
    words += [f"named {name}"] * bool(name) + [f"sees {outcome.revision}"] * bool(outcome.revision)
    return " ".join(word for word in words if word).replace(SYSTEM_USER, "{system_user}")


def in_short(error: str) -> str:
    """The first error, without ports, paths and addresses."""
    for part, short in CLASSES.items():
        if part in error.partition("\n")[0]:
            return short
    without_place = re.sub("^(Operational|Programming)Error: (connection to server .*? failed: )?", "", error)
    first = without_place.partition("\n")[0].strip()
    return re.sub(r"(?<!\d)\d{4,5}(?!\d)", "N", re.sub(r"/[^ ,\"]*/", "/", first))


def judgements(verdicts: list[Verdict], urls: list[UrlVerdict]) -> dict[str, str]:
    """What the judge did in each case, as in `judged.txt`."""
    lines = [(one.name, judged(one.judge)) for one in verdicts] + [(one.name, str(one.judge)) for one in urls]
    return {name: one_line(line) for name, line in lines}


def update_judged(now: dict[str, str], *, keeps_others: bool) -> None:
    lines = (read_judged() if keeps_others else {}) | now
    text = "".join(f"{name:<60} {line}\n" for name, line in sorted(lines.items()))
    JUDGED.write_text(f"{HEADER}{server_version()}. `--update` rewrites this file.\n{text}")


def read_judged() -> dict[str, str]:
    if not JUDGED.exists():
        return {}
    lines = JUDGED.read_text().splitlines()[1:]
    return {name: rest.strip() for name, _, rest in (line.partition(" ") for line in lines)}


def changed_judgements(now: dict[str, str]) -> list[str]:
    """What the judge did otherwise than `judged.txt` says, which holds for servers of one version."""
    if not JUDGED.read_text().startswith(f"{HEADER}{server_version()}."):
        return []
    before = read_judged()
    return [
        f"{name}: {line}, not {before.get(name, 'known')}" for name, line in now.items() if line != before.get(name)
    ]
