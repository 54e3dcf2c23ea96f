"""policy.yaml, version 1: what people decided, with their reasons.

    version: 1
    pins:
      - keep: /usr/share/app/**
        reason: loaded once a year
      - remove: package:tzdata-legacy
        reason: not ours
    language_packages:
      - manager: npm
        path: /app/node_modules
        reason: the build's tools are among them
    unowned:
      - path: /opt/tools
        reason: nobody knows what of it is used

A pin that keeps is primary evidence. One that removes beats what is kept by default; where
something used needs what it removes, the plan is refused rather than broken. Where two pins name
the same path, keeping wins. What the other two name is decided like the system's packages, instead
of staying as the application.
"""

from __future__ import annotations

import dataclasses
import functools
import glob
import importlib.resources
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

from paredown_minimizer.globs import expand
from paredown_minimizer.image.model import Tree
from paredown_minimizer.packages.base import Inventory
from paredown_schemas.errors import ParedownError
from paredown_schemas.names import escape_name

_PACKAGE = "package:"
_LIMIT = 1 << 20
_DIGITS = 100


@dataclasses.dataclass(frozen=True, slots=True)
class Pin:
    """One decision of a person."""

    action: Literal["keep", "remove"]
    # A path pattern, package:NAME, package:NAME:ARCHITECTURE, package:MANAGER:NAME of a language's,
    # or package:KEY.
    target: str
    reason: str

    def paths(self, tree: Tree, inventory: Inventory) -> Iterator[str]:
        """Yield the paths that the pin names; of directories, all that is below them.

        Directories that a package lists are not its own: many list /usr/bin.
        """
        if self.target.startswith(_PACKAGE):
            name = self.target[len(_PACKAGE) :]
            for key, package in inventory.packages.items():
                short = package.name
                if package.location is not None:
                    short = f"{package.manager}:{package.name}"
                if name in (key, short):
                    owned = sorted(inventory.owned[key])
                    yield from (path for path in owned if not tree.leads_to_directory(path))
            return
        yield from named_paths(tree, self.target)


@dataclasses.dataclass(frozen=True, slots=True)
class HandOver:
    """Language packages of a manager, in a place or anywhere; or unowned files in a place."""

    manager: str | None
    path: str | None  # a path pattern
    reason: str


@dataclasses.dataclass(frozen=True, slots=True)
class Policy:
    """What a policy file says."""

    pins: tuple[Pin, ...] = ()
    language_packages: tuple[HandOver, ...] = ()
    unowned: tuple[HandOver, ...] = ()


def named_paths(tree: Tree, pattern: str) -> Iterator[str]:
    """Yield the paths that a pattern names; of directories, all that is below them."""
    for path in expand(tree, pattern):
        yield path
        if tree[tree.canonical(path)].type == "directory":
            yield from expand(tree, f"{glob.escape(path)}/**")


def read_policy(path: Path) -> Policy:
    """Read a policy file.

    Raises:
        ParedownError: unreadable, not YAML or not a policy; with line and JSON path.
    """
    what = f"cannot read policy {escape_name(str(path))}"
    try:
        text = path.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise ParedownError(f"{what}: not UTF-8") from error
    except OSError as error:
        raise ParedownError(f"{what}: {error.strerror}") from error
    return parse_policy(text, what)


def parse_policy(text: str, what: str = "cannot read policy") -> Policy:
    """Read a policy's text; ``what`` begins the messages. Raises as ``read_policy`` does."""
    import yaml  # noqa: PLC0415 - 30 ms, for those who have a policy

    if len(text) > _LIMIT:
        raise ParedownError(f"{what}: longer than {_LIMIT} characters")
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        _refuse_bombs(node)
        data = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        cause = escape_name(" ".join(str(error).split()))
        raise ParedownError(f"{what}: not YAML: {cause}") from error
    _validate(data, node, what)
    pins = [
        Pin(action, pin[action], pin["reason"])
        for pin in data.get("pins") or ()
        for action in _actions(pin)
    ]
    return Policy(
        tuple(pins),
        _hand_overs(data.get("language_packages")),
        _hand_overs(data.get("unowned")),
    )


def _hand_overs(entries: list[dict[str, str]] | None) -> tuple[HandOver, ...]:
    return tuple(
        HandOver(entry.get("manager"), entry.get("path"), entry["reason"])
        for entry in entries or ()
    )


def _refuse_bombs(root: Any) -> None:
    """Refuse what a few lines of YAML 1.1 unfold to without measure, merge keys and base 60."""
    seen: set[int] = set()
    pending = [root] if root is not None else []
    while pending:
        node = pending.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        line = f"line {node.start_mark.line + 1}"
        if node.tag.endswith(":merge"):
            raise ValueError(f"{line}: merge keys (<<) are not taken")
        if node.tag.endswith((":int", ":float")) and len(node.value) > _DIGITS:
            raise ValueError(f"{line}: a number of more than {_DIGITS} digits")
        if isinstance(node.value, list):
            for item in node.value:
                pending += item if isinstance(item, tuple) else [item]


def _actions(pin: dict[str, str]) -> list[Literal["keep", "remove"]]:
    return ["keep"] if "keep" in pin else ["remove"]


@functools.cache
def _validator() -> Callable[[Any], Any]:
    import fastjsonschema  # noqa: PLC0415

    schema = importlib.resources.files("paredown_schemas") / "policy-1.schema.json"
    validate: Callable[[Any], Any] = fastjsonschema.compile(json.loads(schema.read_text("utf-8")))
    return validate


def _validate(data: Any, node: Any, what: str) -> None:
    import fastjsonschema  # noqa: PLC0415

    try:
        _validator()(data)
    except fastjsonschema.JsonSchemaValueException as error:
        name = str(error.name)
        where = name.replace("data", "$", 1)
        message = str(error.message).removeprefix(name).strip()
        raise ParedownError(f"{what}: line {_line(node, error.path)}: {where} {message}") from error


def _line(node: Any, path: list[Any]) -> int:
    """Return the line of the YAML node that a JSON path leads to, or of its nearest parent."""
    for step in path[1:]:
        below = None
        if node is not None and isinstance(node.value, list):
            if isinstance(step, int) or step.isdecimal():
                below = node.value[int(step)] if int(step) < len(node.value) else None
            else:
                below = next((v for k, v in node.value if k.value == step), None)
        if below is None:
            break
        node = below
    return 1 if node is None else node.start_mark.line + 1
