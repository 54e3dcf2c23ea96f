"""The documents for reviews: what they say of what was given, and that they belong together."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from markdown_it import MarkdownIt

from any_plan import PLANS
from hostile_names import HOSTILE
from paredown_minimizer.cli import main
from paredown_minimizer.formats.markdown import DOCUMENT_LIMIT
from paredown_minimizer.material import InputFile, Material, ReportInputs
from paredown_minimizer.pages.report import report_page
from paredown_minimizer.policyfile import parse_policy
from paredown_minimizer.report import make_documents, write_report
from paredown_minimizer.review import review_plan
from paredown_schemas.cves import Cves, Finding, Scan, SeverityCount, dump_cves
from paredown_schemas.errors import ParedownError
from paredown_schemas.plan import Plan, dump_plan
from paredown_schemas.verification import (
    AddedPin,
    Case,
    Missing,
    Round,
    dump_verification,
)
from plans import full_plan
from results import example_verification
from shown import Shown, read_text
from traces import trace_records, write_trace

PLAN = full_plan()
PUSHED = "sha256:" + "7" * 64
VERIFICATION = example_verification(
    PLAN,
    started="2027-02-28T12:00:00Z",
    tests=(Case("smoke", "passed", "sh smoke.sh", 0, 900), Case("login", None)),
    rounds=(
        Round("p", "failed", 2, "misses", 1, 70_000, (AddedPin("package:tar", "asked for"),), 3, 9),
    ),
    traces=(),
)
CVES = Cves(
    paredown="0.1.0",
    plan=PLAN.id,
    projected=True,
    scans=(Scan("before", "grype", "4" * 64, "grype 0.79.1"),),
    counts=(SeverityCount("high", 3, 1, 1, 1, 0, 0),),
    findings=(
        Finding("CVE-1", "libc6", "2.36", "high", "stays", "libc6:amd64", (), ("2.37",)),
        Finding("CVE-2", "tzdata", "2026a", "high", "file-gone", "tzdata:amd64"),
        Finding("CVE-3", "bash", "5.2", "high", "gone", "bash:amd64"),
    ),
)

TAGS = {
    *("h1", "h2", "h3", "p", "ul", "li", "table", "thead", "tbody", "tr", "th", "td", "code"),
    *("strong", "pre", "details", "summary"),
}


def _inputs(space: Path, plan: Plan = PLAN, **more: Path) -> ReportInputs:
    (space / "plan.json").write_text(dump_plan(plan))
    return ReportInputs(space / "plan.json", space / "report", **more)  # type: ignore[arg-type]


def _verification(space: Path, **changes: object) -> Path:
    path = space / "verification.json"
    path.write_text(dump_verification(dataclasses.replace(VERIFICATION, **changes)))  # type: ignore[arg-type]
    return path


def test_the_same_inputs_give_the_same_bytes(tmp_path: Path) -> None:
    inputs = _inputs(tmp_path, verification=_verification(tmp_path))
    first = {file.name: file.read_bytes() for file in write_report(inputs).files}
    assert {"report.html", "report.md"} <= set(first)
    again = dataclasses.replace(inputs, force=True)
    assert {file.name: file.read_bytes() for file in write_report(again).files} == first


def test_what_can_be_claimed_is_written_for_tools(tmp_path: Path) -> None:
    cves = tmp_path / "cves.json"
    cves.write_text(dump_cves(CVES))
    inputs = _inputs(tmp_path, verification=_verification(tmp_path), cves=cves)
    inputs = dataclasses.replace(inputs, slim=f"docker:shop:1@{PUSHED}", author="ops@example.com")
    written = {file.name: file for file in write_report(inputs).files}
    vex = json.loads(written["vex.openvex.json"].read_text())
    assert vex["author"] == "ops@example.com"
    assert vex["statements"][0]["products"][0]["@id"] == f"pkg:oci/shop@{PUSHED}"
    assert vex["timestamp"] == VERIFICATION.started
    bound = json.loads(written["statement.intoto.json"].read_text())
    assert bound["subject"][0]["digest"] == {"sha256": "7" * 64, "image-sha256": "5" * 64}
    digests = {each["name"]: each["sha256"] for each in bound["predicate"]["documents"]}
    assert digests == {
        name: hashlib.sha256(file.read_bytes()).hexdigest()
        for name, file in written.items()
        if name != "statement.intoto.json"
    }
    before, after = (
        {each["name"] for each in json.loads(written[name].read_text())["components"]}
        for name in ("sbom-before.cdx.json", "sbom-after.cdx.json")
    )
    assert before - after == {"bash", "curl", "odd\\x1b[31m"}


def test_nothing_is_claimed_of_an_image_that_was_not_verified(tmp_path: Path) -> None:
    cves = tmp_path / "cves.json"
    cves.write_text(dump_cves(CVES))
    # A soft one ran on the original: its digest is the original's.
    soft = _verification(tmp_path, mode="soft", slim=None)
    for verification in (None, soft):
        inputs = _inputs(tmp_path, cves=cves)
        inputs = dataclasses.replace(
            inputs, verification=verification, slim=f"shop@{PUSHED}", force=True
        )
        written = {file.name for file in write_report(inputs).files}
        assert not written & {"vex.openvex.json", "statement.intoto.json"}


def test_documents_of_another_plan_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = _verification(tmp_path, plan="plan-sha256:" + "0" * 64)
    inputs = _inputs(tmp_path, verification=other)
    options = ["report", str(inputs.plan), "-o", str(inputs.directory)]
    assert main([*options, "--verification", str(other)]) == 4
    assert "cannot report: the verification is of plan-sha256:0" in capsys.readouterr().err
    cves = tmp_path / "cves.json"
    cves.write_text(dump_cves(dataclasses.replace(CVES, plan="another")))
    assert main([*options, "--cves", str(cves)]) == 4
    assert "the list of CVEs is of another" in capsys.readouterr().err
    assert not inputs.directory.exists()


def test_another_policy_is_refused(tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text("version: 1\npins:\n  - keep: package:tar\n    reason: who knows\n")
    with pytest.raises(ParedownError, match="the policy is not the one of the plan.*keep package"):
        write_report(_inputs(tmp_path, policy=policy))


def test_traces_are_those_of_the_plan(tmp_path: Path) -> None:
    trace = write_trace(tmp_path / "a.trace", trace_records(["/a"]))
    inputs = dataclasses.replace(_inputs(tmp_path), traces=[trace])
    with pytest.raises(ParedownError, match="a.trace holds no run of the plan"):
        write_report(inputs)


def test_nothing_is_replaced_unasked_and_nothing_else_ever(tmp_path: Path) -> None:
    inputs = _inputs(tmp_path)
    inputs.directory.mkdir()
    for name in ("report.md", "vex.openvex.json", "notes.txt"):
        (inputs.directory / name).write_text("mine")
    with pytest.raises(ParedownError, match="report.md exists already"):
        write_report(inputs)
    assert not (inputs.directory / "report.html").exists()
    write_report(dataclasses.replace(inputs, force=True))
    assert "mine" not in (inputs.directory / "report.md").read_text()
    assert (inputs.directory / "notes.txt").read_text() == "mine"
    assert not (inputs.directory / "vex.openvex.json").exists()  # it was of another report
    assert {path.name for path in tmp_path.iterdir()} == {"plan.json", "report"}


def test_nothing_is_half_written_where_the_disk_is_full(tmp_path: Path) -> None:
    """A limit of the size of files stands for the disk."""
    inputs = _inputs(tmp_path)
    limit = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (30000, 30000));"
        "from paredown_minimizer.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", limit, "report", str(inputs.plan), "-o", str(inputs.directory)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == f"error: cannot write {inputs.directory}: File too large\n"
    assert [path.name for path in tmp_path.iterdir()] == ["plan.json"]


def _documents(plan: Plan = PLAN, **more: Any) -> tuple[str, str]:
    """Return the HTML and the Markdown, each as the text that a reader sees, a line a block."""
    texts = make_documents(Material(plan, **more))
    markdown = MarkdownIt("commonmark", {"html": True}).enable("table").render(texts["report.md"])
    return read_text(texts["report.html"]), read_text(markdown)


@pytest.mark.parametrize(
    ("more", "says"),
    [
        pytest.param({}, "Not verified: no test has run on the slim image", id="not verified"),
        pytest.param({}, "Not compared: no scan was given", id="no scan"),
        pytest.param({}, "84.5 % of 183.1 MB are gone: 2 of 5 packages", id="gained"),
        pytest.param({}, "Risk taken: 1 high, 1 medium, 2 low", id="risk"),
        pytest.param({}, "smoke 0000000000000000 2026-01-31 12:00 UTC fanotify 100", id="scenario"),
        pytest.param({}, "partial: late attach", id="partial"),
        pytest.param({}, "loads like these would use at least about 3 more", id="completeness"),
        pytest.param({}, "--user=33:33", id="with less"),
        pytest.param(
            {},
            "Of the 154.8 MB and 2 packages that go, 48.0 MB and 1 package would have gone that "
            "way. Paredown drops 106.8 MB and 1 package beyond that.",
            id="beforehand",
        ),
        pytest.param({}, "layer 2: COPY app /app 1 0 1.3 MB 0 B", id="packages by layer"),
        pytest.param({}, "1 path until 2027-01-31", id="pin"),
        pytest.param({}, "paredown apply plan.json ORIGINAL -o SLIM", id="original unknown"),
        pytest.param(
            {"verification": VERIFICATION}, "1 of 1 test passed on the slim image", id="proven"
        ),
        pytest.param({"verification": VERIFICATION}, "smoke passed 0 0.9 s sh smoke.sh", id="test"),
        pytest.param(
            {"verification": VERIFICATION},
            "1 failed 2 misses 1 70.0 s package:tar (asked for) 3 files, 9 B",
            id="round",
        ),
        pytest.param(
            {"verification": VERIFICATION, "source": "dir:/srv/shop"},
            "paredown-agent record --rootfs /srv/shop -o debug.trace -- docker run --rm",
            id="start a directory",
        ),
        pytest.param({"verification": VERIFICATION}, "1 path expired 2027-01-31", id="expired"),
        pytest.param(
            {
                "verification": dataclasses.replace(
                    VERIFICATION,
                    outcome="failed",
                    why="status 1",
                    missing=(Missing("bash:amd64", "/usr/bin/bash", ("exec",), ("/app",)),),
                )
            },
            "1 path that the plan removes was asked for; outcome: failed: status 1",
            id="failed",
        ),
        pytest.param(
            {"cves": CVES},
            "3 before. Gone with its package: 1; file gone, package still declared: 1; lost from "
            "sight: 0. Stay: 1 high. Projected from the plan, not scanned",
            id="CVEs",
        ),
        pytest.param({"cves": CVES}, "CVEs, by package, projected", id="total"),
        pytest.param({"cves": CVES}, "high 3 1 1 0 1 0", id="by severity"),
        pytest.param({"cves": CVES}, "CVE-1 high libc6 2.36 2.37", id="what stays, with its fix"),
        pytest.param({"cves": CVES}, "bash 5.2 1 1 high CVE-3", id="what is gone, by package"),
        pytest.param(
            {"cves": dataclasses.replace(CVES, hidden=("tar:amd64",))},
            "packages out of sight: 1",
            id="out of sight",
        ),
        pytest.param(
            {"policy": parse_policy("version: 1\ngates:\n  max_packages: 2\n")},
            "max_packages 3 at most 2",
            id="gate",
        ),
    ],
)
def test_says(more: dict[str, Any], says: str) -> None:
    for text in _documents(**more):
        assert says in text


def test_the_original_can_be_started_again() -> None:
    """As the tests did, or with its tools beside the slim one; names are quoted for the shell."""
    plan = full_plan(image="image-sha256:" + "3" * 64)
    verification = dataclasses.replace(VERIFICATION, plan=plan.id, image=plan.image)
    for text in _documents(plan, verification=verification, source="docker:a b"):
        assert "docker run --rm 'a b'" in text
        assert "--network container:NAME --entrypoint sh 'a b'" in text
        assert "paredown apply plan.json 'docker:a b' -o SLIM" in text


def test_a_run_is_shown_as_it_was_recorded(tmp_path: Path) -> None:
    """But for docker's file that a second run would not overwrite."""
    command = ("docker", "run", "--cidfile", "/x", "shop", "a b")
    run = PLAN.traces[0].run
    records = trace_records(
        ["/a"], run=run, scenario="smoke", target="docker", command=command, reference="shop"
    )
    plan = full_plan(traces=PLAN.traces[:1], image="image-sha256:" + "3" * 64)
    inputs = _inputs(tmp_path, plan)
    trace = write_trace(tmp_path / "a.trace", records)
    write_report(dataclasses.replace(inputs, traces=[trace]))
    text = (inputs.directory / "report.md").read_text()
    assert "record -o 1.trace --scenario smoke -- docker run shop 'a b'\n" in text
    assert hashlib.sha256(trace.read_bytes()).hexdigest() in text
    assert text.startswith("# Hardening report: shop\n")


def test_figures_of_cves_are_never_added_up() -> None:
    """One gone with its package, one whose file is gone: two thirds would be a lie."""
    html, markdown = _documents(cves=CVES)
    assert "33.3 % gone 3 → 2" in html
    assert "projected 3 2 33.3 %" in markdown


def test_the_first_screen_says_that_nothing_is_proven() -> None:
    page = report_page(Material(PLAN), review_plan(PLAN))
    assert page.answers
    assert [(row.cells[0], row.mark) for row in page.answers.rows] == [
        ("Gained", "✓"),
        ("Proven", "✗"),
        ("CVEs", "?"),
        ("Recorded", "!"),  # one run is partial
        ("Risk taken", "!"),
        ("Open", "!"),
    ]


def test_what_is_lost_from_sight_is_not_fine() -> None:
    counts = (dataclasses.replace(CVES.counts[0], gone=0, lost=1),)
    page = report_page(
        Material(PLAN, cves=dataclasses.replace(CVES, counts=counts)), review_plan(PLAN)
    )
    assert page.answers
    assert {row.cells[0]: row.mark for row in page.answers.rows}["CVEs"] == "✗"


# Needs are the one thing that is not written as it is: what is none is refused.
@settings(max_examples=10, phases=[Phase.generate])
@given(PLANS)
def test_any_plan_is_reported(plan: Plan) -> None:
    texts = make_documents(Material(dataclasses.replace(plan, needs=())))
    for text in texts.values():
        assert all(line.isprintable() for line in text.split("\n"))
    assert len(texts["report.md"].encode()) <= DOCUMENT_LIMIT


@pytest.mark.parametrize("name", HOSTILE)
def test_names_are_no_markup(name: str) -> None:
    """Of whoever made the image, the tests, the scan: only our own tags, no links, no mentions."""
    verification = dataclasses.replace(
        VERIFICATION,
        run=f"docker run {name} {{image}}",
        why=name,
        outcome="failed",
        tests=(Case(name, "failed", name, 1), Case(name, None)),
        missing=(Missing(name, f"/{name}", (name,), (name,), (name,)),),
        rounds=(Round("p", "failed", 1, "misses", pins=(AddedPin(name, name),)),),
    )
    finding = dataclasses.replace(
        CVES.findings[0], id=name, name=name, version=name, package=name, fixed=(name,)
    )
    cves = dataclasses.replace(
        CVES,
        findings=(finding, dataclasses.replace(finding, fate="gone")),
        hidden=(name,),
        warnings=(name,),
        scans=(Scan("before", "grype", name, name, name, name),),
    )
    files = (InputFile("plan", name, "0"),)
    texts = make_documents(Material(PLAN, verification, cves, source=f"docker:{name}", files=files))
    markdown = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    shown = Shown(markdown.render(texts["report.md"]))
    assert shown.tags <= TAGS
    assert shown.attributes <= {"style", "class"}  # of the renderer's own
    assert not re.search(r"[@#](?=\w)|www\.|://|GH-\d|:tada:|\u202e|\x1b", shown.plain)
    assert not {"img", "script"} & (Shown(texts["report.html"]).tags - {"script"})
    assert texts["report.html"].count("<script>") == 1


def test_a_command_ends_no_block_of_code() -> None:
    plan = full_plan(image="image-sha256:" + "3" * 64)
    verification = dataclasses.replace(VERIFICATION, plan=plan.id, image=plan.image, run="````")
    text = make_documents(Material(plan, verification))["report.md"]
    shown = MarkdownIt("commonmark", {"html": True}).enable("table").render(text)
    assert "````\n</code></pre>" in shown
    assert "<h2>Reproduce</h2>" in shown
