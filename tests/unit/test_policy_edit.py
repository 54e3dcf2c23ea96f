"""Pins that the tool adds: not another byte of the policy changes."""

from __future__ import annotations

import dataclasses
import datetime as dt
import re
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from paredown_minimizer.cli import main
from paredown_minimizer.policy import Pin
from paredown_minimizer.policyedit import with_pins
from paredown_minimizer.policyfile import parse_policy
from paredown_schemas.errors import ParedownError

PIN = Pin("keep", "package:bash", "on call: until then, #1", "2027-01-31")


def _added(text: str, *pins: Pin) -> str:
    """Return what was added; fail if anything else changed, or it reads otherwise."""
    policy = parse_policy(text)
    result = with_pins(text, policy, pins or (PIN,), "cannot add")
    expected = dataclasses.replace(policy, pins=(*policy.pins, *(pins or (PIN,))))
    assert parse_policy(result) == expected
    same = zip(text, result, strict=False)
    start = next((n for n, pair in enumerate(same) if len({*pair}) > 1), len(text))
    length = len(result) - len(text)
    # Where what follows begins as the new text does, the place is one of several.
    at = next(n for n in range(start, -1, -1) if result[:n] + result[n + length :] == text)
    return result[at : at + length]


ITEM = """  - keep: package:bash
    reason: 'on call: until then, #1'
    expires: 2027-01-31
"""
NARROW = ITEM.replace("\n  ", "\n")[2:]
WIDE = re.sub("^  ", "    ", NARROW.replace("- ", "-   "), flags=re.MULTILINE)
FLOW = "{keep: 'package:bash', reason: 'on call: until then, #1', expires: 2027-01-31}"
A = "- keep: /a\n  reason: r"


@pytest.mark.parametrize(
    ("text", "added"),
    [
        ("version: 1\n", f"pins:\n{ITEM}"),
        ("version: 1", f"\npins:\n{ITEM}"),
        ("# why\nversion: 1 # one\n# end", f"pins:\n{ITEM}"),
        ("---\nversion: 1\n...\n", f"pins:\n{ITEM}"),
        ("version: 1\npins:\n", ITEM),
        ("version: 1\npins:  # none\nunowned: []\n", ITEM),
        ("version: 1\npins:\n  # - keep: /old\n  #   reason: r\n", ITEM),
        (f"version: 1\npins:\n{A}\n", NARROW),
        (f"version: 1\npins:\n{A}", f"\n{NARROW}"),
        (f"version: 1\npins:\n{A} # why\n# - keep: /b\n\nunowned: []\n", NARROW),
        (f"version: 1\npins:\n{A}\n...\n", NARROW),
        ("version: 1\npins:\n- reason: |\n    b\n  keep: /a\nunowned: []", NARROW),
        ("version: 1\npins:\n- keep: /a\n  reason: |\n    b\n    c\nunowned: []", NARROW),
        ("version: 1\npins:\n- keep: /a\n  reason: |+\n    b\n\n\nunowned: []", NARROW),
        ('version: 1\npins:\n- keep: /a\n  reason: "b\n\n    c"\nunowned: []', NARROW),
        ("version: 1\npins:\n- keep: /a\n  reason: &r x\n- keep: /b\n  reason: *r\n", NARROW),
        ("version: 1\npins:\n- keep: /a\n  reason: r\n  expires: 2027-01-31\n", NARROW),
        ('"version": 1\n"pins":\n- ? keep\n  : /a\n  reason: r\n', NARROW),
        ("version: 1\npins:\n-   keep: /a\n    reason: r\n", WIDE),
        ("version: 1\npins:\n  - {keep: /a, reason: r}\n", f"  - {FLOW}\n"),
        ("version: 1\npins: []\n", FLOW),
        ("version: 1\npins: [{keep: /a, reason: r}, ] # c\n", f", {FLOW}"),
        ("version: 1\npins: [\n  {keep: /a, reason: r}, # c\n]\n", f", {FLOW}"),
        ("version: 1\npins: &p [{keep: /a, reason: r}]\n", f", {FLOW}"),
        ("{version: 1}", f", pins: [{FLOW}]"),
        (f"\ufeffversion: 1\r\npins:\r\n{A}\r\n", NARROW.replace("\n", "\r\n")),
        ("version: 1\r\nunowned: []\r\n", f"pins:\n{ITEM}".replace("\n", "\r\n")),
    ],
)
def test_only_the_pin_is_added_in_the_style_of_its_neighbours(text: str, added: str) -> None:
    result = _added(text)
    # The end of one line and the beginning of another cannot be told from each other.
    assert result == added or result in added * 2


def test_a_null_gives_way() -> None:
    result = with_pins("version: 1\npins: ~ # c\n", parse_policy("version: 1"), [PIN], "")
    assert result == f"version: 1\npins:  # c\n{ITEM}"


@pytest.mark.parametrize(
    "target",
    ["/odd\nname", "/a\udcff", "/\u202ex", "/\x1b[31m", "/\U0001f600", "/é: #", "/a'b\"c\\", "/ "],
)
def test_odd_names_are_written_on_one_line_that_shows(target: str) -> None:
    for text in ("version: 1\npins:\n", "version: 1\npins: []\n"):
        added = _added(text, Pin("keep", target, "r"))
        assert all(line.isprintable() for line in added.splitlines())
        assert len(added.strip().splitlines()) == (1 if "[]" in text else 2)


_words = st.text(alphabet="ab#:,-'\"[]{}&*!|>%@` é", max_size=9).filter(lambda word: word.strip())
_pins = st.builds(
    Pin,
    st.sampled_from(["keep", "remove"]),
    _words.map(lambda word: f"/{word}"),
    _words,
    st.none() | st.dates(dt.date(1900, 1, 1), dt.date(2999, 1, 1)).map(str),
)
_comments = st.sampled_from(["", "", "# note", "  # - keep: /x", " "])
_ENTRIES = {
    "pins": ("keep: /a", "reason: r"),
    "unowned": ("path: '/b'", 'reason: "s"'),
    "granularity": ("package: p", "granularity: file"),
}


@st.composite
def _policies(draw: st.DrawFn) -> str:
    """Policies as people write them: each list its indentation, quotes, comments, blank lines."""
    parts = []
    for name in draw(st.permutations(["version", *_ENTRIES])):
        parts.append(draw(_comments))
        margin, inner = " " * draw(st.integers(0, 4)), " " * draw(st.integers(1, 4))
        key = draw(st.sampled_from([name, f'"{name}"', f"{name} "]))
        if name == "version":
            parts.append(f"{key}: 1{draw(st.sampled_from(['', '  # c']))}")
        elif draw(st.booleans()):
            first, second = _ENTRIES[name]
            more = draw(st.sampled_from(["", " # c", "\n\n# d"]))
            parts.append(f"{key}:{draw(st.sampled_from(['', ' # e']))}")
            for _ in range(draw(st.integers(1, 3))):
                parts += [f"{margin}-{inner}{first}", f"{margin} {inner}{second}{more}"]
                if name == "granularity":
                    parts.append(f"{margin} {inner}reason: >-\n{margin}       long\n\n")
        else:
            parts.append(f"{key}: {draw(st.sampled_from(['', '[]', '[ ] # f']))}")
    end = draw(st.sampled_from(["\n", "\r\n"]))
    return "\n".join(parts).replace("\n", end) + draw(st.sampled_from(["", end, end * 2]))


@given(_policies(), st.lists(_pins, min_size=1, max_size=2))
@example("version: 1\npins:\n", [Pin("keep", "/-", "-")])
def test_whatever_the_file_looks_like(text: str, pins: list[Pin]) -> None:
    parse_policy(text)
    _added(text, *pins)


def _pin(path: Path, *options: str) -> int:
    return main(["pin", str(path), *options])


def test_pin_adds_once_and_keeps_the_files_mode(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text("version: 1  # of ours\n")
    path.chmod(0o640)
    options = ("--keep", "/a/**", "--reason", "two\n lines", "--expires", "2027-01-31")
    for said in ("Added to", "has this pin already"):
        assert _pin(path, *options) == 0
        assert said in capsys.readouterr().err
        assert path.read_text() == (
            "version: 1  # of ours\npins:\n  - keep: /a/**\n    reason: two lines\n"
            "    expires: 2027-01-31\n"
        )
    assert path.stat().st_mode & 0o777 == 0o640
    assert _pin(path, "--remove", "rule:shell/system", "--reason", "r") == 0
    assert parse_policy(path.read_text()).pins[1] == Pin("remove", "rule:shell/system", "r")


def test_pin_makes_a_policy(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    assert _pin(path, "--keep", "package:bash", "--reason", "r") == 0
    assert parse_policy(path.read_text()).pins == (Pin("keep", "package:bash", "r"),)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--keep", "bash", "--reason", "r"), r"\$\.pins\[0\]\.keep must match"),
        (("--keep", "/a", "--reason", " "), r"\$\.pins\[0\]\.reason must"),
        (("--keep", "/a", "--reason", "r", "--expires", "2027-02-30"), "must be a date"),
    ],
)
def test_a_pin_that_is_none_is_refused_and_nothing_written(
    options: tuple[str, ...], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "policy.yaml"
    assert _pin(path, *options) == 1
    assert re.search(f"error: cannot add pins to .*{message}", capsys.readouterr().err)
    assert not path.exists()


def test_what_reads_otherwise_is_refused_with_what_to_write() -> None:
    other = parse_policy("version: 1\nunowned: [{path: /x, reason: r}]")
    with pytest.raises(ParedownError, match="cannot add pins to x: its form") as told:
        with_pins("version: 1\npins: []\n", other, [PIN], "cannot add pins to x")
    assert "- keep: package:bash" in told.value.hint
