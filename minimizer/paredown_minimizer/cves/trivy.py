"""Trivy's JSON, schema 2 (aquasecurity/trivy, pkg/types/report.go, pkg/fanal/types/package.go).

It does not say which database it used. ``Packages`` are there with ``--list-all-pkgs`` alone,
which Trivy's later releases imply.
"""

from __future__ import annotations

from collections.abc import Iterator

from paredown_minimizer.cves import severity
from paredown_minimizer.cves.reading import Node
from paredown_minimizer.cves.scans import Found, Report, Subject, subject, vulnerabilities
from paredown_schemas.cves import ScanFormat

# Operating systems by their packages' type (pkg/fanal/types/const.go); all others have rpm's.
_SYSTEMS = {
    "alpine": "apk",
    "chainguard": "apk",
    "minimos": "apk",
    "wolfi": "apk",
    "debian": "deb",
    "echo": "deb",
    "ubuntu": "deb",
}


class Trivy:
    """``trivy image --format json``."""

    name: ScanFormat = "trivy"

    def detect(self, document: Node) -> bool:
        """Say whether it has a schema's version, and an artifact."""
        return "SchemaVersion" in document and "ArtifactName" in document

    def read(self, document: Node) -> Report:
        """Read it; see ``Reader.read``."""
        if document["SchemaVersion"].value != 2:
            raise document["SchemaVersion"].error("must be 2")
        results = list(document["Results"])
        known = {
            (result.path, package["ID"].text): package
            for result in results
            for package in result["Packages"]
        }
        version = document["Trivy"]["Version"].text
        return Report(
            self.name,
            tuple(
                found
                for result in results
                for vulnerability in result["Vulnerabilities"]
                for found in _vulnerability(
                    vulnerability, result, known.get((result.path, vulnerability["PkgID"].text))
                )
            ),
            packages=tuple(
                _package(package, result) for result in results for package in result["Packages"]
            ),
            tool=f"trivy {version}".strip(),
            created=document["CreatedAt"].text or None,
            image=document["ArtifactName"].text or None,
            layers=tuple(document["Metadata"]["DiffIDs"].texts()),
        )


def _vulnerability(vulnerability: Node, result: Node, package: Node | None) -> Iterator[Found]:
    yield from vulnerabilities(
        [vulnerability["VulnerabilityID"].name, *vulnerability["VendorIDs"].texts()],
        severity.by_word(vulnerability["Severity"].text),
        (version.strip() for version in vulnerability["FixedVersion"].text.split(",")),
        subject(
            vulnerability["PkgName"].name,
            vulnerability["InstalledVersion"].text,
            _type(result),
            vulnerability["PkgIdentifier"]["PURL"].text,
            source=package["SrcName"].text if package else "",
            paths=_paths(vulnerability["PkgPath"], result),
        ),
    )


def _package(package: Node, result: Node) -> Subject:
    epoch = package["Epoch"].word
    version = "-".join(filter(None, (package["Version"].text, package["Release"].text)))
    return subject(
        package["Name"].name,
        f"{epoch}:{version}" if epoch else version,
        _type(result),
        package["Identifier"]["PURL"].text,
        source=package["SrcName"].text,
        paths=_paths(package["FilePath"], result),
    )


def _type(result: Node) -> str:
    type_ = result["Type"].text
    return _SYSTEMS.get(type_, "rpm") if result["Class"].text == "os-pkgs" else type_


def _paths(own: Node, result: Node) -> list[str]:
    """Return where a package lies: of a binary's or lock file's the result names the file."""
    if own.text or result["Class"].text == "os-pkgs":
        return [own.text]
    return [result["Target"].text]
