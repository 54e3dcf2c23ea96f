"""Pins that the tool adds to a policy file, as text: not another byte of it changes.

A parser that keeps comments and order would still wrap, indent and quote anew what people wrote.
So the file is not written from data: where the list of pins ends is told by the parser's events,
the new ones go there in the style of their neighbours, and the result must read as the old policy
with the new pins.
"""

from __future__ import annotations

import dataclasses
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from paredown_minimizer.output import write_output
from paredown_minimizer.policy import Pin, Policy
from paredown_minimizer.policyfile import parse_policy
from paredown_minimizer.yamlfile import read_text
from paredown_schemas.errors import ParedownError
from paredown_schemas.names import escape_name

_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
_EMPTY = "version: 1\n"
_PLAIN = ("expires", "alone")  # YAML's own: a date, a boolean


def add_pins(path: Path, pins: Sequence[Pin]) -> list[Pin]:
    """Add pins to a policy file, which is made where there is none; return those that were new.

    Raises:
        ParedownError: it cannot be read or written, is no policy, or is of a form that nothing can
            be added to.
    """
    what = f"cannot add pins to {escape_name(str(path))}"
    text = read_text(path, what) if path.exists() else _EMPTY
    policy = parse_policy(text, what)
    parse_policy(_EMPTY + "pins:\n" + "".join(_block(pins, "", 2, "\n")), what)
    known = {(pin.action, pin.target) for pin in policy.pins}
    new = [pin for pin in pins if (pin.action, pin.target) not in known]
    if new:
        write_output(str(path), with_pins(text, policy, new, what), force=True)
    return new


def with_pins(text: str, policy: Policy, pins: Sequence[Pin], what: str) -> str:
    """Return a policy's text with more pins at the end of its list."""
    added = _insert(text, pins)
    expected = dataclasses.replace(policy, pins=(*policy.pins, *pins))
    try:
        same = parse_policy(added) == expected
    except ParedownError:
        same = False
    if not same:
        raise ParedownError(
            f"{what}: its form leaves no place that is known for certain",
            hint="write them by hand:\n" + "".join(_block(pins, "", 2, "\n")).rstrip(),
        )
    return added


@dataclasses.dataclass
class _Node:
    """A part of the text: where it is, and its children; of a mapping keys and values in turn."""

    start: Any  # yaml's mark
    end: Any
    children: list[_Node]
    collection: bool = False
    flow: bool = False

    @property
    def last(self) -> int:
        """Return the index behind the last character; the parser's is behind comments, too."""
        if self.collection and not self.flow and self.children:
            return self.children[-1].last
        return int(self.end.index)

    def value(self, key: str, text: str) -> _Node | None:
        pairs = zip(self.children[::2], self.children[1::2], strict=True)
        for name, value in pairs:
            if text[name.start.index : name.end.index].strip("'\"") == key:
                return value
        return None


def _parsed(text: str) -> _Node:
    """Return the text's one document. Unlike composed nodes, aliases have their own place."""
    import yaml  # noqa: PLC0415

    stack: list[_Node] = [_Node(None, None, [])]
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.CollectionEndEvent):
            stack.pop().end = event.end_mark
        elif isinstance(event, yaml.NodeEvent):
            node = _Node(event.start_mark, event.end_mark, [])
            stack[-1].children.append(node)
            if isinstance(event, yaml.CollectionStartEvent):
                node.collection, node.flow = True, bool(event.flow_style)
                stack.append(node)
    return stack[0].children[0]


def _insert(text: str, pins: Sequence[Pin]) -> str:
    # A mark counts characters without a byte order mark.
    start = int(text.startswith("\ufeff"))
    head, text = text[:start], text[start:]
    ends = _BREAK.search(text)
    newline = ends[0] if ends else "\n"
    root = _parsed(text)
    listed = root.value("pins", text)
    if listed is None and root.flow:
        at, new = root.last - 1, f"{', ' if root.children else ''}pins: [{_flow(pins)}]"
    elif listed is None:
        margin = " " * root.start.column
        at = root.last
        new = f"{margin}pins:{newline}" + "".join(_block(pins, f"{margin}  ", 2, newline))
        return head + _line_after(text, at, new, newline)
    elif not listed.collection:
        # ``pins:`` without a value, or null
        margin = " " * root.start.column
        text = text[: listed.start.index] + text[listed.end.index :]
        new = "".join(_block(pins, f"{margin}  ", 2, newline))
        return head + _line_after(text, listed.start.index, new, newline)
    elif listed.flow:
        at = listed.children[-1].last if listed.children else listed.start.index + 1
        new = f", {_flow(pins)}" if listed.children else _flow(pins)
    else:
        return head + _line_after(text, listed.last, _like(listed, pins, newline), newline)
    return head + text[:at] + new + text[at:]


def _like(listed: _Node, pins: Sequence[Pin], newline: str) -> str:
    """Return new items of a block list in the style of its last one."""
    margin, item = " " * listed.start.column, listed.children[-1]
    if item.flow:
        return "".join(f"{margin}- {_flow([pin])}{newline}" for pin in pins)
    width = item.start.column - listed.start.column if item.collection else 2
    return "".join(_block(pins, margin, width, newline))


def _line_after(text: str, index: int, new: str, newline: str) -> str:
    """Return the text with ``new`` after the line that ends at or after ``index``."""
    if index and _BREAK.fullmatch(text[index - 1]) and text[index - 1 : index + 1] != "\r\n":
        end = index  # a block of text, which has its line's end
    else:
        found = _BREAK.search(text, index)
        end = found.end() if found else len(text)
        new = new if found else newline + new
    return text[:end] + new + text[end:]


def _block(pins: Sequence[Pin], margin: str, width: int, newline: str) -> Iterator[str]:
    for pin in pins:
        dash = f"{margin}-".ljust(len(margin) + width)
        for key, value in _fields(pin):
            text = value if key in _PLAIN else _scalar(value, flow=False)
            yield f"{dash}{key}: {text}{newline}"
            dash = " " * len(dash)


def _flow(pins: Sequence[Pin]) -> str:
    items = []
    for pin in pins:
        fields = (
            f"{key}: {value if key in _PLAIN else _scalar(value, flow=True)}"
            for key, value in _fields(pin)
        )
        items.append(f"{{{', '.join(fields)}}}")
    return ", ".join(items)


def _fields(pin: Pin) -> Iterator[tuple[str, str]]:
    yield pin.action, pin.target
    yield "reason", pin.reason
    if pin.expires:
        yield "expires", pin.expires
    if pin.alone:
        yield "alone", "true"


def _scalar(value: str, *, flow: bool) -> str:
    import yaml  # noqa: PLC0415

    # What does not show is escaped, so that a reviewer sees what is pinned.
    style = None if value.isprintable() else '"'
    data = [value] if flow else {"": value}
    text: str = yaml.safe_dump(
        data,
        default_flow_style=flow,
        default_style=style,
        allow_unicode=style is None,
        width=sys.maxsize,
    )
    return text.strip()[1:-1] if flow else text.strip().partition(": ")[2]
