"""What no package owns is grouped so that a person can decide, and the policy hands it over."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

import archives
from decisions import Manager, decided, kept_files, make_tree, runs_of
from paredown_minimizer.decide import Decision, decide
from paredown_minimizer.explain import explain
from paredown_minimizer.image.source import open_image
from paredown_minimizer.policy import Policy
from paredown_schemas.errors import ParedownError
from paredown_schemas.plan import UnownedGroup

HISTORY: list[dict[str, Any]] = [
    {"created_by": "/bin/sh -c #(nop) ADD file:0 in /"},
    {"created_by": "CMD sh", "empty_layer": True},
    {"created_by": "RUN |2 TOKEN=very secret OTHER=x /bin/sh -c make \x00  install # buildkit"},
    {"created_by": "x" * 3000},
]
LAYERS = (
    archives.layer("etc/", ("etc/passwd", "xx"), ("usr/bin/app", "x"), ("opt/one/a", "x" * 100)),
    archives.layer(
        ("opt/one/deep/er/b", "x" * 10),
        ("opt/two/c", "x" * 30),
        ("opt/two/d/e", "x" * 5),
        ("etc/conf", "x"),
        ("usr/local/bin/tool", "x"),
    ),
    archives.layer(("opt/one/a", "x" * 200), ("srv/data/f", "x" * 7), ("etc/more/g", "x")),
)


def _decided(tmp_path: Path, policy: Policy = Policy()) -> Decision:  # noqa: B008
    path = archives.archive(tmp_path / "image.tar", LAYERS, config={"history": HISTORY})
    image = open_image(f"docker-archive:{path}")
    try:
        manager = Manager({"app": ["/etc", "/usr/bin/app"]})
        runs = runs_of(tmp_path / "x", ["/usr/bin/app", "/opt/two/c"])
        return decide(image, manager, runs, policy, "package")
    finally:
        image.close()


def _group(directory: str, layer: int | None, files: int, size: int, **more: Any) -> UnownedGroup:
    group = UnownedGroup(directory, True, layer, files, size, 0, files, size)
    return dataclasses.replace(group, **more)


def test_a_group_is_the_topmost_directory_of_one_layer(tmp_path: Path) -> None:
    plan = _decided(tmp_path).plan
    assert plan.unowned == (
        _group("/etc", 0, 1, 2, whole=False),
        _group("/etc", 1, 1, 1, whole=False),
        _group("/etc/more", 2, 1, 1),
        _group("/opt/one", 2, 1, 200, whole=False),
        _group("/opt/one/deep", 1, 1, 10),
        _group("/opt/two", 1, 2, 35, traced=1),
        _group("/srv/data", 2, 1, 7),
        _group("/usr/local/bin", 1, 1, 1),
    )


def test_a_package_is_of_the_layer_that_brought_most_of_it(tmp_path: Path) -> None:
    (app,) = _decided(tmp_path).plan.packages
    assert app.layer == 0


def test_history_is_short_and_without_what_builds_were_told(tmp_path: Path) -> None:
    first, second, third = (layer.created_by or "" for layer in _decided(tmp_path).plan.layers)
    assert first == "/bin/sh -c #(nop) ADD file:0 in /"
    assert second == "RUN /bin/sh -c make ? install # buildkit"
    assert len(third) == 200


FILES: dict[str, str | None] = {
    "/usr/bin/app": "x",
    "/opt/tools/used": "x",
    "/opt/tools/unused": "x",
    "/opt/tools/lib/more": "x",
    "/opt/tools/empty": None,
    "/opt/other/stays": "x",
}
HANDED = "version: 1\nunowned: [{path: /opt/tools, reason: an installer's}]"


@pytest.mark.parametrize("granularity", ["package", "file"])
def test_of_what_is_handed_over_only_evidence_stays(tmp_path: Path, granularity: str) -> None:
    root = tmp_path / "tree"
    make_tree(root, FILES)
    used = ["/usr/bin/app", "/opt/tools/used"]
    packages = {"app": ["/usr/bin/app"]}
    assert kept_files(decided(root, used, packages, granularity=granularity), root) == {
        path for path, text in FILES.items() if text
    }
    decision = decided(root, used, packages, policy=HANDED, granularity=granularity)
    assert kept_files(decision, root) == {*used, "/opt/other/stays"}
    assert not {"/opt/tools/lib", "/opt/tools/empty"} & decision.kept
    assert decision.plan.unowned == (
        _group("/opt/other", None, 1, 1),
        _group(
            "/opt/tools", None, 3, 3, traced=1, kept_files=1, kept_bytes=1, handed="an installer's"
        ),
    )
    assert decision.plan.paths == ()  # the group tells
    assert explain(decision.plan, "/opt/tools/lib/more") == [
        "/opt/tools/lib/more goes: nothing that was used leads to it",
        "  handed over by the policy: an installer's",
    ]


def test_a_place_without_unowned_files_is_refused(tmp_path: Path) -> None:
    root = tmp_path / "tree"
    make_tree(root, FILES)
    policy = "version: 1\nunowned: [{path: /usr/bin, reason: r}]"
    with pytest.raises(ParedownError, match="cannot hand over unowned files in /usr/bin"):
        decided(root, ["/usr/bin/app"], {"app": ["/usr/bin/app"]}, policy=policy)
