"""Steps are done once, whenever they are killed, and nothing lies there half-written."""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from fixture_types import Require
from output_schemas import validator
from paredown_minimizer.pipeline import state
from paredown_minimizer.pipeline.steps import Made, Step, Steps, opened
from paredown_schemas.documents import dump_document
from paredown_schemas.errors import DamagedInputError, ParedownError


@dataclasses.dataclass
class Told:
    """What a user is told."""

    lines: list[str] = dataclasses.field(default_factory=list)

    def begins(self, step: str, why: str) -> None:
        self.lines.append(f"{step}: {why}" if why else step)

    def as_before(self, step: str, told: str) -> None:
        self.lines.append(f"{step} as before: {told}")

    def ended(self, step: str, made: Made | None, seconds: float) -> None:
        assert seconds >= 0
        if made is None or not made.passed:
            self.lines.append(f"{step} failed")


@dataclasses.dataclass
class Pipeline:
    """Two steps, the second made of the first's file; and one of nothing but a setting."""

    directory: Path
    settings: dict[str, str] = dataclasses.field(default_factory=dict)
    fails: str = ""

    def run(self, *, force: bool = False) -> list[str]:
        told = Told()
        with opened(self.directory, told, force=force) as steps:
            self._steps(steps)
        return told.lines

    def _steps(self, steps: Steps) -> None:
        for name in ("one", "other"):
            more = self.settings.get(f"{name} but not its text", "")
            inputs = {"text": self._text(name), "more": more}
            steps.do(Step(name, inputs, [f"{name}.txt"], self._write(name)))
        inputs = dict([steps.file("one.txt")])
        steps.do(Step("last", inputs, ["last/a.txt", "last/b.txt"], self._write("last")))

    def _text(self, name: str) -> str:
        return self.settings.get(name, name)

    def _write(self, name: str) -> Callable[[Path], Made]:
        def run(work: Path) -> Made:
            assert not list(work.iterdir())
            if name == "last":
                (work / "last").mkdir()
                (work / "last" / "a.txt").write_text("a")
            else:
                (work / f"{name}.txt").write_text(self._text(name))
            if name == self.fails:
                raise ParedownError("cannot go on: it fails")
            return Made(f"made {name}", passed=self.settings.get("refuses") != name)

        return run


@pytest.fixture
def pipeline(tmp_path: Path) -> Pipeline:
    return Pipeline(tmp_path / "evidence")


def _files(pipeline: Pipeline) -> set[str]:
    found = (path for path in pipeline.directory.rglob("*") if path.is_file())
    return {str(path.relative_to(pipeline.directory)) for path in found}


ALL = {"state.json", "one.txt", "other.txt", "last/a.txt"}


def test_what_is_unchanged_is_as_before(pipeline: Pipeline) -> None:
    assert pipeline.run() == ["one", "other", "last"]
    assert _files(pipeline) == ALL
    assert pipeline.run() == [f"{n} as before: made {n}" for n in ("one", "other", "last")]
    assert pipeline.run(force=True) == [f"{n}: --force" for n in ("one", "other", "last")]


def test_what_changed_is_done_again_with_all_that_is_made_of_it(pipeline: Pipeline) -> None:
    pipeline.run()
    pipeline.settings["one"] = "new"
    assert pipeline.run() == ["one: changed: text", "other as before: made other", "last"]
    (pipeline.directory / "other.txt").write_text("edited")
    assert pipeline.run()[1] == "other: changed: other.txt"
    (pipeline.directory / "last" / "a.txt").unlink()
    assert pipeline.run()[2] == "last: changed: last/a.txt"


def test_what_comes_out_the_same_changes_nothing_further(pipeline: Pipeline) -> None:
    pipeline.run()
    pipeline.settings["one but not its text"] = "new"
    assert pipeline.run() == [
        "one: changed: more",
        *(f"{n} as before: made {n}" for n in ("other", "last")),
    ]


def test_of_what_fails_nothing_that_was_made_of_it_is_left(pipeline: Pipeline) -> None:
    pipeline.run()
    pipeline.settings["one"], pipeline.fails = "new", "one"
    with pytest.raises(ParedownError, match="it fails"):
        pipeline.run()
    assert _files(pipeline) == {"state.json", "other.txt"}
    pipeline.fails = ""
    assert pipeline.run() == ["one", "other as before: made other", "last"]


def test_what_did_not_pass_is_kept_and_done_again(pipeline: Pipeline) -> None:
    pipeline.settings["refuses"] = "last"
    assert pipeline.run() == ["one", "other", "last", "last failed"]
    assert _files(pipeline) == ALL
    pipeline.settings.clear()
    assert pipeline.run()[2] == "last: did not pass"


def _killed_at(moment: int, pipeline: Pipeline) -> bool:
    """Run it in a process that is killed where it changes the directory for the N-th time."""
    child = os.fork()
    if not child:
        seen = itertools.count(1)

        def watch(event: str, arguments: tuple[object, ...]) -> None:
            here = arguments and str(pipeline.directory) in str(arguments[0])
            if here and event in _CHANGES and next(seen) == moment:
                os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(watch)
        pipeline.run()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


_CHANGES = ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir")


def test_killed_at_any_moment_the_next_run_goes_on(pipeline: Pipeline) -> None:
    pipeline.run()
    for moment in range(1, 200):
        last, pipeline.settings["one"] = pipeline.settings.get("one", "one"), f"text {moment}"
        killed = _killed_at(moment, pipeline)
        wanted = {"one.txt": {last, f"text {moment}"}, "other.txt": {"other"}, "last/a.txt": {"a"}}
        for name, texts in wanted.items():
            path = pipeline.directory / name
            assert not path.exists() or path.read_text() in texts
        pipeline.run()
        assert _files(pipeline) == ALL
        assert (pipeline.directory / "one.txt").read_text() == f"text {moment}"
        if not killed:
            break
    assert 20 < moment < 199


def test_nobody_else_is_at_work(pipeline: Pipeline) -> None:
    with (
        opened(pipeline.directory, Told(), force=False),
        pytest.raises(ParedownError, match="another paredown harden is at work there"),
    ):
        pipeline.run()
    pipeline.run()


def test_a_full_disk_is_a_clear_end(tmp_path: Path, require: Require) -> None:
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(tmp_path)], check=False
    )
    require(mounted.returncode == 0, "no tmpfs can be mounted")
    try:
        pipeline = Pipeline(tmp_path / "evidence")
        pipeline.run()
        pipeline.settings["one"] = "x" * 200_000
        with pytest.raises(ParedownError, match="cannot one: No space left on device"):
            pipeline.run()
        assert _files(pipeline) == {"state.json", "other.txt"}
        (tmp_path / "filler").write_bytes(b"x" * 40_000)
        pipeline.settings["one"] = "short"
        assert pipeline.run() == ["one", "other as before: made other", "last"]
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_an_image_is_claimed_before_it_is_replaced(pipeline: Pipeline) -> None:
    with opened(pipeline.directory, Told(), force=False) as steps:
        with pytest.raises(ParedownError, match="cannot write dir:x: it exists") as caught:
            steps.claim("dir:x", taken=True)
        assert "--force" in caught.value.hint
        steps.claim("dir:x", taken=False)
    # Killed while it was written, it is there, and ours.
    with opened(pipeline.directory, Told(), force=False) as steps:
        steps.claim("dir:x", taken=True)


def test_the_state_is_as_published(pipeline: Pipeline) -> None:
    pipeline.run()
    text = (pipeline.directory / state.FILE).read_text()
    validator("state-1.schema.json").validate(json.loads(text))
    found = state.read_state(pipeline.directory)
    assert dump_document(found, state.FORMAT, state.VERSION) == text
    (pipeline.directory / state.FILE).write_text("{")
    with pytest.raises(DamagedInputError) as caught:
        pipeline.run()
    assert caught.value.hint == "remove it: all steps are then done anew"
