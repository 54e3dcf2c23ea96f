"""CycloneDX documents with vulnerabilities, 1.4 to 1.6 (ECMA-424), as JSON.

Read here and not by cyclonedx-python-lib: its models refuse what scanners write (purls that it
does not take, licences), and tell no place in the document. Where a component lies is in properties
of Syft's and Trivy's, or in its evidence. What an analysis says is no finding (``not_affected``,
``false_positive``, ``resolved``) is none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from urllib.parse import unquote

from paredown_minimizer.cves import severity
from paredown_minimizer.cves.reading import Node
from paredown_minimizer.cves.scans import Found, Report, Subject, subject, vulnerabilities
from paredown_schemas.cves import ScanFormat, Severity

_PLACES = re.compile(r"syft:location:\d+:path|aquasecurity:trivy:(FilePath|PkgPath)")
_TYPES = ("syft:package:type", "aquasecurity:trivy:PkgType")
_LAYER = "aquasecurity:trivy:DiffID"
_NO_FINDING = {"not_affected", "false_positive", "resolved", "resolved_with_pedigree"}
# Trivy's: "Upgrade openssl to version 3.0.2; Upgrade libssl3 to version 3.0.2"
_ADVICE_LIMIT = 1 << 16
_UPGRADE = re.compile(r"Upgrade (?P<name>\S+) to version (?P<versions>[^;]+)")


class CycloneDx:
    """A CycloneDX document, by Trivy, Grype or others."""

    name: ScanFormat = "cyclonedx"

    def detect(self, document: Node) -> bool:
        """Say whether it says so."""
        return bool(document["bomFormat"].value == "CycloneDX")

    def read(self, document: Node) -> Report:
        """Read it; see ``Reader.read``."""
        metadata = document["metadata"]
        root = metadata["component"]
        components = dict(_components(document))
        subjects = {ref: _package(component) for ref, component in components.items()}
        return Report(
            self.name,
            tuple(
                found
                for vulnerability in document["vulnerabilities"]
                for found in _vulnerability(vulnerability, subjects)
            ),
            packages=tuple(s for ref, s in subjects.items() if "purl" in components[ref]),
            tool=_tool(metadata["tools"]),
            created=metadata["timestamp"].text or None,
            image=root["name"].text or None,
            layers=tuple(value for name, value in _properties(root) if name == _LAYER),
        )


def _components(document: Node) -> Iterator[tuple[str, Node]]:
    """Yield all by their references, those in others too; a nameless one by its place."""
    pending = list(document["components"])
    while pending:
        component = pending.pop()
        pending += component["components"]
        yield component["bom-ref"].text or component.path, component


def _package(component: Node) -> Subject:
    properties = _properties(component)
    paths = [value for name, value in properties if _PLACES.fullmatch(name)]
    occurrences = component["evidence"]["occurrences"]
    types = [value for name, value in properties if name in _TYPES]
    return subject(
        component["name"].name,
        component["version"].text,
        types[0] if types else "",
        component["purl"].text,
        paths=[*paths, *(each["location"].text for each in occurrences)],
    )


def _properties(component: Node) -> list[tuple[str, str]]:
    return [(each["name"].text, each["value"].text) for each in component["properties"]]


def _vulnerability(vulnerability: Node, subjects: Mapping[str, Subject]) -> Iterator[Found]:
    if vulnerability["analysis"]["state"].text in _NO_FINDING:
        return
    others = [reference["id"].text for reference in vulnerability["references"]]
    advice = _UPGRADE.findall(str(vulnerability["recommendation"].value)[:_ADVICE_LIMIT])
    for affected in vulnerability["affects"]:
        found_in = _affected(affected["ref"].name, subjects)
        fixed = [
            version for name, text in advice if name == found_in.name for version in text.split(",")
        ]
        yield from vulnerabilities(
            [vulnerability["id"].name, *others],
            _severity(vulnerability),
            map(str.strip, fixed),
            found_in,
        )


def _affected(reference: str, subjects: Mapping[str, Subject]) -> Subject:
    """Return the component of a reference, or of a BOM-Link to one: urn:cdx:SERIAL/1#REF."""
    name = unquote(reference.partition("#")[2]) if reference.startswith("urn:cdx:") else reference
    if name in subjects:
        return subjects[name]
    return subject("" if name.startswith("pkg:") else name, "", "", name)


def _severity(vulnerability: Node) -> Severity:
    """Return the rating by the source that told of it, or the worst of all."""
    source = vulnerability["source"]["name"].text
    ratings = [(each["source"]["name"].text, _rated(each)) for each in vulnerability["ratings"]]
    own = [rating for name, rating in ratings if name == source and rating != "unknown"]
    return severity.worst(own or [rating for _, rating in ratings])


def _rated(rating: Node) -> Severity:
    score = rating["score"].value
    if "severity" not in rating and isinstance(score, (int, float)):
        return severity.by_score(score)
    return severity.by_word(rating["severity"].text)


def _tool(tools: Node) -> str | None:
    """Return the first: a list up to 1.4, an object with components since."""
    listed = list(tools["components"] if isinstance(tools.value, dict) else tools)
    for tool in listed[:1]:
        return f"{tool['name'].text} {tool['version'].text}".strip() or None
    return None
