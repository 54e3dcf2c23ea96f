"""OSV-Scanner's JSON (google/osv-scanner, pkg/models: results.go, image.go).

It tells neither its version nor when it asked the database. ``package.name`` is the source
package's for Debian and Alpine, beside ``os_package_name`` since 2.0.1. Packages without a
vulnerability are there with ``--all-packages`` alone.
"""

from __future__ import annotations

from collections.abc import Iterator

from paredown_minimizer.cves import records, severity
from paredown_minimizer.cves.ecosystems import manager_of
from paredown_minimizer.cves.reading import Node
from paredown_minimizer.cves.scans import Found, Report, Subject, vulnerabilities
from paredown_schemas.cves import ScanFormat, Severity


class OsvScanner:
    """``osv-scanner scan image --format json``."""

    name: ScanFormat = "osv-scanner"

    def detect(self, document: Node) -> bool:
        """Say whether there are results of packages."""
        return isinstance(document.value.get("results"), list) and "matches" not in document

    def read(self, document: Node) -> Report:
        """Read it; see ``Reader.read``."""
        told = [
            (_package(package["package"], result["source"]), package)
            for result in document["results"]
            for package in result["packages"]
        ]
        clean = any(not list(package["vulnerabilities"]) for _, package in told)
        layers = document["image_metadata"]["layer_metadata"]
        return Report(
            self.name,
            tuple(found for subject, package in told for found in _found(subject, package)),
            packages=tuple(subject for subject, _ in told) if clean else (),
            tool="osv-scanner",
            layers=tuple(
                layer["diff_id"].text for layer in layers if layer["is_empty"].value is not True
            ),
        )


def _package(package: Node, source: Node) -> Subject:
    path = source["path"].text
    name, binary = package["name"].name, package["os_package_name"].text
    return Subject(
        binary or name,
        package["version"].text,
        manager_of(package["ecosystem"].text),
        source=name if binary else "",
        paths=(path,) if path.startswith("/") else (),
    )


def _found(subject: Subject, package: Node) -> Iterator[Found]:
    scores = {id_: _scored(group) for group in package["groups"] for id_ in group["ids"].texts()}
    for record in package["vulnerabilities"]:
        about = [each for each in record["affected"] if _is_about(each, subject)]
        levels = [records.how_severe(record, each) for each in about]
        level = severity.worst([*levels, *([] if levels else [_known(record)])])
        fixed = [version for each in about for version in records.fixes(each)]
        if level == "unknown":
            level = scores.get(record["id"].name, level)
        yield from vulnerabilities(records.ids(record), level, fixed, subject)


def _is_about(affected: Node, subject: Subject) -> bool:
    name = affected["package"]["name"].text
    same = manager_of(affected["package"]["ecosystem"].text) == subject.type
    return same and name in (subject.name, subject.source)


def _known(record: Node) -> Severity:
    return records.how_severe(record, Node({}, record.what))


def _scored(group: Node) -> Severity:
    """Return what the highest CVSS score of a group means, a text such as "7.5"."""
    try:
        return severity.by_score(float(group["max_severity"].text))
    except ValueError:
        return "unknown"
