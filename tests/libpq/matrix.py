"""Runs the cases, several at a time, each in a lab of its own."""

import queue
import tempfile
import threading
from pathlib import Path

from case import DEFAULT_SOCKETS, IPV6, Case, filled
from lab import Ground, Lab
from outcome import judge, try_tarsy_db
from verdict import Verdict, compare


def run_all(cases: list[Case], ground: Ground, binary: Path, jobs: int) -> tuple[list[Verdict], list[Case]]:
    """Returns the verdicts in the order of the cases, and the cases that this machine cannot run."""
    waiting: queue.SimpleQueue[Case] = queue.SimpleQueue()
    for case in cases:
        waiting.put(case)
    verdicts: dict[str, Verdict] = {}
    left_out: list[Case] = []
    failures: list[BaseException] = []

    def work(number: int) -> None:
        lab = Lab(ground, number)
        try:
            lab.start()
            while not failures:
                try:
                    case = waiting.get_nowait()
                except queue.Empty:
                    return
                if is_possible(case, lab):
                    lab.start_for(case)
                    verdicts[case.name] = run(case, lab, binary)
                else:
                    left_out.append(case)
        except BaseException as error:
            failures.append(error)
        finally:
            lab.stop()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(jobs)]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            thread.join()
    except BaseException as error:
        failures.append(error)
        for thread in threads:
            thread.join()
    if failures:
        raise failures[0]
    return [verdicts[case.name] for case in cases if case.name in verdicts], left_out


def is_possible(case: Case, lab: Lab) -> bool:
    has = {"": True, IPV6: lab.has_ipv6, DEFAULT_SOCKETS: lab.has_default_sockets}
    return has[case.needs]


def run(case: Case, lab: Lab, binary: Path) -> Verdict:
    """Both get the same files, each a copy of its own."""
    outcomes = []
    for which in ["judge", "subject"]:
        with tempfile.TemporaryDirectory(prefix=f"{which}-", dir=lab.directory) as name:
            home = Path(name)
            places = lab.places() | {"home": str(home)}
            work = home / "work"
            work.mkdir()
            case.lay_out(home, lab.ground.pki, places)
            variables = case.variables(home, places)
            if which == "judge":
                outcomes.append(judge(case, lab, work, filled(case.url, places), variables))
            else:
                outcomes.append(try_tarsy_db(binary, case, lab, work, variables | case.address(places)))
    return compare(case, *outcomes)
