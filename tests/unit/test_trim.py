"""Granularity ``trim``: a used package loses what no program reads, and nothing else."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from decisions import decided, kept_files, make_tree
from paredown_minimizer.decide import Decision
from paredown_minimizer.explain import explain
from paredown_minimizer.trim import load_kinds
from paredown_schemas.plan import PathDecision, Trimmed, dump_plan, load_plan

STAYS = {
    "/usr/bin/web",
    "/usr/share/web/index.html",
    "/usr/share/doc/web/copyright",
    "/usr/share/doc/web/examples/LICENSE.txt",
    "/usr/share/locale/locale.alias",
    "/usr/include/python3.11/pyconfig.h",
    "/usr/lib/x86_64-linux-gnu/perl/5.36/CORE/perl.h",
    "/usr/lib/x86_64-linux-gnu/web/modules/x.la",
    "/usr/lib/ocaml/std.a",
}
GOES = {
    "/usr/share/doc/web/changelog.gz",
    "/usr/share/doc/web/examples/web.conf",
    "/usr/share/man/man1/web.1.gz",
    "/usr/share/man/de/man1/web.1.gz",
    "/usr/share/postgresql/15/man/man1/psql.1.gz",
    "/usr/share/info/web.info.gz",
    "/usr/share/locale/de/LC_MESSAGES/web.mo",
    "/usr/include/web/web.h",
    "/usr/lib/x86_64-linux-gnu/libweb.a",
    "/usr/lib/x86_64-linux-gnu/libweb.la",
    "/usr/lib/x86_64-linux-gnu/pkgconfig/web.pc",
    "/usr/lib/x86_64-linux-gnu/cmake/web/web-config.cmake",
    "/usr/share/lintian/overrides/web",
    "/usr/share/bug/web/script",
    "/usr/share/bash-completion/completions/web",
    "/usr/share/gdb/auto-load/usr/lib/libweb.so.1-gdb.py",
}


def _trimmed(root: Path, *used: str, also: Iterable[str] = (), **options: Any) -> Decision:
    options = {"granularity": "trim", **options}
    return decided(root, ["/usr/bin/web", *used], {"web": [*STAYS, *GOES, *also]}, **options)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    tree = tmp_path / "tree"
    make_tree(tree, dict.fromkeys(STAYS | GOES, "x"))
    return tree


def test_what_no_program_reads_goes_and_nothing_else(root: Path) -> None:
    decision = _trimmed(root)
    assert kept_files(decision, root) == STAYS
    assert kept_files(_trimmed(root, granularity="package"), root) == STAYS | GOES


def test_each_kind_is_tried(root: Path) -> None:
    (package,) = _trimmed(root).plan.packages
    assert {trimmed.kind for trimmed in package.trimmed} == {kind.name for kind in load_kinds()}


def test_the_plan_tells_kinds_and_no_single_paths(root: Path) -> None:
    plan = load_plan(dump_plan(_trimmed(root).plan), "plan")
    (package,) = plan.packages
    assert (package.action, package.kept_files, package.granularity) == ("trim", len(STAYS), None)
    assert Trimmed("documentation", 2, 2) in package.trimmed
    assert sum(trimmed.files for trimmed in package.trimmed) == len(GOES)
    assert plan.paths == ()
    (said,) = explain(plan, "/usr/share/man/man1/web.1.gz")
    assert said.endswith(", of web:all, goes: manual pages, which no program reads at run time")
    assert "  without manual pages: 3 files, 3 B" in explain(plan, "web")


def test_what_evidence_holds_stays(root: Path) -> None:
    """Whatever a kind says of a file: this one was read."""
    read = "/usr/share/doc/web/changelog.gz"
    assert kept_files(_trimmed(root, read), root) == STAYS | {read}
    pin = f"version: 1\npins: [{{keep: {read}, reason: x}}]"
    assert kept_files(_trimmed(root, policy=pin), root) == STAYS | {read}


def test_no_link_dangles(root: Path) -> None:
    """Debian Policy 12.3: what is in /usr/share/doc may be linked from elsewhere, and back."""
    links = {
        "/usr/share/web/README": "-> ../doc/web/examples/web.conf",
        "/usr/share/doc/web/html": "-> ../../web",
        "/usr/share/doc/web/news": "-> changelog.gz",
    }
    make_tree(root, links)
    decision = _trimmed(root, also=links)
    linked = {"/usr/share/web/README", "/usr/share/doc/web/examples/web.conf"}
    assert kept_files(decision, root) == STAYS | linked | {"/usr/share/doc/web/html"}
    assert decision.plan.paths == ()


def test_unused_packages_go_and_the_application_stays(root: Path) -> None:
    make_tree(root, dict.fromkeys(["/usr/share/man/man1/own.1", "/usr/include/other.h"], "x"))
    packages = {"web": ["/usr/bin/web"], "other": ["/usr/include/other.h"]}
    decision = decided(root, ["/usr/bin/web"], packages, granularity="trim")
    assert {package.name: package.action for package in decision.plan.packages} == {
        "other": "remove",
        "web": "keep",
    }
    assert {"/usr/share/man/man1/own.1", "/usr/share/doc/web/changelog.gz"} <= decision.kept


@pytest.mark.parametrize(
    ("reader", "kept"),
    [
        ("/usr/bin/man", {path for path in GOES if "/man/" in path}),
        ("/usr/lib/gcc/x86_64-linux-gnu/12/cc1", {"/usr/include/web/web.h"}),
        ("/usr/bin/x86_64-linux-gnu-ld.bfd", {"/usr/lib/x86_64-linux-gnu/libweb.a"}),
        ("/usr/lib/x86_64-linux-gnu/libltdl.so.7", {"/usr/lib/x86_64-linux-gnu/libweb.la"}),
        ("/usr/bin/fold", set()),
    ],
)
def test_what_a_used_program_reads_stays(root: Path, reader: str, kept: set[str]) -> None:
    make_tree(root, {reader: "x"})
    assert kept_files(_trimmed(root, reader), root) == STAYS | kept | {reader}
    # It is there, and nobody used it.
    assert kept_files(_trimmed(root, also=[reader]), root) == STAYS | {reader}


LANGUAGES = ("de", "de_AT", "de@hebrew", "fr", "pt_BR", "den")


@pytest.mark.parametrize(
    ("environment", "kept"),
    [
        ((), ()),
        (["LANG=C.UTF-8", "LC_ALL=POSIX", "X=de"], ()),
        (["LANG=de_DE.UTF-8"], ("de", "de_AT", "de@hebrew")),
        (["LC_MESSAGES=fr", "LANG=C"], ("fr",)),
        (["LANGUAGE=pt_BR:fr_CA:en", "LANG=en_US.UTF-8"], ("fr", "pt_BR")),
        (["LANG=../../etc"], ()),
    ],
)
def test_catalogues_of_the_languages_that_are_asked_for_stay(
    tmp_path: Path, environment: list[str], kept: tuple[str, ...]
) -> None:
    assert _catalogues(tmp_path, {}, environment) == set(kept)


def test_catalogues_of_installed_locales_stay(tmp_path: Path) -> None:
    """setlocale(3) may be given any of them, whatever the environment says."""
    locale = {"/usr/lib/locale/fr_FR.utf8/LC_CTYPE": "x", "/usr/lib/locale/C.utf8/LC_CTYPE": "x"}
    assert _catalogues(tmp_path, locale) == {"fr"}


@pytest.mark.parametrize("order", ["<", ">"])
def test_catalogues_of_archived_locales_stay(tmp_path: Path, order: str) -> None:
    # glibc, locale/locarchive.h; the names lie behind their hash table.
    names = b"pt_BR.utf8\0C.utf8\0"
    head = struct.pack(f"{order}14I", 0xDE020109, 2, 56, 2, 3, 92, len(names), 4000, *[0] * 6)
    make_tree(tmp_path / "tree", {"/usr/lib/locale/locale-archive": "x"})
    archive = tmp_path / "tree/usr/lib/locale/locale-archive"
    archive.write_bytes(head + bytes(36) + names + b"de_DE.utf8\0")
    assert _catalogues(tmp_path, {}) == {"pt_BR"}
    archive.write_bytes(head[:20])
    assert _catalogues(tmp_path, {}) == set()


def _catalogues(space: Path, files: dict[str, str], environment: Iterable[str] = ()) -> set[str]:
    """Return the languages of which a package's catalogues are kept."""
    catalogues = [f"/usr/share/locale/{name}/LC_MESSAGES/web.mo" for name in LANGUAGES]
    make_tree(space / "tree", {**files, **dict.fromkeys(["/usr/bin/web", *catalogues], "x")})
    decision = decided(
        space / "tree",
        ["/usr/bin/web"],
        {"web": ["/usr/bin/web", *catalogues]},
        config={"Env": list(environment)},
        granularity="trim",
    )
    return {
        path.split("/")[4] for path in kept_files(decision, space / "tree") if "/share/" in path
    }


def test_granularity_by_package(tmp_path: Path) -> None:
    packages = {
        name: [f"/usr/bin/{name}", f"/usr/lib/{name}.dat", f"/usr/share/doc/{name}/README"]
        for name in ("a", "b", "c", "d")
    }
    root = tmp_path / "tree"
    make_tree(root, {path: "x" for paths in packages.values() for path in paths})
    policy = """
version: 1
granularity:
  - {package: b, granularity: trim, reason: small}
  - {package: c, granularity: file, reason: smaller}
pins:
  - {remove: /usr/share/doc/b/README, reason: not this}
"""
    used = ["/usr/bin/a", "/usr/bin/b", "/usr/bin/c"]
    decision = decided(root, used, packages, policy=policy)
    assert kept_files(decision, root) == {*packages["a"], *packages["b"][:2], *packages["c"][:1]}
    told = {p.name: (p.action, p.granularity, p.granularity_reason) for p in decision.plan.packages}
    assert told == {
        "a": ("keep", None, None),
        "b": ("trim", "trim", "small"),
        "c": ("trim", "file", "smaller"),
        "d": ("remove", None, None),
    }
    # A person's decision is told as one, and counts as no kind's.
    assert decision.plan.paths == (
        PathDecision("/usr/share/doc/b/README", "remove", "b:all", "not this"),
    )
    whole = decided(root, used, packages, policy=policy, granularity="file")
    assert kept_files(whole, root) == {"/usr/bin/a", *packages["b"][:2], "/usr/bin/c"}
