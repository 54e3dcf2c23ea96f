"""paredown.yaml, version 1: which images are hardened, by which scenarios and tests.

The schema is paredown-1.schema.json; docs/hardening.md shows a whole file.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from paredown_minimizer.image.source import refuse_source, split_spec
from paredown_minimizer.yamlfile import Document, parse_document, read_text
from paredown_schemas.errors import ParedownError, UsageError
from paredown_schemas.names import escape_name
from paredown_schemas.plan import Granularity

# What lies in an image's evidence directory, beside the traces and the state.
PLAN = "plan.json"
VERIFICATION = "verification.json"
CVES = "cves.json"
REPORT = "report"

_SECONDS = {"s": 1, "m": 60, "h": 3600}
_STARTED = ("dir", "docker", "podman")  # kinds of images that can be started where they are


@dataclasses.dataclass(frozen=True, slots=True)
class Command:
    """A scenario or a test, as ``sh -c`` takes it."""

    name: str
    command: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ImageConfig:
    """One image of the file. Paths are as written; times are seconds."""

    name: str
    source: str
    output: str
    run: str | None
    compose: Path | None
    service: str | None
    ready: str | None
    ready_within: int
    scenarios: tuple[Command, ...]
    tests: tuple[Command, ...]
    timeout: int
    policy: Path | None
    granularity: Granularity
    accept_partial: bool
    keep_layers: bool
    repair: int
    scan: str | None
    osv: Path | None
    author: str | None
    evidence: Path


def read_project(path: Path) -> tuple[ImageConfig, ...]:
    """Read a paredown.yaml; return its images in their order.

    Raises:
        ParedownError: unreadable, not YAML, or not such a file; with line and JSON path.
    """
    what = f"cannot read {escape_name(str(path))}"
    if not path.exists():
        hint = "write one that says what to harden: docs/hardening.md has an example"
        raise ParedownError(f"{what}: there is no such file", hint=hint)
    return parse_project(read_text(path, what), what)


def parse_project(text: str, what: str) -> tuple[ImageConfig, ...]:
    """Read such a file's text; ``what`` begins the messages. Raises as ``read_project`` does."""
    document = parse_document(text, what, "paredown-1.schema.json")
    images = tuple(_image(entry) for entry, _ in document.entries("images"))
    for number, image in enumerate(images):
        _check(document, number, image)
    for key in ("name", "output", "evidence"):
        _refuse_twice(document, (str(getattr(image, key)) for image in images), key)
    return images


def _image(entry: dict[str, Any]) -> ImageConfig:
    scenarios = _commands(entry["scenarios"])
    return ImageConfig(
        name=entry["name"],
        source=entry["source"],
        output=entry["output"],
        run=entry.get("run"),
        compose=_path(entry, "compose"),
        service=entry.get("service"),
        ready=entry.get("ready"),
        ready_within=_seconds(entry.get("ready_within", 60)),
        scenarios=scenarios,
        tests=_commands(entry["tests"]) if "tests" in entry else scenarios,
        timeout=_seconds(entry.get("timeout", "10m")),
        policy=_path(entry, "policy"),
        granularity=entry.get("granularity", "package"),
        accept_partial=entry.get("accept_partial", False),
        keep_layers=entry.get("keep_layers", False),
        repair=entry.get("repair", 0),
        scan=entry.get("scan"),
        osv=_path(entry, "osv"),
        author=entry.get("author"),
        evidence=_path(entry, "evidence") or Path("evidence", entry["name"]),
    )


def _commands(entries: Iterable[dict[str, str]]) -> tuple[Command, ...]:
    return tuple(Command(entry["name"], entry["command"]) for entry in entries)


def _path(entry: dict[str, str], key: str) -> Path | None:
    return Path(entry[key]) if key in entry else None


def _seconds(value: int | str) -> int:
    if isinstance(value, int):
        return value
    return int(value[:-1]) * _SECONDS[value[-1]]


def _check(document: Document, number: int, image: ImageConfig) -> None:
    """Refuse what cannot be meant; raises ParedownError."""
    where = ("images", number)
    kinds = {}
    for key in ("source", "output"):
        try:
            kinds[key], _ = split_spec(getattr(image, key))
        except ParedownError as error:
            raise document.error(f"names no image: {error}", *where, key) from error
    if kinds["source"] not in _STARTED:
        message = f"is a {kinds['source']}: image; load it into an engine, to be started there"
        raise document.error(message, *where, "source")
    if kinds["output"] != kinds["source"]:
        message = f"is a {kinds['output']}: image; to be started as the source is, it has to be a "
        raise document.error(f"{message}{kinds['source']}: one", *where, "output")
    try:
        refuse_source(image.source, image.output, force=False)
    except ParedownError as error:
        raise document.error(f"cannot be: {error}", *where, "output") from error
    if image.run is not None and kinds["source"] != "dir" and "{image}" not in image.run:
        raise document.error("has no {image}, which stands for the image", *where, "run")
    if image.scan is not None and "{image}" not in image.scan:
        raise document.error("has no {image}, which stands for the image", *where, "scan")
    if image.repair and image.policy is None:
        raise document.error("needs a policy, to which pins are added", *where, "repair")
    for key in ("scenarios", "tests"):
        names = (command.name for command in getattr(image, key))
        if (twice := _twice(names)) is not None:
            raise document.error("is there twice", *where, key, twice, "name")


def _refuse_twice(document: Document, values: Iterable[str], key: str) -> None:
    if (twice := _twice(values)) is not None:
        raise document.error("is another image's, too", "images", twice, key)


def _twice(values: Iterable[str]) -> int | None:
    """Return the index of the first that was there before."""
    return next(_repeated(values), None)


def _repeated(values: Iterable[str]) -> Iterator[int]:
    seen: set[str] = set()
    for number, value in enumerate(values):
        if value in seen:
            yield number
        seen.add(value)


def chosen(images: Sequence[ImageConfig], name: str | None) -> Sequence[ImageConfig]:
    """Return the image of a name, or all; raises UsageError where there is none."""
    found = [image for image in images if name in (None, image.name)]
    if not found:
        names = ", ".join(image.name for image in images)
        raise UsageError(f"cannot find image {escape_name(str(name))}", hint=f"there is: {names}")
    return found
