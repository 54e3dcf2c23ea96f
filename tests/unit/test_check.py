"""``paredown check`` finds what a trace used and a plan removes, from the plan alone."""

from __future__ import annotations

import dataclasses
import importlib.resources
import json
from pathlib import Path

import jsonschema
import pytest

from fixture_types import MakeTrace
from paredown_minimizer.cli import main
from paredown_minimizer.policyfile import parse_policy
from paredown_schemas.plan import ListedPaths, dump_plan
from paredown_schemas.trace import Session
from plans import IDENTITY, example_plan, package
from traces import use


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    path = tmp_path / "plan.json"
    path.write_text(dump_plan(example_plan()))
    return path


def test_nothing_used_goes(
    plan: Path, make_trace: MakeTrace, capsys: pytest.CaptureFixture[str]
) -> None:
    trace = make_trace(["/usr/sbin/nginx", "/never/was", "/usr/bin", "/bash"], identity=IDENTITY)
    assert main(["check", str(plan), "--trace", str(trace)]) == 0
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "The plan removes nothing that these traces used.\n"


def test_what_is_used_and_goes_is_told(
    plan: Path, make_trace: MakeTrace, capsys: pytest.CaptureFixture[str]
) -> None:
    one = make_trace(
        ["/usr/sbin/nginx", use("/usr/bin/bash", how="exec", exe="/usr/sbin/nginx"), "/odd\nname"],
        name="one",
        run="1",
        scenario="load",
        identity=IDENTITY,
    )
    two = make_trace(["/usr/bin/bash", "/srv/old"], name="two", run="2", identity=IDENTITY)
    assert main(["check", str(plan), "--trace", str(one), "--trace", str(two)]) == 3
    captured = capsys.readouterr()
    assert [line.split() for line in captured.out.splitlines()] == [
        ["PACKAGE", "PATH", "HOW", "BY", "SCENARIO"],
        ["-", "/srv/old", "read", "/usr/bin/app", "2"],
        [
            "bash:amd64",
            "/usr/bin/bash",
            "exec,read",
            "/usr/bin/app,",
            "/usr/sbin/nginx",
            "2,",
            "load",
        ],
        ["odd\\x1b[31m:amd64", "/odd\\x0aname", "read", "/usr/bin/app", "load"],
    ]
    assert "removes 3 paths of 2 packages that these traces used" in captured.err


def test_what_a_run_makes_uses_its_directory(
    plan: Path, make_trace: MakeTrace, capsys: pytest.CaptureFixture[str]
) -> None:
    trace = make_trace([use("/srv/old/new/made", how="write"), "/srv/older"], identity=IDENTITY)
    assert main(["check", str(plan), "--trace", str(trace)]) == 3
    assert "\n-        /srv/old  write" in capsys.readouterr().out


def test_json_is_what_the_schema_says(
    plan: Path, make_trace: MakeTrace, capsys: pytest.CaptureFixture[str]
) -> None:
    trace = make_trace(["/usr/bin/bash", "/srv/old", "/odd\nname"], identity=IDENTITY)
    assert main(["check", str(plan), "--trace", str(trace), "--format", "json"]) == 3
    document = json.loads(capsys.readouterr().out)
    schema = importlib.resources.files("paredown_schemas") / "check-1.schema.json"
    validator = jsonschema.Draft7Validator(json.loads(schema.read_text()))
    validator.validate(document)
    assert document["plan"] == example_plan().id
    assert [miss["package"] for miss in document["misses"]] == [
        None,
        "bash:amd64",
        "odd\\x1b[31m:amd64",
    ]
    assert not validator.is_valid({**document, "extra": 1})


def test_a_truncated_path_means_whatever_ends_so(
    plan: Path, make_trace: MakeTrace, capsys: pytest.CaptureFixture[str]
) -> None:
    for path, code in (("bin/bash", 3), ("/bin/bash", 3), ("ash", 0), ("x/bin/bash", 0)):
        trace = make_trace([use(path, truncated=True)], identity=IDENTITY)
        assert main(["check", str(plan), "--trace", str(trace), "--accept-partial"]) == code, path
    capsys.readouterr()


def test_a_partial_trace_proves_nothing_unless_accepted(
    plan: Path, make_trace: MakeTrace, capsys: pytest.CaptureFixture[str]
) -> None:
    trace = make_trace(["/usr/bin/bash"], identity=IDENTITY, trailer=False)
    assert main(["check", str(plan), "--trace", str(trace)]) == 4
    error = capsys.readouterr().err
    assert "it is partial: the recorder ended without a trailer" in error
    assert "--accept-partial" in error
    assert main(["check", str(plan), "--trace", str(trace), "--accept-partial"]) == 3


@pytest.mark.parametrize(
    "header", [{"identity": "dir-sha256:" + "b" * 64}, {"platform": "linux/s390x"}]
)
def test_a_trace_of_another_image_is_refused(
    plan: Path,
    make_trace: MakeTrace,
    capsys: pytest.CaptureFixture[str],
    header: dict[str, str],
) -> None:
    trace = make_trace(["/usr/bin/bash"], **header)
    assert main(["check", str(plan), "--trace", str(trace)]) == 4
    assert "error: cannot check run 0123456789abcdef: it is of " in capsys.readouterr().err


def test_a_trace_from_inside_a_container_is_taken(plan: Path, make_trace: MakeTrace) -> None:
    assert main(["check", str(plan), "--trace", str(make_trace(["/usr/bin/bash"]))]) == 3


def _misses(plan: Path, trace: Path, *options: str) -> int:
    return main(["check", str(plan), "--trace", str(trace), *options])


def test_pins_are_added_for_what_was_missed(
    tmp_path: Path, make_trace: MakeTrace, capsys: pytest.CaptureFixture[str]
) -> None:
    """The plan goes by file, but for bash; bash64 has a name that two packages have."""
    packages = (
        dataclasses.replace(package("bash", "remove", 0, 2, 9), granularity="package"),
        dataclasses.replace(package("two", "remove", 0, 1, 9), granularity="package"),
        dataclasses.replace(
            package("two", "remove", 0, 1, 9), architecture="i386", granularity="package"
        ),
        package("tzdata", "trim", 1, 2, 9),
    )
    gone = (
        ListedPaths(None, "/srv", ("odd[1]\n",)),
        ListedPaths("bash:amd64", "/usr/bin", ("bash", "rbash")),
        ListedPaths("two:i386", "/usr/bin", ("two",)),
        ListedPaths("tzdata:amd64", "/usr/share/zoneinfo", ("CET",)),
    )
    plan, policy = tmp_path / "plan.json", tmp_path / "policy.yaml"
    plan.write_text(dump_plan(example_plan(packages=packages, removed=gone, left_out=())))
    policy.write_text("version: 1  # ours\n")
    used = [use(f"/usr/bin/{name}", how="exec", exe="/usr/sbin/cron") for name in ("bash", "rbash")]
    used += [use("/srv/odd[1]\n", exe=None), use("/usr/bin/two"), use("/usr/share/zoneinfo/CET")]
    trace = make_trace(used, identity=IDENTITY, scenario="nightly")
    assert _misses(plan, trace, "--add-pins", str(policy)) == 3
    assert "Added 4 pins to" in capsys.readouterr().err
    added = policy.read_text()
    assert added.startswith("version: 1  # ours\npins:\n")
    assert [(pin.target, pin.reason) for pin in parse_policy(added).pins] == [
        ("/srv/odd[[]1]\n", "used in nightly by an unknown program: /srv/odd[1]\\x0a"),
        ("package:bash", "used in nightly by /usr/sbin/cron: /usr/bin/bash and 1 other"),
        ("package:two:i386", "used in nightly by /usr/bin/app: /usr/bin/two"),
        ("/usr/share/zoneinfo/CET", "used in nightly by /usr/bin/app: /usr/share/zoneinfo/CET"),
    ]
    assert _misses(plan, trace, "--add-pins", str(policy)) == 3
    assert "Added 0 pins to" in capsys.readouterr().err
    assert policy.read_text() == added


def test_what_the_plan_left_out_is_left_out(
    plan: Path, make_trace: MakeTrace, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the example that is find in sessions from outside, in the scenario load."""
    outside = [Session(2, "injected", 200, 0)]
    found = use("/usr/bin/bash", exe="/usr/bin/find", session=2)
    for record, scenario, code in (
        (found, "load", 0),
        (found, "other", 3),
        (dataclasses.replace(found, session=1), "load", 3),
        (dataclasses.replace(found, exe=None), "load", 3),
        (dataclasses.replace(found, path="/bin/find", how="exec", exe="/bin/sh"), "load", 0),
    ):
        trace = make_trace([record], identity=IDENTITY, scenario=scenario, records=outside)
        assert _misses(plan, trace) == code, record
    capsys.readouterr()
    trace = make_trace(
        [found], identity=IDENTITY, scenario="load", records=outside, recorder="unheard of"
    )
    assert _misses(plan, trace) == 3
