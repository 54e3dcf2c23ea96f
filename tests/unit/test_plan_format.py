"""The plan's text: what was dumped is loaded, and what is no plan is refused with its place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from any_plan import PLANS
from paredown_schemas import plan as codec
from paredown_schemas.errors import DamagedInputError, ParedownError
from paredown_schemas.plan import Plan, dump_plan, load_plan, read_plan
from plans import example_plan

_SCHEMA = jsonschema.Draft7Validator(
    json.loads((Path(codec.__file__).parent / "plan-1.schema.json").read_text())
)


@given(PLANS)
def test_what_was_dumped_is_loaded(plan: Plan) -> None:
    text = dump_plan(plan)
    assert load_plan(text, "test") == plan
    assert dump_plan(load_plan(text, "test")) == text
    _SCHEMA.validate(json.loads(text))
    assert all(line.isprintable() for line in text.splitlines())


def test_a_record_is_a_line() -> None:
    text = dump_plan(example_plan())
    assert sum('"name": "bash"' in line for line in text.splitlines()) == 1
    assert '"name": "odd\\\\x1b[31m"' in text


def test_the_id_is_of_what_it_says() -> None:
    plan = example_plan()
    assert plan.id == example_plan().id
    assert plan.id != example_plan(granularity="package").id


@given(st.data())
def test_any_damage_is_refused_or_still_a_plan(data: st.DataObject) -> None:
    text = dump_plan(example_plan())
    at = data.draw(st.integers(0, len(text) - 1))
    damaged = text[:at] + data.draw(st.text(max_size=3)) + text[at + data.draw(st.integers(0, 9)) :]
    try:
        load_plan(damaged, "test")
    except DamagedInputError as error:
        assert str(error).startswith("cannot read ")


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists))
def test_any_json_is_refused(value: Any) -> None:
    with pytest.raises(DamagedInputError):
        load_plan(json.dumps(value), "test")


def _changed(path: str, value: Any) -> str:
    document = json.loads(dump_plan(example_plan()))
    *parents, last = (int(part) if part.isdigit() else part for part in path.split("."))
    target = document
    for part in parents:
        target = target[part]
    target[last] = value
    return json.dumps(document)


@pytest.mark.parametrize(
    ("path", "value", "where"),
    [
        ("extra", 1, "$"),
        ("packages.0.action", "drop", "$.packages[0].action"),
        ("packages.1.bytes", -1, "$.packages[1].bytes"),
        ("packages.1.bytes", True, "$.packages[1].bytes"),
        ("packages.1.extra", 1, "$.packages[1]"),
        ("evidence.0.path", "relative", "$.evidence[0].path"),
        ("image", "sha256:0", "$.image"),
        ("removed.0.names", "old", "$.removed[0].names"),
    ],
)
def test_a_fault_is_told_with_its_place(path: str, value: Any, where: str) -> None:
    with pytest.raises(DamagedInputError) as caught:
        load_plan(_changed(path, value), "p.json")
    assert str(caught.value).startswith(f"cannot read plan p.json: {where}: ")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[" * 100_000,
        _changed("version", 2),
        _changed("version", 1.0),
        _changed("version", "1"),
        _changed("format", "other"),
        _changed("packages.0.name", "\\q"),
        _changed("packages.0.name", "\ud800"),
        _changed("packages.0.files", 1.5),
        _changed("packages.0.files", float("nan")),
        dump_plan(example_plan()).replace('"granularity": "file"', '"granularity": "file",' * 2),
        dump_plan(example_plan()).replace(
            '"granularity": "file"', '"granularity": "file", "granularity": "package"'
        ),
    ],
)
def test_what_is_no_plan_is_refused(text: str) -> None:
    with pytest.raises(DamagedInputError, match="cannot read "):
        load_plan(text, "p.json")


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ParedownError, match="cannot read plan .*: No such file"):
        read_plan(tmp_path / "missing")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    with pytest.raises(DamagedInputError, match="not UTF-8"):
        read_plan(tmp_path / "binary")
