"""CVEs before and after, version 1: what a scanner found in the original, and what became of it.

cves-1.schema.json is the published form. ``cves`` writes it, ``report``, ``gate`` and ``status``
read it. The three figures of Fate are never added up.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Literal

from paredown_schemas.documents import dump_document, read_document

FORMAT = "paredown-cves"
VERSION = 1

Side = Literal["before", "after"]
ScanFormat = Literal["grype", "trivy", "osv-scanner", "cyclonedx", "osv"]
Severity = Literal["critical", "high", "medium", "low", "negligible", "unknown"]
Fate = Literal[
    "gone",  # with its package: no file of it is left
    "file-gone",  # the files that it is in went, while the package is still declared
    "lost",  # from sight: its package is left, and yet the scan of the slim image lacks it
    "stays",
    "new",  # found in the slim image alone
]


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class Scan:
    """One scan that was read, or records that were matched."""

    side: Side
    format: ScanFormat
    sha256: str  # of the file; of a directory of records, of its files' names and digests
    tool: str | None = None  # "grype 0.79.1"
    database: str | None = None  # its version or time, as the tool tells
    image: str | None = None  # what the scan says that it scanned


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One vulnerability of one package, found in the original or in the slim image.

    ``package`` is its key in the plan, or of what owns the files that the scanner found it in; None
    where the plan knows neither, with ``fate`` by its files alone.
    """

    id: str  # CVE where there is one
    name: str  # the package's, as the scanner tells
    version: str
    severity: Severity
    fate: Fate
    package: str | None = None
    aliases: tuple[str, ...] = ()
    fixed: tuple[str, ...] = ()  # versions that no longer have it
    paths: tuple[str, ...] = ()  # where the scanner found it, if it tells


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class SeverityCount:
    """How many findings there are of one severity."""

    severity: Severity
    before: int
    after: int
    gone: int
    file_gone: int
    lost: int
    new: int


@dataclasses.dataclass(frozen=True)
class Cves:
    """All of it, for one plan; findings and counts are sorted, the worst first."""

    paredown: str
    plan: str  # id
    projected: bool  # no scan of the slim image: "after" follows from the plan
    scans: tuple[Scan, ...]
    counts: tuple[SeverityCount, ...]
    findings: tuple[Finding, ...]
    # Packages, by their keys, of which something is left and that a scan of the slim image, or the
    # slim image's own database, does not show: their CVEs would be out of sight.
    hidden: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()  # as of scans by different databases


def dump_cves(cves: Cves) -> str:
    """Return the JSON text."""
    return dump_document(cves, FORMAT, VERSION)


def read_cves(path: Path) -> Cves:
    """Read the file at ``path``; raises as documents.read_document does."""
    return read_document(Cves, path, "CVEs", FORMAT, VERSION)
