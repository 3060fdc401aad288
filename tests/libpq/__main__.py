"""Compares the connections of tarsy-db with those of libpq, as TARSy's backend uses it.

Each case is a URL, an environment and files. The judge, which is the libpq of psycopg2, and tarsy-db connect with the
same case to servers of their own, whose logs say who came in, where, as whom, and how the connection was protected.
Both have to get in at the same place with the same protection, or both have to fail.

  make test-libpq                              all cases
  make test-libpq ARGUMENTS='--only tls/good'  those whose name contains the text, or matches a pattern with `*`

The first table has the differences, the worst kind first. `judged.txt` has what the judge does in each case;
`--update` rewrites it. The exit code is 1 if there is a difference, or if the judge does something else than before on
servers of the same version.

Needs openssl and the server (apt-get install openssl postgresql). TARSY_DB_BINARY names the program
[target/debug/tarsy-db], TEST_POSTGRESQL_BIN the directory with the server's programs. As root the servers run as the
user `postgres`."""

import argparse
import fnmatch
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

import certificates
import report
import sqlite_urls
from case import Case
from cases import all_cases
from lab import make_ground
from matrix import run_all
from verdict import Verdict

ROOT = Path(__file__).resolve().parents[2]


def main() -> int:
    arguments = parse_arguments()
    # SIGTERM ends this program as Ctrl-C does, so that the servers are stopped.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    cases = [case for case in all_cases() if is_selected(case.name, arguments.only)]
    urls = [name for name in sqlite_urls.URLS if is_selected(sqlite_urls.PREFIX + name, arguments.only)]
    if arguments.list:
        print(*(case.name for case in cases), *(sqlite_urls.PREFIX + name for name in urls), sep="\n")
        return 0
    if not cases and not urls:
        raise SystemExit(f"no case matches {arguments.only}")
    if not arguments.binary.is_file():
        raise SystemExit(f"there is no program {arguments.binary}: run `cargo build`, or set TARSY_DB_BINARY")
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="tarsy-db-libpq-", dir=arguments.directory) as name:
        verdicts, left_out = run_cases(cases, arguments, Path(name)) if cases else ([], [])
        url_verdicts = sqlite_urls.compare_urls(urls, arguments.binary, Path(name), arguments.jobs)
    now = report.judgements(verdicts, url_verdicts)
    if arguments.update:
        report.update_judged(now, keeps_others=bool(arguments.only))
    if arguments.all:
        print(report.everything(verdicts, arguments.output), end="\n\n")
    print(report.rendered(verdicts, url_verdicts, left_out, arguments.output))
    for line in (changed := report.changed_judgements(now)):
        print(f"the judge does something else than before: {line}")
    print(f"{time.monotonic() - began:.0f} s", file=sys.stderr)
    return 1 if changed or any(one.is_difference for one in [*verdicts, *url_verdicts]) else 0


def run_cases(cases: list[Case], arguments: argparse.Namespace, directory: Path) -> tuple[list[Verdict], list[Case]]:
    # The server's user needs search permission.
    directory.chmod(0o711)
    (directory / "pki").mkdir()
    certificates.make(directory / "pki")
    ground = make_ground(directory, arguments.binary)
    return run_all(cases, ground, arguments.binary, arguments.jobs)


def is_selected(name: str, pattern: str | None) -> bool:
    """Whether the name contains the text, or matches a pattern with `*`."""
    return pattern is None or fnmatch.fnmatchcase(name, pattern if "*" in pattern else f"*{pattern}*")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="tests/libpq", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    binary = Path(os.environ.get("TARSY_DB_BINARY", ROOT / "target/debug/tarsy-db"))
    parser.add_argument("--binary", type=Path, default=binary.absolute(), help="the program [TARSY_DB_BINARY]")
    parser.add_argument("--only", metavar="PATTERN", help="only these cases")
    parser.add_argument("--jobs", type=int, default=2, help="cases at the same time, each with servers of its own [2]")
    parser.add_argument("--output", choices=["text", "markdown"], default="text", help="the form of the tables [text]")
    parser.add_argument("--directory", default=None, help="where the servers' files are [the system's]")
    parser.add_argument("--list", action="store_true", help="print the names of the cases and end")
    parser.add_argument("--all", action="store_true", help="print what both did in each case, too")
    parser.add_argument("--update", action="store_true", help="rewrite judged.txt")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
