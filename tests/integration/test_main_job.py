"""The main job on real servers: what goes, that the rest serves, that the database is true."""

from __future__ import annotations

import json
import os
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest

from applications import APPLICATIONS, FLASK, GUNICORN, NGINX, PAREDOWN, Application, record, run
from applications import slim as make_slim
from fixture_types import Require

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


def _regular_bytes(tree: Path) -> int:
    return sum({(s.st_dev, s.st_ino): s.st_size for s in _files(tree).values()}.values())


def _files(tree: Path) -> dict[str, os.stat_result]:
    return {path: s for path, s in _walk(tree).items() if stat.S_ISREG(s.st_mode)}


def _walk(tree: Path) -> dict[str, os.stat_result]:
    found = {"/": os.lstat(tree)}
    for directory, folders, names in os.walk(tree):
        for name in (*folders, *names):
            path = os.path.join(directory, name)
            found["/" + os.path.relpath(path, tree)] = os.lstat(path)
    return found


def _listed(tree: Path) -> set[str]:
    admin = tree / "var/lib/dpkg"
    shown = run("dpkg-query", f"--admindir={admin}", "-W", "-f", "${Package}\\n")
    return set(shown.split())


def _verify(tree: Path) -> set[str]:
    command = ["dpkg", "-V", f"--root={tree}"]
    return set(
        subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    )


def test_nginx_loses_most_of_its_bytes_and_packages(slim: Any) -> None:
    plan, tree = slim(NGINX)
    before, after = len(_listed(NGINX.source)), len(_listed(tree))
    assert 0 < after <= before * (1 - 0.88)
    assert _regular_bytes(tree) <= _regular_bytes(NGINX.source) * (1 - 0.80)
    totals = json.loads(plan.read_text())
    assert (totals["before"]["packages"], totals["after"]["packages"]) == (before, after)
    assert totals["before"]["bytes"] == _regular_bytes(NGINX.source)


def test_nginx_by_file_is_at_most_12_megabytes(slim: Any) -> None:
    _, tree = slim(NGINX, "file")
    assert _regular_bytes(tree) <= 12 * MB


@pytest.mark.parametrize("application", [GUNICORN, FLASK], ids=lambda a: a.name)
def test_flask_loses_most(slim: Any, application: Application) -> None:
    _, tree = slim(application)
    assert len(_listed(tree)) <= len(_listed(application.source)) * (1 - 0.60)
    assert _regular_bytes(tree) <= _regular_bytes(application.source) * (1 - 0.60)


@pytest.mark.parametrize("granularity", ["package", "file"])
@pytest.mark.parametrize("application", APPLICATIONS, ids=lambda a: a.name)
def test_slim_one_still_serves(
    slim: Any, application: Application, granularity: str, tmp_path: Path
) -> None:
    _, tree = slim(application, granularity)
    expected = record(application, application.source, tmp_path / "original.trace")
    assert record(application, tree, tmp_path / "slim.trace") == expected
    assert expected["/"][0] == 200


@pytest.mark.parametrize("application", [GUNICORN, FLASK], ids=lambda a: a.name)
def test_views_that_the_load_never_touched_answer_the_same(
    slim: Any, application: Application, tmp_path: Path
) -> None:
    plan, tree = slim(application)
    expected = record(
        application, application.source, tmp_path / "original.trace", application.views
    )
    answered = record(application, tree, tmp_path / "slim.trace", application.views)
    assert {status for status, _ in expected.values()} == {200}
    # A command that only a string names is no file that a rule could know: it is a risk.
    assert {view for view in expected if answered[view] != expected[view]} <= {"/pipeline"}
    risks = json.loads(plan.read_text())["risks"]
    named = {(risk["package"], risk["path"], risk["named_by"]) for risk in risks}
    assert ("coreutils:amd64", "/usr/bin/tr", "/app/app.py") in named


@pytest.mark.parametrize("granularity", ["package", "file"])
@pytest.mark.parametrize("application", APPLICATIONS, ids=lambda a: a.name)
class TestTruth:
    def test_dpkg_lists_exactly_what_something_is_left_of(
        self, slim: Any, application: Application, granularity: str
    ) -> None:
        _, tree = slim(application, granularity)
        # On merged /usr forty packages list /lib: a link to a directory holds none.
        left = {path for path in _walk(tree) if not (tree / path.lstrip("/")).is_dir()}
        admin = application.source / "var/lib/dpkg/info"
        with_files = set()
        for listing in admin.glob("*.list"):
            paths = {
                os.path.realpath(os.path.dirname(path)) + "/" + os.path.basename(path)
                for path in _inside(application.source, listing)
            }
            root = str(application.source.resolve())
            if any(path.removeprefix(root) in left for path in paths):
                with_files.add(listing.name.removesuffix(".list").partition(":")[0])
        assert with_files
        assert _listed(tree) == with_files

    def test_dpkg_verify_reports_nothing_new(
        self, slim: Any, application: Application, granularity: str
    ) -> None:
        _, tree = slim(application, granularity)
        assert _verify(tree) <= _verify(application.source)

    def test_every_file_left_is_owned_derived_or_was_unowned(
        self, slim: Any, application: Application, granularity: str
    ) -> None:
        """An owned file of the original must be owned in the slim tree's own lists."""
        _, tree = slim(application, granularity)
        before, after = _owned(application.source), _owned(tree)
        strays = (set(_files(tree)) & before) - after
        assert strays == set()

    def test_what_stays_is_the_same(
        self, slim: Any, application: Application, granularity: str
    ) -> None:
        _, tree = slim(application, granularity)
        originals = _walk(application.source)
        differing = []
        for path, status in _walk(tree).items():
            if path.startswith("/var/lib/dpkg"):
                continue
            if _facts(tree, path, status) != _facts(application.source, path, originals[path]):
                differing.append(path)
        assert differing == []

    def test_no_link_dangles_that_resolved_before(
        self, slim: Any, application: Application, granularity: str
    ) -> None:
        _, tree = slim(application, granularity)
        links = [p for p, s in _walk(tree).items() if stat.S_ISLNK(s.st_mode)]
        assert links
        for path in links:
            if _resolves(application.source, path):
                assert _resolves(tree, path), path


def _resolves(tree: Path, path: str) -> bool:
    """Follow a link as the kernel would with ``tree`` as its root, by chroot in a child."""
    child = os.fork()
    if child == 0:
        os.chroot(tree)
        os._exit(0 if os.path.exists(path) else 1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def _inside(tree: Path, listing: Path) -> list[str]:
    return [str(tree.resolve()) + line for line in listing.read_text().splitlines()]


def _owned(tree: Path) -> set[str]:
    owned = set()
    root = str(tree.resolve())
    for listing in (tree / "var/lib/dpkg/info").glob("*.list"):
        for path in _inside(tree, listing):
            real = os.path.realpath(os.path.dirname(path)) + "/" + os.path.basename(path)
            owned.add(real.removeprefix(root))
    return owned


def _facts(tree: Path, path: str, status: os.stat_result) -> tuple[object, ...]:
    place = tree / path.lstrip("/")
    content: object = None
    if stat.S_ISREG(status.st_mode):
        content = place.read_bytes()
    elif stat.S_ISLNK(status.st_mode):
        content = os.readlink(place)
    names = os.listxattr(place, follow_symlinks=False)
    xattrs = {name: os.getxattr(place, name, follow_symlinks=False) for name in names}
    return (status.st_mode, status.st_uid, status.st_gid, status.st_mtime_ns, xattrs, content)


def test_dpkg_verify_is_a_witness_that_can_speak(slim: Any, tmp_path: Path) -> None:
    """The negative control: ``dpkg -V`` exits 0 whatever it finds."""
    _, tree = slim(NGINX)
    copy = tmp_path / "copy"
    run("cp", "-a", tree, copy)
    (copy / "usr/sbin/nginx").unlink()
    assert any("/usr/sbin/nginx" in line for line in _verify(copy) - _verify(NGINX.source))


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
