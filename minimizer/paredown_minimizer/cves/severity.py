"""How severe a vulnerability is, in one set of words."""

from __future__ import annotations

from collections.abc import Iterable
from typing import get_args

from paredown_schemas.cves import Severity

# The worst first.
ORDER: tuple[Severity, ...] = get_args(Severity)
# Scanners' and vendors' words. Red Hat's: access.redhat.com, "Severity ratings"; Debian's:
# security-tracker.debian.org; CycloneDX 1.6, "severity". What is not here, such as "end-of-life"
# and "not yet assigned", says nothing.
_WORDS: dict[str, Severity] = {
    "critical": "critical",
    "high": "high",
    "important": "high",
    "medium": "medium",
    "moderate": "medium",
    "low": "low",
    "minor": "low",
    "negligible": "negligible",
    "unimportant": "negligible",
    "info": "negligible",
    "none": "negligible",
}


def by_word(word: str) -> Severity:
    """Return the severity that a scanner's or vendor's word means."""
    return _WORDS.get(word.strip().rstrip("*").lower(), "unknown")


def by_score(score: float) -> Severity:
    """Return the severity of a CVSS score (CVSS v3.1, "Qualitative Severity Rating Scale")."""
    for least, severity in ((9.0, "critical"), (7.0, "high"), (4.0, "medium"), (0.1, "low")):
        if score >= least:
            return by_word(severity)
    return "negligible"


def worst(severities: Iterable[Severity]) -> Severity:
    """Return the worst of several; what is known is worse than what is not."""
    return min(severities, key=ORDER.index, default="unknown")
