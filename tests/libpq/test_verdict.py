"""Each kind of difference is found, and what is the same is no difference. `python -m unittest` runs these tests."""

import unittest
from dataclasses import replace

from case import SQLALCHEMY, case
from instance import PREFIX, SEPARATOR, Instance, Visit, read_visits
from outcome import Outcome
from sqlite_urls import Opened
from sqlite_urls import difference as url_difference
from verdict import ANOTHER_CODE, KINDS, difference

PLACE = Visit("primary", 5432, "tarsy", "history", "TLSv1.3", "scram-sha-256 tarsy", "[unknown]", 1.0)
CASE = case("a/case", "postgresql://tarsy@{primary}/history?sslmode=require&gssencmode=prefer", is_timed=True)
JUDGE_IN = Outcome(PLACE, (PLACE,), "", 0.1)
JUDGE_OUT = Outcome(None, (), "OperationalError: no", 0.1)
SHOWN = "tarsy@host:5432/history"


def inside(visit: Visit, **more: object) -> Outcome:
    return Outcome(**{"visit": visit, "visits": (visit,), "error": "", "seconds": 0.1, "shown": SHOWN} | more)


def outside(exit_code: int, error: str = "no", *visits: Visit) -> Outcome:
    return Outcome(None, visits, error, 0.1, exit_code=exit_code)


def kind(judge: Outcome, subject: Outcome, judged_by: str = CASE.judge) -> str:
    return difference(replace(CASE, judge=judged_by), judge, subject)[0]


class Verdicts(unittest.TestCase):
    def test_the_same_place_is_the_same(self) -> None:
        self.assertEqual(kind(JUDGE_IN, inside(replace(PLACE, application="tarsy"))), "")
        self.assertEqual(kind(JUDGE_OUT, outside(78)), "")

    def test_another_exit_code_is_no_difference_but_listed(self) -> None:
        wrong_password = replace(JUDGE_OUT, error="OperationalError: FATAL: password authentication failed")
        self.assertEqual(kind(wrong_password, outside(77)), "")
        self.assertEqual(kind(wrong_password, outside(69)), ANOTHER_CODE)
        self.assertEqual(kind(JUDGE_OUT, outside(69)), ANOTHER_CODE)
        self.assertFalse(ANOTHER_CODE in KINDS)

    def test_each_kind_of_difference_is_found(self) -> None:
        plain, older = replace(PLACE, tls=""), replace(PLACE, tls="TLSv1.2")
        found = {
            "came in": kind(JUDGE_OUT, inside(PLACE)),
            "elsewhere": kind(JUDGE_IN, inside(replace(PLACE, server="standby"))),
            "less protected": kind(JUDGE_IN, inside(plain)),
            "also elsewhere": kind(JUDGE_IN, outside(77, "no", plain)),
            "wrong code": kind(JUDGE_OUT, outside(1)),
            "kept out": kind(JUDGE_IN, outside(77)),
            "refused": kind(
                JUDGE_IN, outside(78, "the parameter `sslmode` is not supported; supported are `gssencmode`")
            ),
            "better protected": kind(replace(JUDGE_IN, visit=older, visits=(older,)), inside(PLACE)),
            "otherwise": kind(JUDGE_IN, inside(replace(PLACE, identity=""))),
            "later": kind(JUDGE_IN, inside(PLACE, seconds=5.0)),
            "shown otherwise": kind(JUDGE_IN, inside(PLACE, shown="host:5432/history")),
        }
        self.assertEqual(found, {name: name for name in KINDS})

    def test_plain_text_is_worse_than_any_tls(self) -> None:
        for tls in ["", "TLSv1.2"]:
            self.assertEqual(kind(JUDGE_IN, inside(replace(PLACE, tls=tls))), "less protected")

    def test_every_part_of_the_place_counts(self) -> None:
        for part in [{"user": "other"}, {"database": "other"}, {"server": "other"}]:
            self.assertEqual(kind(JUDGE_IN, inside(replace(PLACE, **part))), "elsewhere")
        seeing = replace(CASE, sees_schema=True)
        judge, subject = replace(JUDGE_IN, revision="one"), inside(PLACE, revision="two")
        self.assertEqual(difference(seeing, judge, subject)[0], "elsewhere")

    def test_only_its_own_name_may_stand_for_none(self) -> None:
        named = replace(JUDGE_IN, visit=replace(PLACE, application="named"))
        self.assertEqual(kind(named, inside(replace(PLACE, application="tarsy"))), "otherwise")
        self.assertEqual(kind(JUDGE_IN, inside(replace(PLACE, application="other"))), "otherwise")

    def test_only_a_refusal_that_is_meant_is_allowed(self) -> None:
        case_of_it = replace(CASE, name="replication/true", url="postgresql://{primary}/history?replication=true")
        named = outside(78, "the parameter `replication` is not supported")
        self.assertEqual(difference(case_of_it, JUDGE_IN, named)[0], "refused by name")
        self.assertEqual(difference(replace(case_of_it, name="other"), JUDGE_IN, named)[0], "refused")
        self.assertEqual(difference(case_of_it, JUDGE_IN, outside(78, "it is not supported"))[0], "kept out")
        self.assertEqual(difference(case_of_it, JUDGE_IN, outside(77, "the parameter `replication`"))[0], "kept out")

    def test_only_what_is_meant_is_taken(self) -> None:
        case_of_it = replace(CASE, name="place/ipv6-variable-in-brackets")
        self.assertEqual(difference(case_of_it, JUDGE_OUT, inside(PLACE))[0], "taken on purpose")
        self.assertEqual(difference(replace(case_of_it, name="place/ipv6"), JUDGE_OUT, inside(PLACE))[0], "came in")

    def test_a_search_path_without_tables_may_be_an_error(self) -> None:
        seeing = replace(CASE, sees_schema=True)
        without_tables = outside(77, "the search path has no schema", PLACE)
        self.assertEqual(difference(seeing, JUDGE_IN, without_tables)[0], "")
        self.assertEqual(difference(seeing, replace(JUDGE_IN, revision="one"), without_tables)[0], "kept out")

    def test_a_warning_excuses_only_a_url_that_the_backend_cannot_read(self) -> None:
        unreadable = replace(JUDGE_OUT, error="ArgumentError: no")
        warned = inside(PLACE, warning="WARN the backend refuses it")
        self.assertEqual(kind(unreadable, warned, SQLALCHEMY), "warned")
        self.assertEqual(kind(unreadable, inside(PLACE), SQLALCHEMY), "came in")
        self.assertEqual(kind(JUDGE_OUT, warned, SQLALCHEMY), "came in")


class Logs(unittest.TestCase):
    INSTANCE = Instance("primary", None, None, {}, [], 5432)

    def line(self, message: str, application: str = "[unknown]") -> str:
        filled = dict(zip("npuda", ["1.5", "7", "tarsy", "history", application], strict=True))
        start = SEPARATOR.join(filled[part.removeprefix("%")] for part in PREFIX.split(SEPARATOR) if part)
        return f"{start}{SEPARATOR}LOG:  {message}\n"

    def test_a_visit_has_its_protection_its_identity_and_its_last_name(self) -> None:
        log = self.line('connection authenticated: identity="CN=tarsy" method=cert (pg_hba.conf:1)') + self.line(
            "connection authorized: user=tarsy SSL enabled (protocol=TLSv1.3, cipher=x, bits=256)"
        )
        self.assertEqual(read_visits(self.INSTANCE, log)[1], False)
        visits, is_complete = read_visits(self.INSTANCE, log + self.line("disconnection: session time: 1", "named"))
        expected = Visit("primary", 5432, "tarsy", "history", "TLSv1.3", "cert CN=tarsy", "named", 1.5)
        self.assertEqual((visits, is_complete), ([expected], True))

    def test_a_login_that_failed_is_no_visit(self) -> None:
        log = self.line("connection received: host=127.0.0.1") + self.line("password authentication failed")
        self.assertEqual(read_visits(self.INSTANCE, log), ([], True))


class Urls(unittest.TestCase):
    def test_each_kind_of_difference_is_found(self) -> None:
        ours, other, memory = Opened(("x.db",), "", 0), Opened(("y.db",), "", 0), Opened((), "", 0)
        failed, refused = Opened((), "no", 74), Opened((), "the parameter `unheard_of` is not known", 78)
        self.assertEqual(url_difference(ours, ours)[0], "")
        self.assertEqual(url_difference(ours, other)[0], "another file")
        self.assertEqual(url_difference(ours, memory)[0], "another file")
        self.assertEqual(url_difference(memory, ours)[0], "another file")
        self.assertEqual(url_difference(failed, ours)[0], "opens")
        self.assertEqual(url_difference(failed, replace(ours, warning="WARN"))[0], "warned")
        self.assertEqual(url_difference(ours, Opened((), "no", 1))[0], "wrong code")
        self.assertEqual(url_difference(ours, failed)[0], "kept out")
        self.assertEqual(url_difference(ours, refused)[0], "refused")
        self.assertEqual(url_difference(ours, replace(refused, error="the parameter `uri`"))[0], "refused by name")


if __name__ == "__main__":
    unittest.main()
