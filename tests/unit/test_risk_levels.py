"""Each reason why what goes may be missed, its level, and what it speaks of."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from decisions import decided, make_tree
from elf_files import can_compile, compile_library, compile_program
from fixture_types import Require
from paredown_minimizer.risks.levels import Levels, level_of
from paredown_schemas.plan import Plan, Risk
from paredown_schemas.trace import Lookup
from plans import example_plan
from traces import use

LIBRARY = "/usr/lib/x86_64-linux-gnu"


@pytest.fixture
def compiler(require: Require) -> None:
    require(can_compile(), "clang is missing")


def plan_of(
    root: Path, used: Iterable[Any], packages: Mapping[str, Iterable[str]], **more: Any
) -> Plan:
    """Return the plan, at granularity file unless told otherwise, read back from its text."""
    return decided(root, used, packages, **{"granularity": "file", **more}).plan


def said(plan: Plan, *reasons: str) -> set[tuple[str, str | None, str]]:
    return {(r.level, r.path or r.package, r.named_by) for r in plan.risks if r.reason in reasons}


@pytest.mark.parametrize(
    ("path", "text", "level"),
    [
        ("/app/run.py", "open('/etc/other.conf')", "high"),
        ("/app/run", '#!/bin/none\n. "/etc/other.conf"\n', "high"),
        ("/app/run.sh", "cat /etc/other.conf\n", "medium"),
        ("/app/run.py", "x = 'see /etc/other.conf'", "medium"),
        ("/app/run.conf", "include '/etc/other.conf'\n", "medium"),
        ("/app/run.conf", "# see '/etc/other.conf'\n", "low"),
        ("/app/run.ini", "a = 1\n  ; '/etc/other.conf'\n", "low"),
        ("/etc/passwd", "x:x:0:0:x:/:/etc/other.conf\n", "low"),
    ],
)
def test_how_a_file_is_named_says_how_likely_it_is_opened(
    tmp_path: Path, path: str, text: str, level: str
) -> None:
    make_tree(tmp_path, {path: text, "/etc/other.conf": "x"})
    plan = plan_of(tmp_path, [path], {"other": ["/etc/other.conf"]})
    assert said(plan, "named") == {(level, "/etc/other.conf", path)}
    assert [(p.action, p.risk) for p in plan.packages] == [("remove", level)]


@pytest.mark.usefixtures("compiler")
def test_libraries_below_a_directory_that_is_named_by_what_can_load_them_are_high(
    tmp_path: Path,
) -> None:
    plugins = f"{LIBRARY}/app/plugins"
    source = f'const char *where(void){{return "{plugins}";}}'
    for name, imports in (("loads", ["dlopen"]), ("reads", ["fopen"])):
        root = tmp_path / name
        library = root / LIBRARY[1:] / "libapp.so.1"
        compile_library(library, soname="libapp.so.1", imports=imports, source=source)
        make_tree(root, {f"{plugins}/{file}": "x" for file in ("a.so", "b.so", "c.txt", "d.txt")})
        own = [f"{plugins}/{file}" for file in ("a.so", "b.so", "c.txt", "d.txt")]
        plan = plan_of(root, [f"{LIBRARY}/libapp.so.1"], {"plugins": own})
        levels = {path[-5:]: level_of(plan, path) for path in own}
        so = "high" if name == "loads" else "medium"
        assert levels == {"/a.so": so, "/b.so": so, "c.txt": "medium", "d.txt": "medium"}


@pytest.mark.usefixtures("compiler")
def test_a_soname_that_can_be_loaded_names_the_library_and_what_it_needs(tmp_path: Path) -> None:
    below = compile_library(tmp_path / LIBRARY[1:] / "libbelow.so.2", soname="libbelow.so.2")
    compile_library(tmp_path / LIBRARY[1:] / "libextra.so.1", soname="libextra.so.1", needs=[below])
    compile_library(
        tmp_path / LIBRARY[1:] / "libapp.so.1",
        imports=["dlopen"],
        source='const char *what(void){return "libextra.so.1";}',
    )
    packages = {name: [f"{LIBRARY}/lib{name}"] for name in ("extra.so.1", "below.so.2")}
    plan = plan_of(tmp_path, [f"{LIBRARY}/libapp.so.1"], packages)
    extra = f"{LIBRARY}/libextra.so.1"
    assert said(plan, "named") == {("high", extra, f"{LIBRARY}/libapp.so.1")}
    assert said(plan, "needed") == {("high", f"{LIBRARY}/libbelow.so.2", extra)}


def test_what_lies_beside_what_a_run_opened_may_be_opened_next(tmp_path: Path) -> None:
    zones = [f"/usr/share/zones/{name}" for name in ("Asia/Tokyo", "Asia/Seoul", "CET", "UTC", "W")]
    others = ["/usr/share/zones-of-others", "/usr/share/doc/zones/changelog"]
    make_tree(tmp_path, dict.fromkeys([*zones, *others, "/usr/share/zones/other"], "x"))
    packages = {"zones": [*zones, *others], "other": ["/usr/share/zones/other"]}
    # Wherever it was: the tree is the package's own.
    plan = plan_of(tmp_path, [use("/usr/share/zones/Asia/Tokyo", exe="/app")], packages)
    assert said(plan, "pattern") == {("medium", "/usr/share/zones", "/app")}
    found = {path: level_of(plan, path) for path in (*zones[1:], *others, "/usr/share/zones/other")}
    assert found == {
        **dict.fromkeys(zones[1:], "medium"),
        **dict.fromkeys([*others, "/usr/share/zones/other"], "low"),
    }


@pytest.mark.usefixtures("compiler")
def test_neighbours_of_a_library_that_no_file_needs_can_be_loaded_as_it_was(tmp_path: Path) -> None:
    place = tmp_path / LIBRARY[1:]
    linked = compile_library(place / "liblinked.so.1", soname="liblinked.so.1")
    compile_program(tmp_path / "usr/bin/app", needs=[linked])
    compile_library(place / "modules/a.so")
    compile_library(place / "modules/b.so")
    compile_library(place / "libbeside.so.1")
    own = {
        "linked": [f"{LIBRARY}/liblinked.so.1", f"{LIBRARY}/libbeside.so.1"],
        "modules": [f"{LIBRARY}/modules/a.so", f"{LIBRARY}/modules/b.so"],
    }
    used = [own["linked"][0], own["modules"][0]]
    traced = [use("/usr/bin/app", how="exec"), *(use(p, how="library", exe="/app") for p in used)]
    plan = plan_of(tmp_path, traced, own)
    assert said(plan, "pattern") == {("high", f"{LIBRARY}/modules/b.so", "/app")}


def test_commands_beside_one_that_a_run_started_may_be_started_next(tmp_path: Path) -> None:
    own = ["/usr/bin/app", "/usr/bin/app-tool", "/usr/sbin/app-admin", "/usr/lib/app/data"]
    make_tree(tmp_path, dict.fromkeys(own, "#!x"))
    plan = plan_of(tmp_path, [use("/usr/bin/app", how="exec", exe="/usr/bin/app")], {"app": own})
    assert said(plan, "pattern") == {("medium", "/usr/bin/app-tool", "/usr/bin/app")}


@pytest.mark.parametrize(
    ("source", "text", "module"),
    [
        ("/app/run.py", "def view():\n    import mod\n", "/usr/lib/python3/dist-packages/mod/x.py"),
        ("/app/run.py", "from mod.x import y\n", "/usr/local/lib/python3.9/site-packages/mod.py"),
        ("/app/run.js", "x = () => require('mod/y')\n", "/app/node_modules/mod/index.js"),
        ("/app/run.mjs", 'import y from "@a/mod"\n', "/usr/share/nodejs/@a/mod/index.js"),
        ("/app/run.rb", "def x; require 'mod/y'; end\n", "/usr/lib/ruby/vendor_ruby/mod/y.rb"),
        ("/app/run.pl", "eval { require Mod::Y }\n", "/usr/share/perl/5.36/Mod/Y.pm"),
    ],
)
def test_a_module_that_a_used_source_imports_is_high_and_what_its_package_depends_on_medium(
    tmp_path: Path, source: str, text: str, module: str
) -> None:
    make_tree(tmp_path, {source: text, module: "x", "/srv/dep": "x", "/srv/modern/x.py": "x"})
    packages = {"mod": [module], "dep": ["/srv/dep"], "other": ["/srv/modern/x.py"]}
    relations = {"depends": {"mod:all": (frozenset({"dep:all"}),)}}
    plan = plan_of(tmp_path, [source], packages, inventory=relations)
    assert {risk for risk in plan.risks if risk.reason != "interpreter"} == {
        Risk("mod:all", module, source, "high", "named"),
        Risk("dep:all", None, "mod:all", "medium", "depends"),
    }


def test_dependencies_are_medium_of_what_was_used_and_recommendations_low(tmp_path: Path) -> None:
    names = ("app", "dep", "either", "or", "stays", "idea", "deeper")
    make_tree(tmp_path, {f"/usr/lib/{name}": "x" for name in names})
    packages = {name: [f"/usr/lib/{name}"] for name in names}
    relations = {
        "depends": {
            "app:all": (
                frozenset({"dep:all"}),
                frozenset({"either:all", "or:all"}),
                frozenset({"idea:all", "stays:all"}),
            ),
            "dep:all": (frozenset({"deeper:all"}),),
        },
        "recommends": {"app:all": (frozenset({"idea:all"}),)},
    }
    plan = plan_of(tmp_path, ["/usr/lib/app", "/usr/lib/stays"], packages, inventory=relations)
    assert said(plan, "depends") == {
        ("medium", key, "app:all") for key in ("dep:all", "either:all", "or:all")
    }
    assert said(plan, "recommends") == {("low", "idea:all", "app:all")}
    assert {p.name: p.risk for p in plan.packages} == {
        **dict.fromkeys(("app", "stays")),
        **dict.fromkeys(("dep", "either", "or"), "medium"),
        **dict.fromkeys(("idea", "deeper"), "low"),
    }


def test_documentation_is_no_risk_beside_what_was_read(tmp_path: Path) -> None:
    own = [f"/usr/share/doc/app/{name}" for name in ("a", "b")]
    make_tree(tmp_path, dict.fromkeys(own, "x"))
    assert not plan_of(tmp_path, own[:1], {"app": own}).risks


def test_settings_of_what_was_used_are_medium(tmp_path: Path) -> None:
    own = ["/usr/bin/app", "/etc/app/a.conf", "/srv/b.conf", "/srv/c", "/etc/doc"]
    make_tree(tmp_path, dict.fromkeys([*own, "/etc/unused.conf"], "x"))
    plan = plan_of(
        tmp_path,
        ["/usr/bin/app"],
        {"app": own, "unused": ["/etc/unused.conf"]},
        inventory={"conffiles": {"app:all": frozenset({"/srv/b.conf"})}},
    )
    paths = ("/etc/app/a.conf", "/srv/b.conf", "/etc/doc")
    assert said(plan, "configures") == {("medium", path, "app:all") for path in paths}


def test_interpreter_of_a_script_that_stays(tmp_path: Path) -> None:
    make_tree(
        tmp_path,
        {
            "/usr/bin/perl": "#!x",
            "/usr/bin/tcl": "#!x",
            "/usr/bin/tool": "#!/usr/bin/perl -w\n",
            "/usr/bin/app": "#!/app",
            "/usr/share/app/example": "#!/usr/bin/tcl\n",
            "/srv/job": "#!/usr/bin/tcl\n",
        },
    )
    app = ["/usr/bin/tool", "/usr/bin/app", "/usr/share/app/example"]
    packages = {"app": app, "perl": ["/usr/bin/perl"], "tcl": ["/usr/bin/tcl"]}
    for how, level in (("exec", "medium"), ("read", "low")):
        used = [use("/usr/bin/app", how=how)]
        plan = plan_of(tmp_path, used, packages, granularity="package")
        assert said(plan, "interpreter") == {
            (level, "/usr/bin/perl", "/usr/bin/tool"),
            ("low", "/usr/bin/tcl", "/usr/share/app/example"),
            ("medium", "/usr/bin/tcl", "/srv/job"),
        }


def test_a_shell_that_stays_may_start_the_utilities_of_posix(tmp_path: Path) -> None:
    make_tree(tmp_path, dict.fromkeys(["/bin/sh", "/bin/cat", "/bin/rpm", "/app/x"], "#!x"))
    packages = {"sh": ["/bin/sh"], "utilities": ["/bin/cat", "/bin/rpm"]}
    plan = plan_of(tmp_path, [use("/bin/sh", how="exec")], packages)
    assert said(plan, "utility") == {("medium", "/bin/cat", "/bin/sh")}
    assert not plan_of(tmp_path, ["/app/x"], packages).risks
    make_tree(tmp_path, {"/app/x.py": "run('/bin/sh')"})
    assert said(plan_of(tmp_path, ["/app/x.py"], packages), "named", "utility") == {
        ("high", "/bin/sh", "/app/x.py"),
        ("medium", "/bin/cat", "/bin/sh"),
    }


def test_what_a_run_found_without_opening_it_is_high(tmp_path: Path) -> None:
    files = {"/usr/share/x/ask": "x", "/usr/share/x/link": "-> ask", "/usr/share/x/other": "x"}
    make_tree(tmp_path, {**files, "/usr/share/y": "-> x", "/app/run": "x"})
    asked = [
        Lookup("/usr/share/y/../x/link", "access", None, 1, "/app/run", 1, truncated=False),
        Lookup("/usr/share/x/other", "stat", "EACCES", 1, "/app/run", 1, truncated=False),
        Lookup("x/other", "stat", None, 1, "/app/run", 1, truncated=True),
        Lookup("/usr/share/x/none", "stat", "ENOENT", 1, "/app/run", 1, truncated=False),
        Lookup("/app/run", "stat", None, 1, None, 1, truncated=False),
    ]
    plan = plan_of(tmp_path, ["/app/run"], {"x": files, "app": ["/app/run"]}, records=asked)
    high = {("high", f"/usr/share/x/{name}", "/app/run") for name in ("ask", "link")}
    assert said(plan, "looked-up") == high


def test_directories_of_everybody_name_nothing(tmp_path: Path) -> None:
    text = "PATH='/usr/bin' LIB='/usr/lib/x86_64-linux-gnu' ETC=\"/etc\" DATA='/usr/share'"
    make_tree(tmp_path, {"/app/run.py": text})
    files = [f"/{place}/x" for place in ("usr/bin", LIBRARY[1:], "etc", "usr/share")]
    make_tree(tmp_path, dict.fromkeys(files, "x"))
    packages = {"filesystem": [*files, "/usr/bin", LIBRARY, "/etc", "/usr/share"], "y": ["/etc/y"]}
    make_tree(tmp_path, {"/etc/y": "x", f"{LIBRARY}/y": "x", "/usr/bin/y": "x", "/usr/share/y": ""})
    assert not plan_of(tmp_path, ["/app/run.py"], packages).risks


def test_records_fold_where_all_that_goes_of_a_package_is_spoken_of(tmp_path: Path) -> None:
    data = [f"/usr/share/app/{place}/{name}" for place in "abc" for name in range(40)]
    make_tree(tmp_path, dict.fromkeys([*data, "/usr/share/app/main"], "x"))
    plan = plan_of(
        tmp_path, [use("/usr/share/app/main", exe="/x")], {"app": [*data, "/usr/share/app/main"]}
    )
    assert plan.risks == (Risk("app:all", "/usr/share/app", "/x", "medium", "pattern"),)
    half = [path for path in data if path.endswith("0")]
    make_tree(tmp_path, {path.replace("/app/", "/else/"): "x" for path in data})
    make_tree(tmp_path, {"/app/run.py": " ".join(f"'{p.replace('app', 'else')}'" for p in half)})
    owned = [path.replace("/app/", "/else/") for path in data]
    plan = plan_of(tmp_path, ["/app/run.py"], {"else": owned})
    assert sorted(level_of(plan, path) for path in owned) == ["high"] * 12 + ["low"] * 108


def test_risks_come_by_level_and_the_highest_counts() -> None:
    risks = (
        Risk("bash:amd64", "/usr/bin/bash", "/x", "medium", "command"),
        Risk("bash:amd64", "/usr/bin", "/x", "high", "pattern"),
        Risk("bash:amd64", None, "/y", "low", "depends"),
        Risk("odd\x1b[31m:amd64", "/usr", "/x", "high", "pattern"),
    )
    plan = example_plan(risks=risks)
    assert level_of(plan, "/usr/bin/rbash") == "high"
    assert level_of(plan, "/srv/old") == "low"
    levels = Levels(dataclasses.replace(plan, risks=risks[:1] + risks[2:]).risks)
    assert levels.of_path("/usr/bin/bash", "bash:amd64") == "medium"
    assert levels.of_path("/usr/bin/rbash", "bash:amd64") == "low"
    assert levels.of_package("bash:amd64") == "medium"
    assert levels.of_package("none") == "low"
