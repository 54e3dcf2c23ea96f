"""OSV records: which versions they are about, how severe, and which CVEs.

Followed: the OSV schema 1.7, ossf.github.io/osv-schema, "Evaluation". What databases put into
``ecosystem_specific`` and ``database_specific`` is of no defined type: what is no text is nothing.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from typing import Any

from paredown_minimizer.cves import severity, versions
from paredown_minimizer.cves.reading import Node
from paredown_minimizer.cves.scans import is_cve
from paredown_schemas.cves import Severity

# "Important: openssl security update": Red Hat's advisories, and those made after them.
_SUMMARY = re.compile(r"(Critical|Important|Moderate|Low): ")
_CVSS = ("CVSS_V4", "CVSS_V3", "CVSS_V2")


def ids(record: Node) -> list[str]:
    """Return what the record is about: its own name first, then others for the same.

    Of advisories, the CVEs that they fix: newer ones have them as ``upstream``, others are merely
    ``related`` to them.
    """
    own = [record["id"].name, *record["aliases"].texts(), *record["upstream"].texts()]
    if any(map(is_cve, own)) or own[0].startswith(("GHSA-", "PYSEC-", "MAL-")):
        return own
    return [*own, *filter(is_cve, record["related"].texts())]


def how_severe(record: Node, affected: Node) -> Severity:
    """Return what the database says, or what the CVSS vectors mean."""
    words = [
        _word(specific, name)
        for specific in (
            affected["ecosystem_specific"],
            affected["database_specific"],
            record["database_specific"],
        )
        for name in ("urgency", "severity")
    ]
    told = [
        (each["type"].text, each["score"].text)
        for node in (affected, record)
        for each in node["severity"]
    ]
    summary = _SUMMARY.match(_word(record, "summary"))
    words += [score for type_, score in told if type_ not in _CVSS]
    words += [summary[1]] if summary else []
    known = [found for found in map(severity.by_word, words) if found != "unknown"]
    vectors = [score for type_, score in told if type_ in _CVSS]
    return known[0] if known else severity.worst(map(_by_vector, vectors))


def _word(node: Node, name: str) -> str:
    value = node.value.get(name) if isinstance(node.value, dict) else None
    return value if isinstance(value, str) else ""


@functools.lru_cache(maxsize=1 << 14)
def _by_vector(vector: str) -> Severity:
    import cvss  # noqa: PLC0415 - for records that have no word

    kind = {"CVSS:4.": cvss.CVSS4, "CVSS:3.": cvss.CVSS3}.get(vector[:7], cvss.CVSS2)
    try:
        return severity.by_score(float(kind(vector).base_score))
    except cvss.exceptions.CVSSError:
        return "unknown"


def hit(affected: Node, manager: str, version: str) -> list[str] | None:
    """Return the versions that fix it where ``version`` is affected; None where it is not.

    Raises:
        versions.UnknownVersionError: the range or the version cannot be compared.
    """
    if version in affected["versions"].texts():
        return fixes(affected)
    for each in affected["ranges"]:
        if each["type"].text != "GIT" and _in_range(each, manager, version):
            here = versions.key(manager, version)
            return [v for v in _values(each, "fixed") if here < versions.key(manager, v)]
    return None


def fixes(affected: Node) -> list[str]:
    """Return all versions that fix it, on whatever branch."""
    return [fixed for each in affected["ranges"] for fixed in _values(each, "fixed")]


def _in_range(range_: Node, manager: str, version: str) -> bool:
    here = versions.key(manager, version)
    limits = [limit for limit in _values(range_, "limit") if limit != "*"]
    if limits and not any(here < versions.key(manager, limit) for limit in limits):
        return False
    affected = False
    for kind, at in _in_order(range_, manager):
        if at is None or not here < at:
            affected = kind == "introduced" or (kind == "last_affected" and not at < here)
    return affected


def _in_order(range_: Node, manager: str) -> Iterator[tuple[str, Any]]:
    """Yield the events with their versions' keys, "0" as None: it is before any."""
    events = [
        (kind, versions.key(manager, value))
        for kind in ("introduced", "fixed", "last_affected")
        for value in _values(range_, kind)
        if (kind, value) != ("introduced", "0")
    ]
    if "0" in _values(range_, "introduced"):
        yield "introduced", None
    yield from sorted(events, key=functools.cmp_to_key(_compare))


def _compare(one: tuple[str, Any], other: tuple[str, Any]) -> int:
    return -1 if one[1] < other[1] else int(other[1] < one[1])


def _values(range_: Node, kind: str) -> list[str]:
    return [event[kind].text for event in range_["events"] if kind in event]
