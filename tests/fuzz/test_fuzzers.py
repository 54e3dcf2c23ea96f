"""Every reader of hostile input stands its fuzzer; docs/fuzzing.md says what each asks."""

from __future__ import annotations

import contextlib
import importlib
import sys
from pathlib import Path
from typing import Any, Protocol

import pytest

from paredown_schemas.errors import ParedownError

HERE = Path(__file__).parent
NAMES = sorted({path.stem.removeprefix("fuzz_") for path in HERE.glob("fuzz_*.py")} - {"control"})


class Outcome(Protocol):
    """See conftest.Outcome."""

    code: int
    output: str
    found: bytes | None


class Fuzzers(Protocol):
    """See conftest.Fuzzers."""

    def outcome(self, name: str) -> Outcome: ...


def target(name: str) -> Any:
    sys.path.insert(0, str(HERE))
    try:
        return importlib.import_module(f"fuzz_{name}")
    finally:
        sys.path.remove(str(HERE))


@pytest.mark.parametrize("name", NAMES)
def test_seeds_reach_what_is_fuzzed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fuzzer = target(name)
    monkeypatch.setattr(fuzzer, "refusing", contextlib.nullcontext)
    taken = total = 0
    for seed in fuzzer.seeds():
        total += 1
        with contextlib.suppress(ParedownError):
            fuzzer.one_input(seed)
            taken += 1
    assert taken * 2 >= total > 1


@pytest.mark.parametrize("name", NAMES)
def test_fuzzer_finds_nothing(name: str, fuzzers: Fuzzers) -> None:
    outcome = fuzzers.outcome(name)
    assert outcome.code == 0, outcome
    assert "Done" in outcome.output, outcome


@pytest.mark.parametrize("name", ["control"])
def test_fuzzer_finds_what_is_there(name: str, fuzzers: Fuzzers) -> None:
    outcome = fuzzers.outcome(name)
    assert outcome.code != 0
    assert outcome.found is not None
    assert outcome.found.startswith(b"FUZ!")
