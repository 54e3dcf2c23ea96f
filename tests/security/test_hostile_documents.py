"""Policies and plans made to harm: one clear line, in bounded time and memory."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from paredown_minimizer.policyfile import parse_policy
from paredown_schemas.errors import ParedownError
from paredown_schemas.names import escape_name
from paredown_schemas.plan import dump_plan, load_plan
from plans import example_plan


def _levels(item: str, level: Callable[[str], str], count: int) -> str:
    """Each level names the one before nine times: what unfolds it takes 9 to the power of them."""
    lines = [f"a0: &a0 {item}"]
    lines += [f"a{n}: &a{n} {level(', '.join([f'*a{n - 1}'] * 9))}" for n in range(1, count)]
    return "\n".join(lines)


def _rule(pattern: str) -> str:
    rule = f"{{name: a, why: w, when: {{paths: ['{pattern}']}}, keep: [/a]}}"
    return f"version: 1\nrules: [{rule}]"


POLICIES = {
    "laughs": _levels("[x]", lambda names: f"[{names}]", 40),
    "laughs inside": "version: 1\npins: [{keep: &a [[x]], reason: *a}]",
    "laughs merged": _levels("{x: 1}", lambda names: f"{{<<: [{names}]}}", 12),
    "laughs merged by tag": _levels("{x: 1}", lambda names: f'{{!!merge "y": [{names}]}}', 12),
    "itself": "&a {version: *a}",
    "itself merged": "&a {<<: *a}",
    "deep": "[" * 50_000,
    "deep mapping": "{a: " * 5_000,
    "deep keys": "? " * 5_000,
    "number of base 60": "version: 1" + ":59" * 200_000,
    "number of many digits": "version: " + "9" * 100_000,
    "fraction of base 60": "version: 1" + ":59" * 200_000 + ".5",
    "keys that are no names": "{1: 2, 2020-01-01: 3, null: 4, version: 1}",
    "keys that are lists": "{[a]: b}",
    "date that is none": "version: 2020-99-99",
    "object": "!!python/object/apply:os.system [id]",
    "tag": "!<\u202e> x",
    "binary": "version: 1\npins: [{keep: !!binary L2E=, reason: r}]",
    "too long": "#" * 2_000_000,
    "pattern of a rule": _rule("/" + "**" * 400_000),
    "placeholders of a rule": _rule("/{a}" * 200),
    "gate that is no number": "version: 1\ngates: {min_gone: .inf}",
    "date with escapes": 'version: 1\npins: [{keep: /a, reason: r, expires: "\\e[31m"}]',
}


@pytest.mark.parametrize("name", POLICIES)
def test_hostile_policy_is_one_line(name: str) -> None:
    before = time.process_time()
    with pytest.raises(ParedownError, match="^cannot read policy: ") as told:
        parse_policy(POLICIES[name])
    assert time.process_time() - before < 5
    assert str(told.value).isprintable()


def test_aliases_of_texts_are_taken() -> None:
    policy = parse_policy("version: 1\npins: [{keep: /a, reason: &r x}, {keep: /b, reason: *r}]")
    assert [pin.reason for pin in policy.pins] == ["x", "x"]


def test_halves_of_characters_are_shown() -> None:
    (pin,) = parse_policy('version: 1\npins: [{keep: "/\\ud800", reason: "\\udfff"}]').pins
    assert escape_name(pin.target) == r"/\xed\xa0\x80"
    assert escape_name(pin.reason) == r"\xed\xbf\xbf"


def _plan(old: str, new: str) -> str:
    text = dump_plan(example_plan())
    assert old in text
    return text.replace(old, new, 1)


PLANS = {
    "deep": "[" * 500_000,
    "deep mapping": '{"a":' * 500_000,
    "deep inside": _plan('"paths": [', '"paths": [' + "[" * 500_000),
    "number of many digits": _plan('"version": 1', '"version": ' + "9" * 10_000),
    "version that moves the cursor": _plan('"version": 1', '"version": "\\u001b[2J\\u202e"'),
    "key twice": '{"\\u001b[2J": 1, "\\u001b[2J": 2}',
    "key nobody knows": _plan('"version": 1', '"version": 1, "\\u001b[2J\\u202e": 1'),
    "half of a character": _plan("odd", "\\ud800"),
    "name that is no string": _plan('"nginx"', "[]"),
    "name with a NUL": _plan("/srv/old", "/srv/\\\\x00"),
    "identity with a newline": _plan("dir-sha256:", "dir-sha256:\\n"),
    "not text": "\x00",
}


@pytest.mark.parametrize("name", PLANS)
def test_hostile_plan_is_one_line(name: str) -> None:
    before = time.process_time()
    with pytest.raises(ParedownError, match="^cannot read ") as told:
        load_plan(PLANS[name], "plan.json")
    assert time.process_time() - before < 5
    assert str(told.value).isprintable(), str(told.value)
