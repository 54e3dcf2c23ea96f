"""How well some runs tell what others, that were held out, use beside."""

from __future__ import annotations

import collections
import dataclasses
import math
import random
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from harness import Row, Table, say

from applications import AGENT, GUNICORN, record, run
from paredown_minimizer.richness import estimate, next_brings
from paredown_schemas.trace import read_trace

DRAWS = 400
KNOWN = (3, 6, 12)
# Modules of the standard library; each imports more, and some of the same.
MODULES = """
ast argparse array asyncio bisect bz2 calendar cmd colorsys compileall configparser cProfile csv
ctypes curses dbm decimal difflib dis doctest email.message filecmp fractions ftplib getpass
gettext gzip hashlib heapq hmac html.parser http.client http.cookies imaplib ipaddress json
logging.config lzma mailbox mimetypes mmap multiprocessing netrc pdb pickletools plistlib poplib
queue readline sched secrets selectors shelve shlex smtplib socketserver sqlite3 ssl statistics
symtable tarfile tempfile textwrap timeit tokenize trace tracemalloc unittest urllib.request uuid
venv wave xml.dom.minidom xmlrpc.client zipapp zipfile zoneinfo
"""


@dataclasses.dataclass(frozen=True)
class Load:
    """A program whose runs use some of its features, each with a chance of its own."""

    name: str
    chances: Mapping[str, float]
    runs: int
    record: Callable[[Sequence[str], Path], None]


def measure(space: Path) -> Table:
    """Make the table."""
    rows = [row for load in _loads() for row in _rows(load, space)]
    method = (
        "Runs recorded under `paredown-agent record --rootfs`, each of which uses a random choice "
        "of the program's features: common ones, and ever rarer ones. From some of the runs, drawn "
        f"{DRAWS} times, it is estimated how many files of the image have not been seen yet; the "
        "truth is what all runs and one that uses every feature show beside. Nominally 95 % of the "
        "intervals would hold it. Below each: what the next run, held out, was expected to bring, "
        "and what it brought, in the mean."
    )
    return Table("How complete a profile is", method, rows)


def _loads() -> list[Load]:
    views, modules = list(GUNICORN.views), MODULES.split()
    rng = random.Random(5)
    rng.shuffle(views)
    rng.shuffle(modules)
    return [
        Load(
            "Flask by gunicorn",
            {view: 0.9 * 0.72**n for n, view in enumerate(views)},
            24,
            _flask,
        ),
        Load(
            "Python's standard library",
            {module: 0.8 / (1 + 0.35 * n) for n, module in enumerate(modules)},
            30,
            _python,
        ),
    ]


def _flask(views: Sequence[str], trace: Path) -> None:
    record(GUNICORN, GUNICORN.source, trace, views or GUNICORN.views[:1])


def _python(modules: Sequence[str], trace: Path) -> None:
    code = "\n".join(f"import {module}" for module in modules)
    command = ["record", "--rootfs", GUNICORN.source, "-o", trace, "--", "python3", "-c", code]
    run(AGENT, *command)


def _rows(load: Load, space: Path) -> list[Row]:
    say(f"heldout: {load.name}")
    rng = random.Random(7)
    samples = []
    for number in range(load.runs):
        used = [feature for feature, chance in load.chances.items() if rng.random() < chance]
        samples.append(_files(load, used, space / f"{number}.trace"))
    truth = _files(load, list(load.chances), space / "all.trace").union(*samples)
    rows = []
    for known in KNOWN:
        draws = [_draw(rng.sample(samples, known + 1), len(truth)) for _ in range(DRAWS)]
        middle = [statistics.median(column) for column in zip(*draws, strict=True)]
        mean = [statistics.fmean(column) for column in zip(*draws, strict=True)]
        rows += [
            Row(
                f"{load.name}: unseen after {known} of {load.runs} runs",
                "",
                f"estimated {middle[0]:.0f} (interval {middle[1]:.0f} to {middle[2]:.0f}), "
                f"in truth {middle[3]:.0f} of {len(truth)}; {mean[4]:.0%} of the intervals hold it",
                None,
            ),
            Row("… the next run", "", f"expected {mean[5]:.1f} new, brought {mean[6]:.1f}", None),
        ]
    return rows


def _files(load: Load, used: Sequence[str], trace: Path) -> set[str]:
    load.record(used, trace)
    tree = GUNICORN.source
    paths = {file.path for run in read_trace(trace).runs for file in run.files()}
    trace.unlink()
    return {path for path in paths if (tree / path.lstrip("/")).is_file()}


def _draw(samples: Sequence[set[str]], truth: int) -> tuple[float, ...]:
    *known, held_out = samples
    where: dict[str, set[int]] = collections.defaultdict(set)
    for number, sample in enumerate(known):
        for path in sample:
            where[path].add(number)
    found = collections.Counter(map(frozenset, where.values()))
    estimated = estimate(len(known), found)
    assert estimated is not None
    low, high = math.floor(estimated.at_least), math.ceil(estimated.at_most)
    unseen = truth - len(where)
    once = sum(kinds for runs, kinds in found.items() if len(runs) == 1)
    brings = next_brings(len(known), once, estimated.unseen)
    held = float(low <= unseen <= high)
    return estimated.unseen, low, high, unseen, held, brings, len(held_out - where.keys())
