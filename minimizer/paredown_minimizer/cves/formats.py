"""The formats of scans that are known."""

from __future__ import annotations

from pathlib import Path

from paredown_minimizer.cves.cyclonedx import CycloneDx
from paredown_minimizer.cves.grype import Grype
from paredown_minimizer.cves.osv_scanner import OsvScanner
from paredown_minimizer.cves.reading import parse, read_bytes, sha256
from paredown_minimizer.cves.scans import Reader, Report
from paredown_minimizer.cves.trivy import Trivy
from paredown_schemas.cves import Scan, Side
from paredown_schemas.errors import DamagedInputError
from paredown_schemas.names import escape_name

FORMATS: tuple[Reader, ...] = (Grype(), Trivy(), OsvScanner(), CycloneDx())


def read_scan(path: Path, side: Side) -> tuple[Scan, Report]:
    """Read a scanner's report of one of the images.

    Raises:
        DamagedInputError: it is of no known format, or malformed; with the JSON path.
        ParedownError: it cannot be read.
    """
    what = f"cannot read scan {escape_name(str(path))}"
    data = read_bytes(path, what)
    document = parse(data, what)
    reader = next((reader for reader in FORMATS if reader.detect(document)), None)
    if reader is None:
        known = ", ".join(reader.name for reader in FORMATS)
        raise DamagedInputError(f"{what}: of no format that is known: {known}")
    report = reader.read(document)
    scan = Scan(side, reader.name, sha256(data), report.tool, report.database, report.image)
    return scan, report
