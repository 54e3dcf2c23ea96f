"""The main job on real servers: what goes, that the rest serves, that the database is true."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from applications import APPLICATIONS, FLASK, GUNICORN, NGINX, PAREDOWN, Application, record, run
from applications import slim as make_slim
from fixture_types import Require
from tree_witness import (
    dangling,
    differing,
    files,
    listed,
    owners,
    regular_bytes,
    verify,
    walk,
)

MB = 1_000_000
Slim = tuple[Path, Path]
_made: dict[tuple[str, str], Slim] = {}


@pytest.fixture(scope="module")
def slim(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return ``slim(application, granularity)``: plan and slim tree, made once."""
    for ability in ("serve", "nginx_rootfs", "flask_rootfs"):
        request.getfixturevalue(ability)
    space = tmp_path_factory.mktemp("main-job")

    def get(application: Application, granularity: str = "package") -> Slim:
        key = (application.name, granularity)
        if key not in _made:
            _made[key] = make_slim(application, granularity, space)
        return _made[key]

    return get


def test_nginx_loses_most_of_its_bytes_and_packages(slim: Any) -> None:
    plan, tree = slim(NGINX)
    before, after = len(listed(NGINX.source)), len(listed(tree))
    assert 0 < after <= before * (1 - 0.88)
    assert regular_bytes(tree) <= regular_bytes(NGINX.source) * (1 - 0.80)
    totals = json.loads(plan.read_text())
    assert (totals["before"]["packages"], totals["after"]["packages"]) == (before, after)
    assert totals["before"]["bytes"] == regular_bytes(NGINX.source)


def test_nginx_by_file_is_at_most_12_megabytes(slim: Any) -> None:
    _, tree = slim(NGINX, "file")
    assert regular_bytes(tree) <= 12 * MB


@pytest.mark.parametrize("application", [GUNICORN, FLASK], ids=lambda a: a.name)
def test_flask_loses_most(slim: Any, application: Application) -> None:
    _, tree = slim(application)
    assert len(listed(tree)) <= len(listed(application.source)) * (1 - 0.60)
    assert regular_bytes(tree) <= regular_bytes(application.source) * (1 - 0.60)


@pytest.mark.parametrize("granularity", ["package", "file"])
@pytest.mark.parametrize("application", APPLICATIONS, ids=lambda a: a.name)
def test_slim_one_still_serves(
    slim: Any, application: Application, granularity: str, tmp_path: Path
) -> None:
    _, tree = slim(application, granularity)
    expected = record(application, application.source, tmp_path / "original.trace")
    assert record(application, tree, tmp_path / "slim.trace") == expected
    assert expected["/"][0] == 200


@pytest.mark.parametrize(
    ("application", "granularity"),
    [(GUNICORN, "trim"), (FLASK, "package")],
    ids=lambda value: getattr(value, "name", value),
)
def test_views_that_the_load_never_touched_answer_the_same(
    slim: Any, application: Application, granularity: str, tmp_path: Path
) -> None:
    plan, tree = slim(application, granularity)
    expected = record(
        application, application.source, tmp_path / "original.trace", application.views
    )
    answered = record(application, tree, tmp_path / "slim.trace", application.views)
    assert {status for status, _ in expected.values()} == {200}
    # A command that only a string names is no file that a rule could know: it is a risk.
    assert {view for view in expected if answered[view] != expected[view]} <= {"/pipeline"}
    risks = json.loads(plan.read_text())["risks"]
    named = {(risk.get("package"), risk.get("path"), risk["named_by"]) for risk in risks}
    assert ("coreutils:amd64", "/usr/bin/tr", "/app/app.py") in named


@pytest.mark.parametrize(
    ("application", "granularity"),
    [
        *itertools.product(APPLICATIONS, ("package", "file")),
        *((application, "trim") for application in (NGINX, GUNICORN)),
    ],
    ids=lambda value: getattr(value, "name", value),
)
class TestTruth:
    def test_dpkg_lists_exactly_what_something_is_left_of(
        self, slim: Any, application: Application, granularity: str
    ) -> None:
        _, tree = slim(application, granularity)
        # On merged /usr forty packages list /lib: a link to a directory holds none.
        left = {path for path in walk(tree) if not (tree / path.lstrip("/")).is_dir()}
        expected = {
            package for package, paths in owners(application.source).items() if paths & left
        }
        assert expected
        assert listed(tree) == expected

    def test_dpkg_verify_reports_nothing_new(
        self, slim: Any, application: Application, granularity: str
    ) -> None:
        _, tree = slim(application, granularity)
        assert verify(tree) <= verify(application.source)

    def test_every_owned_file_left_is_owned_still(
        self, slim: Any, application: Application, granularity: str
    ) -> None:
        _, tree = slim(application, granularity)
        before = set().union(*owners(application.source).values())
        after = set().union(*owners(tree).values())
        assert (set(files(tree)) & before) - after == set()

    def test_what_stays_is_the_same(
        self, slim: Any, application: Application, granularity: str
    ) -> None:
        _, tree = slim(application, granularity)
        assert differing(application.source, tree) == []

    def test_no_link_dangles_that_resolved_before(
        self, slim: Any, application: Application, granularity: str
    ) -> None:
        _, tree = slim(application, granularity)
        assert dangling(application.source, tree) == []


def test_dpkg_verify_is_a_witness_that_can_speak(slim: Any, tmp_path: Path) -> None:
    """The negative control: ``dpkg -V`` exits 0 whatever it finds."""
    _, tree = slim(NGINX)
    copy = tmp_path / "copy"
    run("cp", "-a", tree, copy)
    (copy / "usr/sbin/nginx").unlink()
    assert any("/usr/sbin/nginx" in line for line in verify(copy) - verify(NGINX.source))


def test_same_inputs_give_the_same_bytes(slim: Any, tmp_path: Path, require: Require) -> None:
    """On another day, in another directory, in another time zone and with another umask."""
    plan, tree = slim(NGINX)
    trace = plan.with_name(plan.name.replace(".plan.json", ".trace"))
    require(Path("/usr/bin/faketime").exists(), "faketime is not installed")
    outputs = []
    for name, clock, zone in (("a", "2031-05-04 03:02:01", "Asia/Tokyo"), ("b", "2026-12-01", "")):
        place = tmp_path / name
        place.mkdir()
        copied = place / "app.trace"
        copied.write_bytes(trace.read_bytes())
        command = ["faketime", clock, "env", f"TZ={zone}", PAREDOWN]
        source = f"dir:{NGINX.source}"
        run(*command, "plan", source, "--trace", copied, "-o", place / "plan.json")
        archive = place / "slim.tar"
        run(*command, "apply", place / "plan.json", source, "-o", f"docker-archive:{archive}")
        outputs.append(((place / "plan.json").read_bytes(), archive.read_bytes()))
    assert outputs[0] == outputs[1]
    assert outputs[0][0] == plan.read_bytes()
    assert tree.exists()
