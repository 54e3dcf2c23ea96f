"""Any plan that the format can say, for properties that all plans have."""

from __future__ import annotations

import dataclasses
import typing
from typing import Any

from hypothesis import strategies as st

from paredown_schemas.names import decode_name
from paredown_schemas.plan import PackageDecision, Plan
from paredown_schemas.ranges import fold

_names = st.binary(min_size=1, max_size=20).filter(lambda raw: b"\0" not in raw).map(decode_name)


def _values(name: str, hint: Any) -> st.SearchStrategy[Any]:
    arguments = typing.get_args(hint)
    if name in ("path", "named_by", "directory", "target"):
        return _names.map(lambda text: "/" + text)
    if name == "location":
        return st.none() | _names.map(lambda text: "/" + text)
    if name == "image":
        identity = st.just("dir-sha256:" + "1" * 64)
        return identity if hint is str else st.none() | identity
    if name == "to":
        return st.none() | _names.map(lambda text: "/" + text)
    if name == "diff_id":
        return st.sampled_from(["sha256:" + "0" * 64, "sha256:" + "f" * 64])
    if name == "seen":
        return st.none() | st.sets(st.integers(0, 99), min_size=1).map(fold)
    if hint is bool:
        return st.booleans()
    if typing.get_origin(hint) is typing.Literal:
        return st.sampled_from(arguments)
    if typing.get_origin(hint) is tuple:
        few = st.lists(_values("", arguments[0]), min_size=int(name == "names"), max_size=3)
        return few.map(tuple)
    if arguments:
        return st.none() | _values(name, arguments[0])
    if dataclasses.is_dataclass(hint):
        return any_records(typing.cast("type", hint))
    return _names if hint is str else st.integers(0, 2**53)


def any_records(cls: type) -> st.SearchStrategy[Any]:
    """Return what makes records of a class of plans or of what becomes of them."""
    hints = typing.get_type_hints(cls)
    return st.builds(cls, **{name: _values(name, hint) for name, hint in hints.items()})


PACKAGES = any_records(PackageDecision)
PLANS = st.builds(
    Plan,
    **{
        **{name: _values(name, hint) for name, hint in typing.get_type_hints(Plan).items()},
        "image": st.sampled_from(["dir-sha256:", "image-sha256:"]).map(
            lambda kind: kind + "0" * 64
        ),
        "platform": st.sampled_from(["linux/amd64", "linux/arm/v7"]),
    },
)
