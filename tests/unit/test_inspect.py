"""``paredown inspect`` says what a trace holds."""

from __future__ import annotations

import importlib.resources
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from fixture_types import MakeTrace
from paredown_minimizer.cli import main
from paredown_schemas.trace import (
    FACETS,
    Capability,
    Coverage,
    Lookup,
    Loss,
    Mark,
    Port,
    Process,
    Session,
    Syscall,
)
from traces import use

HOSTILE = "/etc/\x1b[31m\nfake line\udcff"


def _schema() -> Any:
    schema = importlib.resources.files("paredown_schemas") / "inspect-1.schema.json"
    return json.loads(schema.read_text())


def _facts(text: str) -> dict[str, str]:
    pairs = (line.split(None, 1) for line in text.splitlines() if line.startswith("  "))
    return {pair[0]: pair[1] for pair in pairs if len(pair) == 2}


def test_table(make_trace: MakeTrace, capsys: pytest.CaptureFixture[str]) -> None:
    trace = make_trace(
        [
            *("/usr/bin/app", use("/usr/bin/app", how="exec", time=3_000_000_000)),
            use("/lib/x", how="library", session=2, time=2_500_000_000),
        ],
        scenario="load",
        command=("app", "--name", "a b"),
        identity="dir-sha256:" + "a" * 64,
        records=[
            Session(2, "injected", 200, 5),
            Process(1, 100, "/usr/bin/app", 0, 0, 1),
            Mark("warm", 2_000_000_000),
        ],
    )
    assert main(["inspect", str(trace)]) == 0
    text = capsys.readouterr().out
    assert text.splitlines()[0] == f"{trace}: complete, 1 run, 2 paths"
    facts = _facts(text)
    assert facts["scenario"] == "load"
    assert facts["command"] == "app --name 'a b'"
    assert facts["paths"] == "2 (1 read, 1 exec, 1 library)"
    assert facts["sessions"] == "container (pid 100), injected (pid 200)"
    assert "  (start)  0.0 s          1" in text.splitlines()
    assert "  warm     2.0 s          1" in text.splitlines()
    assert facts["lost"] == "nothing"
    rows = [line.split() for line in text.splitlines() if "/usr/bin/app " in line]
    assert rows[-2:] == [
        ["/usr/bin/app", "1", "0:0", "container"],
        ["/usr/bin/app", "1", "injected"],
    ]


def test_what_the_container_could_run_with(
    make_trace: MakeTrace, capsys: pytest.CaptureFixture[str]
) -> None:
    trace = make_trace(
        [
            use("/var/log/app.log", how="write"),
            use("/var/lib/app", how="write", kind="directory"),
            use("/top", how="write"),
        ],
        records=[
            Process(1, 100, "/usr/bin/app", 0, 0, 1),
            Process(1, 100, "/usr/bin/app", 33, 33, 2),
            Port("tcp", "0.0.0.0", 80, 1, "/usr/bin/app", 3, held=False),
            Port("udp", "::", 53, 1, None, 3, held=True),
            Capability("CAP_CHOWN", granted=True, session=1, exe="/usr/bin/app", time=4),
            Capability("CAP_SYS_ADMIN", granted=False, session=1, exe=None, time=4),
            Syscall("read", 0, "x86_64", 1, None, 5),
            Lookup("/etc/no", "open", "ENOENT", 1, None, 6, truncated=False),
            Coverage("ports", recorded=True, why=""),
            Coverage("ids", recorded=True, why=""),
            Coverage("capabilities", recorded=True, why=""),
            Coverage("directories", recorded=True, why=""),
            Coverage("exists", recorded=True, why=""),
            Coverage("missing", recorded=True, why=""),
            Coverage("syscalls", recorded=False, why="not asked for"),
        ],
    )
    assert main(["inspect", str(trace)]) == 0
    text = capsys.readouterr().out
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert "ports udp [::]:53, tcp 0.0.0.0:80" in lines
    assert "capabilities CAP_CHOWN; asked for and not had: CAP_SYS_ADMIN" in lines
    assert "written in /, /var/lib/app, /var/log" in lines
    assert "exists none" in lines
    assert "missing 1 open" in lines
    # Never as unused, and what was seen all the same is no whole.
    assert "system calls 1, and perhaps more" in lines
    assert "not recorded syscalls: not asked for" in lines
    assert "/usr/bin/app 3 0:0, 33:33 container" in lines


def test_an_old_trace_recorded_nothing_but_files(
    make_trace: MakeTrace, capsys: pytest.CaptureFixture[str]
) -> None:
    trace = make_trace(["/x"])
    assert main(["inspect", "--format", "json", str(trace)]) == 0
    (run,) = json.loads(capsys.readouterr().out)["traces"][0]["runs"]
    assert set(run["needs"]["not_recorded"]) == set(FACETS)
    assert main(["inspect", str(trace)]) == 0
    text = capsys.readouterr().out
    assert "none" not in text
    assert f"not recorded  {', '.join(FACETS)}: " in text


def test_a_partial_trace_says_why(
    make_trace: MakeTrace, capsys: pytest.CaptureFixture[str]
) -> None:
    trace = make_trace(
        ["/x"], trailer=False, records=[Loss("ring buffer", 1234, 1), Loss("queue", None, 2)]
    )
    assert main(["inspect", str(trace)]) == 0
    text = capsys.readouterr().out
    assert "partial" in text.splitlines()[0]
    assert "because the recorder ended without a trailer" in " ".join(text.split())
    assert "1,234 at 0.0 s in ring buffer, an unknown number at 0.0 s in queue" in text


def test_files_are_sorted_and_escaped(
    make_trace: MakeTrace, capsys: pytest.CaptureFixture[str]
) -> None:
    trace = make_trace(["/z", HOSTILE, "/b", use("/b", how="exec"), use("end", truncated=True)])
    assert main(["inspect", "--files", str(trace)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        "exec,read  /b",
        "read       /etc/\\x1b[31m\\x0afake line\\xff",
        "read       /z",
        "read       …end",
    ]


def test_files_say_in_which_phase_each_was_first_used(
    make_trace: MakeTrace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    marks = [Mark("load", 10), Mark("sh\x1bop", 20)]
    # Whose a record is may be known only after a mark: it stands behind it.
    files = [use("/a", time=5), use("/b", time=25), use("/b", time=30), use("/c", time=15)]
    one = make_trace([], name="one", run="1", records=[*marks, *files])
    two = make_trace([use("/c", time=1)], name="two", run="2", records=[Mark("late", 10)])
    merged = tmp_path / "all"
    assert main(["merge", str(one), str(two), "-o", str(merged)]) == 0
    capsys.readouterr()
    assert main(["inspect", "--files", str(merged)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "read  -         /a",
        "read  sh\\x1bop  /b",
        "read  load      /c",
    ]
    assert main(["inspect", "--format", "json", "--files", str(merged)]) == 0
    document = json.loads(capsys.readouterr().out)
    jsonschema.Draft7Validator(_schema()).validate(document)
    assert [file["phases"] for file in document["traces"][0]["files"]] == [
        *([], ["sh\\x1bop"], ["load"]),
    ]
    assert document["traces"][0]["runs"][0]["phases"] == [
        {"name": None, "time": 0, "paths": 1},
        {"name": "load", "time": 10, "paths": 1},
        {"name": "sh\\x1bop", "time": 20, "paths": 1},
    ]


@pytest.mark.parametrize("options", [[], ["--files"]])
def test_json_is_what_the_schema_says(
    make_trace: MakeTrace, capsys: pytest.CaptureFixture[str], options: list[str]
) -> None:
    traces = [
        make_trace([HOSTILE], name="a", identity="dir-sha256:x", scenario="s"),
        make_trace(["/x"], name="b", trailer=False, records=[Loss("queue", None, 1)]),
    ]
    assert main(["inspect", "--format", "json", *options, *map(str, traces)]) == 0
    document = json.loads(capsys.readouterr().out)
    jsonschema.Draft7Validator(_schema()).validate(document)
    first, second = document["traces"]
    assert first["verdict"] == "complete"
    assert second["reasons"] == ["the recorder ended without a trailer", "lost events"]
    assert second["runs"][0]["duration"] is None
    assert ("files" in first) == bool(options)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft7Validator(_schema()).validate({**document, "extra": 1})


def test_hostile_text_never_reaches_the_terminal(
    make_trace: MakeTrace, capsys: pytest.CaptureFixture[str]
) -> None:
    evil = "\x1b]0;x\x07\n"
    header = dict.fromkeys(
        ("run", "agent", "kernel", "recorder", "platform", "target", "scenario", "container"), evil
    )
    trace = make_trace(
        [use(evil, exe=evil)],
        reference=evil,
        identity=evil,
        command=(evil,),
        reasons=(evil,),
        records=[
            Mark(evil, 1),
            Loss(evil, 1, 1),
            Process(1, 1, evil, None, None, 1),
            Lookup(evil, "stat", evil, 1, evil, 1, truncated=False),
            Port("tcp", evil, 2**63, 1, evil, 1, held=False),
            Capability(evil, granted=True, session=1, exe=evil, time=1),
            Capability(evil + "2", granted=False, session=1, exe=evil, time=1),
            Syscall(evil, 2**63, evil, 1, evil, 1),
            Coverage("missing", recorded=False, why=evil),
        ],
        start=2**63,
        **header,
    )
    for options in ([], ["--files"], ["--format", "json"]):
        assert main(["inspect", *options, str(trace)]) == 0
        text = capsys.readouterr().out
        assert "\x1b" not in text
        assert "\x07" not in text
        assert all(line.isprintable() for line in text.splitlines())


def test_no_trace_is_4(make_trace: MakeTrace, capsys: pytest.CaptureFixture[str]) -> None:
    trace = make_trace(["/x"])
    trace.write_bytes(trace.read_bytes()[:12])
    assert main(["inspect", str(trace)]) == 4
    assert capsys.readouterr().err == f"error: cannot read trace {trace}: it holds no records\n"
    assert main(["inspect", str(trace) + ".missing"]) == 1
