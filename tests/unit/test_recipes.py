"""docs/recipes.md says what the tests of the bundle run."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from portable import ATTACH, NODE, WRAP

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "recipes.md").read_text()


def _blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)


def _capabilities(value: Any) -> Iterator[frozenset[str]]:
    if isinstance(value, dict):
        if "cap_add" in value:
            yield frozenset(value["cap_add"])
        if "capabilities" in value:
            yield frozenset(value["capabilities"]["add"])
        for each in value.values():
            yield from _capabilities(each)
    elif isinstance(value, list):
        for each in value:
            yield from _capabilities(each)


def test_each_document_grants_what_was_tried_and_no_more() -> None:
    granted = [list(_capabilities(yaml.safe_load(block))) for block in _blocks("yaml")]
    expected = [WRAP, WRAP, ATTACH, NODE]
    assert granted == [[frozenset(names)] for names in expected]


def test_each_docker_run_grants_what_was_tried_and_no_more() -> None:
    runs = [block for block in _blocks("sh") if block.startswith("docker run")]
    granted = [set(re.findall(r"--cap-add (\S+)", run)) for run in runs]
    assert granted == [set(WRAP), set(ATTACH)]


@pytest.mark.parametrize("block", _blocks("dockerfile"))
def test_entrypoints_and_commands_are_lists(block: str) -> None:
    for words in re.findall(r"^(?:ENTRYPOINT|CMD) (.*)$", block, re.MULTILINE):
        assert all(isinstance(word, str) for word in json.loads(words))
