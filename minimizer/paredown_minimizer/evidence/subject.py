"""What the documents are about: an image under its names, and the time of which they speak."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import re
from collections.abc import Mapping
from typing import Any

from paredown_schemas.errors import ParedownError
from paredown_schemas.plan import Plan
from paredown_schemas.verification import Verification

_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


@dataclasses.dataclass(frozen=True, slots=True)
class NamedImage:
    """An image: its identity, and what its users call it.

    Its digest is that of its manifest, by which registries know it, and is known only where the
    reference has it: docker's and podman's own ids are mostly of the configuration.
    """

    identity: str | None = None
    reference: str | None = None  # "registry.example/shop/web:1-slim@sha256:…"

    @property
    def sha256(self) -> str | None:
        """Return the digest's number."""
        match = _DIGEST.fullmatch((self.reference or "").partition("@")[2])
        return match[1] if match else None

    @property
    def digest(self) -> str | None:
        """Return the digest as references have it."""
        return f"sha256:{self.sha256}" if self.sha256 else None

    @property
    def repository(self) -> str:
        """Return the reference without tag and digest; empty where there is none."""
        path, slash, name = (self.reference or "").partition("@")[0].rpartition("/")
        return path + slash + name.partition(":")[0]


def time_of(plan: Plan, verification: Verification | None) -> str | None:
    """Return when what the documents tell was seen: at the verification, else in the last run.

    None where neither says. No clock is asked, so that the same is told in the same bytes.
    """
    runs = sorted(trace.started or "" for trace in plan.traces)
    times = ([verification.started] if verification else []) + runs[::-1]
    return next(filter(_is_time, times), None)


def _is_time(text: str) -> bool:
    try:
        return bool(_TIME.fullmatch(text) and dt.datetime.fromisoformat(text.removesuffix("Z")))
    except ValueError:  # the 31st of February
        return False


def require_of(plan: Plan, made_of: str, what: str) -> None:
    """Refuse what was found out about another plan, whose id ``made_of`` is.

    Raises:
        ParedownError: it is another.
    """
    if made_of != plan.id:
        raise ParedownError(f"cannot tell of the plan what {what} says: it is of another plan")


def dump(document: Mapping[str, Any]) -> str:
    """Return the JSON text of a document."""
    return json.dumps(document, ensure_ascii=False, indent=2) + "\n"
