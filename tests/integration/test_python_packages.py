"""Distributions that pip really installed: what is left runs, and says what is left.

The witness is Python itself: an audit hook tells which files a run opened, importlib.metadata and
pip which distributions are there.
"""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest

from decisions import runs_of
from languages import files_of, handed, slim
from paredown_minimizer.misses import find_misses

SITE = "usr/local/lib/python3/site-packages"
ROOTS = ("flask", "requests", "zope.interface")
APPLICATION = """
import json, sys
prefix = sys.argv[1]
opened = set()
def note(event, arguments):
    if event == "open" and isinstance(arguments[0], str) and arguments[0].startswith(prefix + "/"):
        opened.add(arguments[0][len(prefix):])
sys.addaudithook(note)
sys.path.insert(0, prefix + "/" + sys.argv[2])
import flask, importlib.metadata
application = flask.Flask("application")
application.add_url_rule("/", view_func=lambda: flask.render_template_string("{{ 6 * 7 }}"))
answer = application.test_client().get("/").get_data(as_text=True)
points = [point.name for point in importlib.metadata.entry_points(group="console_scripts")]
print(json.dumps([answer, importlib.metadata.version("flask"), sorted(points), sorted(opened)]))
"""
LISTING = """
import importlib.metadata, json, sys
found = importlib.metadata.distributions(path=[sys.argv[1]])
print(json.dumps(sorted(d.metadata["Name"].lower() for d in found)))
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a tree in which pip installed an application's packages, and some that it never uses.

    Of the paths of this machine's Python only the last part may hang on its version.
    """
    root = tmp_path_factory.mktemp("python") / "tree"
    prefix = root / "usr/local"
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-compile"]
    command += ["--ignore-installed", "--prefix", str(prefix), *ROOTS]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    (version,) = (prefix / "lib").iterdir()
    version.rename(prefix / "lib/python3")
    return root


def _run(root: Path) -> tuple[str, str, list[str], list[str]]:
    # Without the site directories of this Python, whose packages have entry points, too.
    command = [sys.executable, "-I", "-S", "-B", "-c", APPLICATION, str(root), SITE]
    result = subprocess.run(command, check=True, capture_output=True, text=True)
    answer, version, points, opened = json.loads(result.stdout)
    return answer, version, points, opened


def _listed(root: Path) -> list[str]:
    command = [sys.executable, "-I", "-c", LISTING, str(root / SITE)]
    names: list[str] = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    return names


USED = {"blinker", "click", "flask", "itsdangerous", "jinja2", "markupsafe", "werkzeug"}


@pytest.mark.parametrize("granularity", ["package", "file"])
def test_unused_distributions_go_and_nothing_else(installed: Path, granularity: str) -> None:
    before = _run(installed)
    assert "requests" in _listed(installed)
    result = slim(installed, before[3], handed("python"), granularity)
    after = _run(result.root)
    assert after[:2] == before[:2]
    assert find_misses(result.plan, runs_of(installed, before[3])) == []
    assert set(_listed(result.root)) == USED
    assert {name for name, action in result.actions("python").items() if action != "remove"} == USED
    assert set(after[2]) < set(before[2])
    bin_ = {path for path in result.files() if path.startswith("/usr/local/bin/")}
    assert bin_ == {"/usr/local/bin/flask"}
    gone = {path.parent for path in (installed / SITE).glob("zope/interface/*.py")}
    assert gone
    assert not (result.root / SITE / "zope").exists()


def test_by_default_they_are_the_application(installed: Path) -> None:
    result = slim(installed, _run(installed)[3])
    assert set(result.actions("python").values()) == {"keep"}
    assert result.files() == files_of(installed)
    assert {package.handed for package in result.plan.packages} == {None}


def test_record_of_a_trimmed_distribution_names_what_is_left(installed: Path) -> None:
    pins = f"pins: [{{remove: /{SITE}/flask/sansio/README.md, reason: r}}]"
    result = slim(installed, _run(installed)[3], handed("python", pins=pins))
    assert result.actions("python")["flask"] == "trim"
    (record,) = (result.root / SITE).glob("flask-*.dist-info/RECORD")
    rows = list(csv.reader(record.read_text().splitlines()))
    named = {(result.root / SITE / row[0]).resolve() for row in rows}
    assert all(path.is_file() for path in named)
    left = {p for p in (result.root / SITE / "flask").rglob("*") if p.is_file()}
    left |= {p for p in record.parent.rglob("*") if p.is_file()}
    assert named == left | {result.root / "usr/local/bin/flask"}
    (original,) = (installed / SITE).glob("flask-*.dist-info/RECORD")
    assert len(original.read_text().splitlines()) == len(rows) + 1


def test_pip_finds_nothing_missing(installed: Path) -> None:
    result = slim(installed, _run(installed)[3], handed("python"))
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "list"]
    command += ["--path", str(result.root / SITE), "--format", "json"]
    found = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    kept = {p.name.lower(): p.version for p in result.plan.packages if p.action != "remove"}
    assert {entry["name"].lower(): entry["version"] for entry in found} == kept
