"""How far each kind of evidence reaches, on small trees with real ELF files."""

from __future__ import annotations

from pathlib import Path

import pytest

from decisions import decided, kept_files, make_tree
from elf_files import can_compile, compile_library, compile_program
from fixture_types import Require
from traces import use


@pytest.fixture
def root(tmp_path: Path) -> Path:
    tree = tmp_path / "tree"
    tree.mkdir()
    return tree


@pytest.fixture
def elf_root(root: Path, require: Require) -> Path:
    require(can_compile(), "clang is not installed")
    return root


def _chain(root: Path) -> dict[str, list[str]]:
    """/usr/bin/app needs liba, liba needs libb; each is its own package, with a spare file."""
    b = compile_library(root / "usr/lib/libb.so.1.2", soname="libb.so.1")
    a = compile_library(root / "usr/lib/liba.so.1", soname="liba.so.1", needs=[b])
    compile_program(root / "usr/bin/app", needs=[a])
    make_tree(root, {"/usr/lib/libb.so.1": "-> libb.so.1.2", "/usr/share/b.txt": "b"})
    make_tree(root, {"/usr/share/a.txt": "a", "/usr/share/other/c.txt": "c"})
    return {
        "app": ["/usr", "/usr/bin", "/usr/bin/app"],
        "a": ["/usr", "/usr/lib", "/usr/lib/liba.so.1", "/usr/share/a.txt"],
        "b": ["/usr", "/usr/lib", "/usr/lib/libb.so.1", "/usr/lib/libb.so.1.2", "/usr/share/b.txt"],
        "c": ["/usr", "/usr/share/other", "/usr/share/other/c.txt"],
    }


def test_used_program_holds_the_packages_of_its_libraries_whole(elf_root: Path) -> None:
    packages = _chain(elf_root)
    decision = decided(elf_root, [use("/usr/bin/app", how="exec")], packages)
    actions = {package.name: package.action for package in decision.plan.packages}
    assert actions == {"app": "keep", "a": "keep", "b": "keep", "c": "remove"}
    assert "/usr/share/b.txt" in decision.kept
    assert "/usr/share/other" not in decision.kept  # a directory goes when it is empty
    evidence = {record.path: record for record in decision.plan.evidence}
    assert evidence["/usr/lib/libb.so.1"].kind == "linked"
    assert evidence["/usr/lib/libb.so.1"].by == "/usr/lib/liba.so.1"
    assert evidence["/usr/lib/libb.so.1.2"].by == "/usr/lib/libb.so.1"


def test_by_file_only_evidence_stays(elf_root: Path) -> None:
    packages = _chain(elf_root)
    decision = decided(elf_root, ["/usr/bin/app"], packages, granularity="file")
    assert kept_files(decision, elf_root) == {
        "/usr/bin/app",
        "/usr/lib/liba.so.1",
        "/usr/lib/libb.so.1",
        "/usr/lib/libb.so.1.2",
    }
    assert {p.name: p.action for p in decision.plan.packages}["b"] == "trim"


def test_links_hold_both_ways_and_directories_hold_nothing(root: Path) -> None:
    make_tree(
        root,
        {
            "/usr/bin/python3.11": "binary",
            "/usr/bin/python3": "-> python3.11",
            "/bin": "-> usr/bin",
            "/usr/share/link-owner.txt": "x",
            "/usr/share/target.txt": "x",
            "/usr/share/used": "-> target.txt",
            "/usr/share/dirs/note": "x",
        },
    )
    packages = {
        "python3.11": ["/usr/bin", "/bin", "/usr/bin/python3.11"],
        "python3": ["/usr/bin", "/bin", "/usr/bin/python3", "/usr/share/link-owner.txt"],
        "target": ["/usr/share", "/usr/share/target.txt"],
        "user": ["/usr/share", "/usr/share/used"],
        "lister": ["/bin", "/usr/bin", "/usr/share/dirs", "/usr/share/dirs/note"],
    }
    traced = [use("/usr/bin/python3.11", how="exec"), use("/usr/share/dirs", how="directory")]
    decision = decided(root, traced, packages)
    actions = {package.name: package.action for package in decision.plan.packages}
    # The link's package stays, though no recorder sees links; listing /bin holds nobody.
    assert actions["python3"] == "keep"
    assert actions["lister"] == actions["target"] == "remove"
    assert "/bin" in decision.kept
    assert "/usr/share/dirs" in decision.kept  # a traced directory stays, itself alone
    assert "/usr/share/dirs/note" not in decision.kept
    decision = decided(root, ["/usr/share/used"], packages)
    assert "/usr/share/target.txt" in decision.kept


def test_interpreters_of_what_is_merely_owned_hold_nothing(root: Path) -> None:
    make_tree(
        root,
        {
            "/usr/bin/run": "#!/usr/bin/env python3\n",
            "/usr/bin/env": "x",
            "/usr/bin/python3": "#!x",
            "/usr/bin/tool": "#!/usr/bin/perl -w\n",
            "/usr/bin/perl": "x",
            "/usr/lib/module.py": "#! /usr/bin/perl\n",
        },
    )
    packages = {
        "app": ["/usr/bin/run", "/usr/bin/tool", "/usr/lib/module.py"],
        "coreutils": ["/usr/bin/env"],
        "python3": ["/usr/bin/python3"],
        "perl": ["/usr/bin/perl"],
    }
    (root / "usr/lib/module.py").chmod(0o755)
    traced = [use("/usr/bin/run", how="script"), use("/usr/lib/module.py", how="read")]
    decision = decided(root, traced, packages)
    assert {p.name: p.action for p in decision.plan.packages} == {
        "app": "keep",
        "coreutils": "keep",
        "python3": "keep",
        "perl": "remove",
    }
    by = {record.path: record for record in decision.plan.evidence}
    assert by["/usr/bin/python3"].kind == by["/usr/bin/env"].kind == "interpreter"


def test_what_is_owned_closes_over_linked_and_its_own_links(elf_root: Path) -> None:
    packages = _chain(elf_root)
    make_tree(elf_root, {"/usr/share/app.txt": "x", "/usr/share/app-link": "-> other/c.txt"})
    packages["app"] += ["/usr/share/app.txt", "/usr/share/app-link"]
    decision = decided(elf_root, ["/usr/share/app.txt"], packages)
    assert {p.action for p in decision.plan.packages} == {"keep"}
    by = {record.path: record for record in decision.plan.evidence}
    assert by["/usr/share/other/c.txt"].by == "/usr/share/app-link"
    assert (by["/usr/share/app-link"].kind, by["/usr/share/app-link"].by) == ("owned", "app:all")


def test_application_stays_with_what_it_links(elf_root: Path) -> None:
    b = compile_library(elf_root / "usr/lib/libb.so.1", soname="libb.so.1")
    compile_library(elf_root / "opt/app/plugin.so", needs=[b])
    make_tree(
        elf_root,
        {
            "/usr/bin/python3": "x",
            "/srv/venv/bin/python": "-> /usr/bin/python3",
            "/usr/share/gone.txt": "x",
            "/etc/gone.txt": "-> /usr/share/gone.txt",
            "/etc/dangling": "-> /nowhere",
            "/opt/app/empty": None,
        },
    )
    packages = {
        "b": ["/usr/lib/libb.so.1"],
        "python3": ["/usr/bin/python3"],
        "gone": ["/usr/share", "/usr/share/gone.txt"],
    }
    for granularity in ("package", "file"):
        decision = decided(elf_root, [], packages, granularity=granularity)
        assert kept_files(decision, elf_root) == {
            "/usr/lib/libb.so.1",
            "/opt/app/plugin.so",
            "/usr/bin/python3",
            "/srv/venv/bin/python",
            "/etc/dangling",
        }
        assert "/opt/app/empty" in decision.kept
    going = {record.path: record.reason for record in decision.plan.paths}
    assert going == {"/etc/gone.txt": "its target goes"}


def test_bytecode_and_source_hold_each_other(root: Path) -> None:
    make_tree(
        root,
        {
            "/usr/lib/p/a.py": "x",
            "/usr/lib/p/__pycache__/a.cpython-311.pyc": "x",
            "/usr/lib/p/b.py": "x",
            "/usr/lib/p/__pycache__/b.cpython-311.pyc": "x",
            "/usr/lib/q/c.py": "x",
            "/usr/lib/q/__pycache__/c.cpython-311.pyc": "x",
        },
    )
    cached = "/usr/lib/{}/__pycache__/{}.cpython-311.pyc"
    derived = {
        cached.format("p", "a"): ["/usr/lib/p/a.py"],
        cached.format("p", "b"): ["/usr/lib/p/b.py"],
        cached.format("q", "c"): ["/usr/lib/q/c.py"],
    }
    packages = {
        "p": ["/usr/lib/p", "/usr/lib/p/a.py", "/usr/lib/p/b.py"],
        "q": ["/usr/lib/q", "/usr/lib/q/c.py"],
    }
    traced = [cached.format("p", "a")]
    decision = decided(root, traced, packages, derived=derived)
    assert kept_files(decision, root) == {
        "/usr/lib/p/a.py",
        "/usr/lib/p/b.py",
        cached.format("p", "a"),
        cached.format("p", "b"),
    }
    assert "/usr/lib/q" not in decision.kept
    decision = decided(root, traced, packages, derived=derived, granularity="file")
    assert kept_files(decision, root) == {"/usr/lib/p/a.py", cached.format("p", "a")}


def test_traced_derived_file_holds_the_package_that_made_it(root: Path) -> None:
    make_tree(root, {"/etc/bundle.crt": "x", "/usr/share/roots/one.crt": "x", "/usr/bin/x": "x"})
    packages = {"roots": ["/usr/share/roots/one.crt"], "x": ["/usr/bin/x"]}
    derived = {"/etc/bundle.crt": ["roots:all"]}
    decision = decided(root, ["/etc/bundle.crt"], packages, derived=derived)
    assert kept_files(decision, root) == {"/etc/bundle.crt", "/usr/share/roots/one.crt"}
    decision = decided(root, ["/usr/bin/x"], packages, derived=derived)
    assert kept_files(decision, root) == {"/usr/bin/x"}


def test_truncated_path_keeps_whatever_it_could_mean(root: Path) -> None:
    make_tree(root, {"/a/deep/x.txt": "", "/b/deep/x.txt": "", "/c/notdeep/x.txt": ""})
    packages = {
        name: [f"/{name}/{d}/x.txt"]
        for name, d in zip("abc", ("deep", "deep", "notdeep"), strict=True)
    }
    traced = [use("deep/x.txt", truncated=True)]
    decision = decided(root, traced, packages)
    assert kept_files(decision, root) == {"/a/deep/x.txt", "/b/deep/x.txt"}


def test_roots_of_the_configuration_stay_untraced(root: Path) -> None:
    scripts = ("/usr/bin/app", "/usr/local/bin/entry", "/usr/bin/probe", "/bin/sh", "/usr/bin/main")
    make_tree(root, dict.fromkeys((*scripts, "/usr/bin/unused"), "#!\n"))
    config = {
        "Entrypoint": ["entry"],
        "Cmd": ["app", "--serve"],
        "Healthcheck": {"Test": ["CMD-SHELL", "probe --now || exit 1"]},
        "Env": ["PATH=/usr/local/bin:/usr/bin"],
    }
    packages = {path.rpartition("/")[2]: [path] for path in (*scripts, "/usr/bin/unused")}
    decision = decided(root, [], packages, config=config)
    assert kept_files(decision, root) == {*scripts[:4]}
    roots = {r.path: r.detail for r in decision.plan.evidence if r.kind == "root"}
    assert roots["/usr/local/bin/entry"] == "entrypoint"
    assert roots["/bin/sh"] == roots["/usr/bin/probe"] == "healthcheck"


def test_content_of_volumes_stays(root: Path) -> None:
    """It lies outside the overlay while the container runs: no recorder of the image sees it."""
    names = ("/var/lib/db/seed", "/var/lib/db/deep/[x]", "/var/lib/other", "/var/run-data/pid")
    make_tree(root, {**dict.fromkeys(names, "x"), "/data": "-> var/lib/db", "/var/lib/db/e": None})
    packages = {name.rpartition("/")[2]: [name] for name in names}
    volumes = ("/data", "/nowhere", "/../var/run-data/", "/", "x")
    decision = decided(root, [], packages, config={"Volumes": {key: {} for key in volumes}})
    assert kept_files(decision, root) == {"/data", *names[:2], names[3]}
    assert "/var/lib/db/e" in decision.kept
    roots = {r.path: (r.kind, r.detail) for r in decision.plan.evidence if r.kind == "root"}
    assert roots["/var/lib/db/deep/[x]"] == ("root", "volume")


def test_symlink_loops_end(root: Path) -> None:
    make_tree(root, {"/a": "-> b", "/b": "-> a", "/c": "-> c/d", "/x": "x"})
    decision = decided(root, ["/a", "/c"], {"p": ["/a", "/b"], "q": ["/x"]})
    assert {"/a", "/b", "/c"} <= kept_files(decision, root)


def test_damaged_elf_is_a_warning(elf_root: Path) -> None:
    packages = _chain(elf_root)
    program = elf_root / "usr/bin/app"
    program.write_bytes(program.read_bytes()[:300])
    decision = decided(elf_root, ["/usr/bin/app"], packages)
    assert {p.name: p.action for p in decision.plan.packages}["a"] == "remove"
    assert any("/usr/bin/app" in warning for warning in decision.warnings)


def test_image_without_packages_stays_whole(root: Path) -> None:
    make_tree(root, {"/app/x": "x", "/lib/y": "y"})
    decision = decided(root, ["/app/x"])
    assert decision.plan.removed == ()
    assert decision.plan.before == decision.plan.after
