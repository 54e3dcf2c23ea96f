"""docs/pipeline.md and docs/hardening.md: every command in them is one that there is."""

from __future__ import annotations

import importlib
import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from fixture_types import Require
from paredown_minimizer import cli
from paredown_minimizer.pipeline.project import parse_project

DOCS = Path(__file__).resolve().parents[2] / "docs"
TEXT = (DOCS / "pipeline.md").read_text()
HARDENING = (DOCS / "hardening.md").read_text()


def _blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)


def _scripts(value: Any) -> Iterator[str]:
    """Yield what GitHub's ``run`` and GitLab's ``script`` hand to a shell."""
    if isinstance(value, dict):
        if "run" in value:
            yield value["run"]
        if "script" in value:
            yield "\n".join(value["script"])
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from _scripts(each)


SCRIPTS = [script for block in _blocks("yaml") for script in _scripts(yaml.safe_load(block))]


def _commands(script: str, program: str) -> Iterator[list[str]]:
    """Yield the words behind a program's name, as far as one command goes."""
    for line in script.splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        words: list[str] | None = None
        for word in lexer:
            if set(word) <= set("();<>|&"):
                if words:
                    yield words
                words = None
            elif word == program and words is None:
                words = []
            elif words is not None:
                words.append(word)
        if words:  # else it is the name of something else: a package, a directory
            yield words


def _paredown() -> list[list[str]]:
    runs = re.findall(r"^RUN (\[.*\])$", "".join(_blocks("dockerfile")), re.MULTILINE)
    shown = re.findall(r"^    (?:\$ )?(paredown .*)$", HARDENING + TEXT, re.MULTILINE)
    found = [words for text in (*SCRIPTS, *shown) for words in _commands(text, "paredown")]
    return [*found, *(json.loads(run)[1:] for run in runs)]


def test_each_command_of_paredown_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = []
    for words in _paredown():
        module = importlib.import_module(f"paredown_minimizer.commands.{words[0]}")
        monkeypatch.setattr(module, "run", lambda _: 0)
        assert cli.main(words) == 0, words
        taken.append(words[0])
    assert {"harden", "status", "apply", "plan"} <= set(taken)
    assert len(taken) > 8


def test_scripts_are_bashs(require: Require) -> None:
    require(shutil.which("bash") is not None, "bash is not installed")
    assert len(SCRIPTS) > 6
    for script in (*SCRIPTS, *_blocks("sh")):
        told = subprocess.run(
            ["bash", "-n"], input=script, text=True, capture_output=True, check=False
        )
        assert (told.returncode, told.stderr) == (0, ""), script


def test_options_of_skopeo_are_its_own(require: Require) -> None:
    require(shutil.which("skopeo") is not None, "skopeo is not installed")
    seen = set()
    for words in (words for script in SCRIPTS for words in _commands(script, "skopeo")):
        told = subprocess.run(
            ["skopeo", words[0], "--help"], capture_output=True, text=True, check=True
        ).stdout
        for option in (word for word in words if word.startswith("--")):
            assert re.search(rf"{option}\b", told), option
            seen.add(option)
    assert "--digestfile" in seen


def test_the_file_that_is_shown_is_one() -> None:
    block = HARDENING[HARDENING.index("    # paredown.yaml") : HARDENING.index("Run it as root")]
    (image,) = parse_project(re.sub("^    ", "", block, flags=re.MULTILINE), "")
    assert [scenario.name for scenario in image.scenarios] == ["checkout", "nightly"]
    schema = (DOCS.parent / "schemas/paredown_schemas/paredown-1.schema.json").read_text()
    keys = json.loads(schema)["definitions"]["image"]["properties"]
    assert [key for key in keys if f"`{key}`" not in HARDENING] == []
