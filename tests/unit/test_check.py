"""``paredown check`` finds what a trace used and a plan removes, from the plan alone."""

from __future__ import annotations

import importlib.resources
import json
from pathlib import Path

import jsonschema
import pytest

from fixture_types import MakeTrace
from paredown_minimizer.cli import main
from paredown_schemas.plan import dump_plan
from plans import IDENTITY, example_plan
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
