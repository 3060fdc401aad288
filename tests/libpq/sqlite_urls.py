"""URLs of SQLite: which file SQLAlchemy opens, and which one tarsy-db."""

import hashlib
import json
import sys
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from outcome import run
from refusals import SQLITE_BLANKS, SQLITE_REFUSALS
from verdict import CONFIGURATION, FAILURES

JUDGE = Path(__file__).with_name("judge_sqlite.py")
PREFIX = "sqlite-url/"
# Files that come and go with the database itself.
COMPANIONS = ("-wal", "-shm", "-journal")
# The program works in the directory `work`, beside which there is `beside`. `{directory}` is that of both.
URLS = {
    "relative": "sqlite:///x.db",
    "relative-with-dot": "sqlite:///./x.db",
    "relative-upward": "sqlite:///../beside/x.db",
    "in-a-directory": "sqlite:///inner/x.db",
    "absolute": "sqlite:///{directory}/beside/x.db",
    "absolute-with-five-slashes": "sqlite:////{directory}/beside/x.db",
    "existing": "sqlite:///existing.db",
    "a-directory": "sqlite:///inner",
    "two-slashes": "sqlite://x.db",
    "two-slashes-and-path": "sqlite://inner/x.db",
    "localhost": "sqlite://localhost/x.db",
    "user-and-host": "sqlite://user:word@host/x.db",
    "memory": "sqlite://",
    "memory-with-slash": "sqlite:///",
    "memory-by-name": "sqlite:///:memory:",
    "memory-as-host": "sqlite://:memory:",
    "memory-shared": "sqlite:///:memory:?cache=shared",
    "memory-as-uri": "sqlite:///file::memory:?uri=true",
    "memory-by-mode": "sqlite:///file:x.db?mode=memory&uri=true",
    "one-slash": "sqlite:/x.db",
    "no-slash": "sqlite:x.db",
    "no-scheme": "x.db",
    "pysqlite": "sqlite+pysqlite:///x.db",
    "aiosqlite": "sqlite+aiosqlite:///x.db",
    "pysqlite-absolute": "sqlite+pysqlite:///{directory}/beside/x.db",
    "upper-scheme": "SQLITE:///x.db",
    "sqlite3": "sqlite3:///x.db",
    "unknown-driver": "sqlite+nothing:///x.db",
    "encoded-blank": "sqlite:///my%20file.db",
    "plain-blank": "sqlite:///my file.db",
    "plus": "sqlite:///my+file.db",
    "letters": "sqlite:///\u00fc.db",
    "encoded-letters": "sqlite:///%C3%BC.db",
    "encoded-question-mark": "sqlite:///x%3Fy.db",
    "fragment": "sqlite:///x.db#more",
    "empty-query": "sqlite:///x.db?",
    "only-ampersand": "sqlite:///x.db?&",
    "colon": "sqlite:///C:x.db",
    "at-sign": "sqlite:///a@b.db",
    "tilde": "sqlite:///~/x.db",
    "variable": "sqlite:///$HOME/x.db",
    "file-prefix": "sqlite:///file:x.db",
    "file-prefix-as-uri": "sqlite:///file:x.db?uri=true",
    "file-prefix-absolute": "sqlite:///file:{directory}/beside/x.db?uri=true",
    "file-prefix-with-mode": "sqlite:///file:x.db?mode=rwc&uri=true",
    "file-prefix-without-uri": "sqlite:///file:x.db?mode=rwc",
    "file-prefix-encoded": "sqlite:///file:my%20file.db?uri=true",
    "uri-without-prefix": "sqlite:///x.db?uri=true",
    "uri-false": "sqlite:///file:x.db?uri=false",
    "read-only-uri": "sqlite:///file:existing.db?mode=ro&uri=true",
    "read-only-uri-missing": "sqlite:///file:missing.db?mode=ro&uri=true",
    "read-write-uri-missing": "sqlite:///file:missing.db?mode=rw&uri=true",
    "immutable-uri": "sqlite:///file:existing.db?immutable=1&uri=true",
    "read-only": "sqlite:///existing.db?mode=ro",
    "shared-cache": "sqlite:///x.db?cache=shared",
    "shared-cache-uri": "sqlite:///file:x.db?cache=shared&uri=true",
    "timeout": "sqlite:///x.db?timeout=5",
    "timeout-fraction": "sqlite:///x.db?timeout=0.5",
    "timeout-word": "sqlite:///x.db?timeout=soon",
    "timeout-empty": "sqlite:///x.db?timeout=",
    "threads": "sqlite:///x.db?check_same_thread=false",
    "isolation": "sqlite:///x.db?isolation_level=IMMEDIATE",
    "detect-types": "sqlite:///x.db?detect_types=0",
    "cached-statements": "sqlite:///x.db?cached_statements=10",
    "unknown-parameter": "sqlite:///x.db?foo=1",
    "parameter-of-postgresql": "sqlite:///x.db?sslmode=require",
    "parameter-twice": "sqlite:///x.db?timeout=5&timeout=6",
    "quotes": '"sqlite:///x.db"',
    "single-quotes": "'sqlite:///x.db'",
    "byte-order-mark": "\ufeffsqlite:///x.db",
    "newline-at-end": "sqlite:///x.db\n",
    "blank-at-end": "sqlite:///x.db ",
    "blank-at-start": " sqlite:///x.db",
}
KINDS = {
    "another file": "both open a database, but not the same file",
    "opens": "tarsy-db opens a file where SQLAlchemy opens none, without a warning",
    "wrong code": "an exit code that does not fit, or no JSON",
    "kept out": "SQLAlchemy opens a database, tarsy-db does not",
    "refused": "refused by name (78), but not one of the refusals that are meant",
}


@dataclass(frozen=True)
class Opened:
    """The files that were written; none where the database is in memory. `error` is why nothing was opened."""

    files: tuple[str, ...] = ()
    error: str = ""
    exit_code: int | None = None
    warning: str = ""

    def __str__(self) -> str:
        # A blank or a newline may end the name of a file.
        names = [name if name == name.strip() else repr(name) for name in self.files]
        return f"out: {self.error}" if self.error else ", ".join(names) or "memory"


@dataclass(frozen=True)
class UrlVerdict:
    """`kind` is one of `KINDS`, `refused by name`, `warned`, or empty where both open the same."""

    name: str
    judge: Opened
    subject: Opened
    kind: str
    reason: str

    @property
    def is_difference(self) -> bool:
        return self.kind in KINDS


def compare_urls(names: list[str], binary: Path, directory: Path, jobs: int) -> list[UrlVerdict]:
    with ThreadPoolExecutor(jobs) as pool:
        return list(pool.map(lambda name: compare(name, binary, directory), names))


def compare(name: str, binary: Path, directory: Path) -> UrlVerdict:
    with Workplace(directory) as place:
        judge = opened_by_judge(name, place)
    with Workplace(directory) as place:
        subject = opened_by_tarsy_db(binary, name, place)
    return UrlVerdict(f"{PREFIX}{name}", judge, subject, *difference(judge, subject))


def difference(judge: Opened, subject: Opened) -> tuple[str, str]:
    if subject.files and subject.files != judge.files:
        if not judge.error:
            return "another file", f"{subject}, not {judge}"
        return ("warned", subject.warning) if subject.warning else ("opens", f"{subject}, not {judge}")
    if subject.exit_code != 0 and subject.exit_code not in FAILURES | {73, 74}:
        return "wrong code", f"exit code {subject.exit_code}: {subject.error}"
    if judge.error:
        if subject.error or subject.warning:
            return "", ""
        return "opens", f"{subject}, not {judge}"
    if not subject.error:
        return ("", "") if subject.files == judge.files else ("another file", f"{subject}, not {judge}")
    told = subject.error.partition("supported are")[0]
    if subject.exit_code == CONFIGURATION and ("`" in told or SQLITE_BLANKS in told):
        is_meant = SQLITE_BLANKS in told or any(f"`{name}`" in told for name in SQLITE_REFUSALS)
        return ("refused by name" if is_meant else "refused"), subject.error
    return "kept out", f"exit code {subject.exit_code}: {subject.error}"


def opened_by_judge(name: str, place: "Workplace") -> Opened:
    command = [sys.executable, "-I", str(JUDGE), place.url(name)]
    code, output, errors, _ = run(command, place.work, {"HOME": str(place.root)})
    if code != 0:
        raise SystemExit(f"the judge of {name} ends with {code}: {errors}")
    return Opened(place.written(), output.partition("\n")[0].replace(str(place.root), "{directory}"), 0)


def opened_by_tarsy_db(binary: Path, name: str, place: "Workplace") -> Opened:
    variables = {"HOME": str(place.root), "DATABASE_URL": place.url(name)}
    code, output, errors, _ = run([str(binary), "init", "--output", "json"], place.work, variables)
    warning = " ".join(line for line in errors.splitlines() if "WARN" in line)
    try:
        error = json.loads(output).get("error") or {}
    except ValueError:
        return Opened(place.written(), f"no JSON: {output}{errors}", 1, warning)
    text = ": ".join([error["message"], *error.get("causes", [])]) if error else ""
    return Opened(place.written(), text, code, warning)


class Workplace:
    """A directory with a few files, and which of them were written since."""

    def __init__(self, directory: Path) -> None:
        self.temporary = tempfile.TemporaryDirectory(prefix="url-", dir=directory)
        self.root = Path(self.temporary.name)
        self.work = self.root / "work"

    def __enter__(self) -> "Workplace":
        self.work.mkdir()
        for inner in [self.root / "beside", *(self.work / name for name in ["inner", "~", "$HOME"])]:
            inner.mkdir()
        (self.work / "existing.db").touch()
        self.before = self.contents()
        return self

    def __exit__(self, *_: object) -> None:
        self.temporary.cleanup()

    def url(self, name: str) -> str:
        return URLS[name].replace("{directory}", str(self.root))

    def contents(self) -> Mapping[str, str]:
        files = [path for path in self.root.rglob("*") if path.is_file() and not path.name.endswith(COMPANIONS)]
        return {str(path.relative_to(self.root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}

    def written(self) -> tuple[str, ...]:
        now = self.contents()
        return tuple(sorted(name for name, content in now.items() if self.before.get(name) != content))
