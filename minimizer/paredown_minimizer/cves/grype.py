"""Grype's JSON (anchore/grype, grype/presenter/models: document.go, match.go, package.go).

``descriptor.db`` is a status in Grype up to 0.87, and has the status in it since (database v6).
"""

from __future__ import annotations

from collections.abc import Iterator

from paredown_minimizer.cves import severity
from paredown_minimizer.cves.reading import Node
from paredown_minimizer.cves.scans import Found, Report, Subject, subject, vulnerabilities
from paredown_schemas.cves import ScanFormat


class Grype:
    """``grype -o json``."""

    name: ScanFormat = "grype"

    def detect(self, document: Node) -> bool:
        """Say whether there are matches and a descriptor."""
        return "matches" in document and "descriptor" in document

    def read(self, document: Node) -> Report:
        """Read it; see ``Reader.read``."""
        descriptor = document["descriptor"]
        target = document["source"]["target"]
        is_image = isinstance(target.value, dict)
        layers = [layer["digest"].text for layer in target["layers"]] if is_image else []
        return Report(
            self.name,
            tuple(found for match in document["matches"] for found in _match(match)),
            tool=f"{descriptor['name'].text or 'grype'} {descriptor['version'].text}".strip(),
            database=_database(descriptor["db"]),
            created=descriptor["timestamp"].text or None,
            image=(target["userInput"].text if is_image else target.text) or None,
            layers=tuple(filter(None, layers)),
        )


def _match(match: Node) -> Iterator[Found]:
    vulnerability = match["vulnerability"]
    related = [other["id"].text for other in match["relatedVulnerabilities"]]
    yield from vulnerabilities(
        [vulnerability["id"].name, *related],
        severity.by_word(vulnerability["severity"].text),
        vulnerability["fix"]["versions"].texts(),
        _package(match["artifact"]),
    )


def _package(artifact: Node) -> Subject:
    upstreams = [upstream["name"].text for upstream in artifact["upstreams"]]
    return subject(
        artifact["name"].name,
        artifact["version"].text,
        artifact["type"].text,
        artifact["purl"].text,
        source=next(iter(upstreams), ""),
        paths=[location["path"].text for location in artifact["locations"]],
    )


def _database(database: Node) -> str | None:
    status = database["status"]
    told = database if status.value is None else status
    schema = told["schemaVersion"].word
    return ", ".join(filter(None, (schema and f"schema {schema}", told["built"].text))) or None
