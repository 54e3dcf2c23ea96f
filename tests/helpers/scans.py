"""Scanners' reports for tests, in the scanners' own shapes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

# Real reports and records, which are no part of the project.
SHARED = Path(__file__).resolve().parents[2].parent / "shared" / "data"


def write(path: Path, document: Mapping[str, Any]) -> Path:
    """Write a JSON file and return its path."""
    path.write_text(json.dumps(document))
    return path


def grype_match(
    id_: str, name: str, version: str, type_: str = "deb", **more: Any
) -> dict[str, Any]:
    """Return a match; ``severity``, ``fixed``, ``related``, ``paths``, ``purl``, ``upstream``."""
    return {
        "vulnerability": {
            "id": id_,
            "severity": more.get("severity", "High"),
            "fix": {"versions": list(more.get("fixed", ())), "state": ""},
        },
        "relatedVulnerabilities": [{"id": other} for other in more.get("related", ())],
        "matchDetails": [],
        "artifact": {
            "id": "0123456789abcdef",
            "name": name,
            "version": version,
            "type": type_,
            "locations": [{"path": path} for path in more.get("paths", ())],
            "purl": more.get("purl", ""),
            "upstreams": [{"name": up} for up in more.get("upstream", ())],
        },
    }


def grype(matches: Iterable[Mapping[str, Any]], **more: Any) -> dict[str, Any]:
    """Return a report of Grype with database v6; ``version``, ``built`` and ``layers``."""
    return {
        "matches": list(matches),
        "source": {
            "type": "image",
            "target": {
                "userInput": "app:1",
                "imageID": "sha256:" + "0" * 64,
                "layers": [{"digest": layer} for layer in more.get("layers", ())],
            },
        },
        "distro": {"name": "debian", "version": "12", "idLike": []},
        "descriptor": {
            "name": "grype",
            "version": more.get("version", "0.90.0"),
            "db": {
                "status": {
                    "schemaVersion": "v6.0.2",
                    "built": more.get("built", "2025-03-01T04:08:24Z"),
                    "valid": True,
                }
            },
        },
    }


def trivy_vulnerability(id_: str, name: str, version: str, **more: Any) -> dict[str, Any]:
    """Return a vulnerability; ``severity``, ``fixed``, ``purl``, ``path``."""
    found = {
        "VulnerabilityID": id_,
        "PkgID": f"{name}@{version}",
        "PkgName": name,
        "PkgIdentifier": {"PURL": more.get("purl", "")},
        "InstalledVersion": version,
        "Severity": more.get("severity", "HIGH"),
    }
    optional = {"FixedVersion": more.get("fixed"), "PkgPath": more.get("path")}
    return found | {key: value for key, value in optional.items() if value}


def trivy_result(vulnerabilities: Iterable[Mapping[str, Any]], **more: Any) -> dict[str, Any]:
    """Return a result, by default of Debian's packages; ``class_``, ``type_``, ``packages``."""
    result = {
        "Target": more.get("target", "app:1 (debian 12.0)"),
        "Class": more.get("class_", "os-pkgs"),
        "Type": more.get("type_", "debian"),
        "Vulnerabilities": list(vulnerabilities),
    }
    return result | ({"Packages": more["packages"]} if "packages" in more else {})


def trivy(*results: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """Return a report of Trivy; ``layers`` and ``created``."""
    return {
        "SchemaVersion": 2,
        "Trivy": {"Version": "0.60.0"},
        "CreatedAt": more.get("created", "2025-03-01T12:00:00Z"),
        "ArtifactName": "app:1",
        "ArtifactType": "container_image",
        "Metadata": {"DiffIDs": list(more.get("layers", ()))},
        "Results": list(results),
    }


def osv_scanner(*packages: Mapping[str, Any], path: str = "/var/lib/dpkg/status") -> dict[str, Any]:
    """Return a report of OSV-Scanner on one source of packages."""
    return {
        "results": [{"source": {"path": path, "type": "os"}, "packages": list(packages)}],
        "experimental_config": {"licenses": {"summary": False, "allowlist": None}},
        "image_metadata": {
            "os": "Debian GNU/Linux 12 (bookworm)",
            "layer_metadata": [
                {"diff_id": "sha256:" + "1" * 64, "command": "", "is_empty": False},
                {"diff_id": "", "command": "CMD sh", "is_empty": True},
            ],
            "base_images": [[]],
        },
    }


def record(id_: str, ecosystem: str, name: str, *events: Mapping[str, str], **more: Any) -> Any:
    """Return an OSV record of one range; what else of ``more``."""
    range_ = {"type": "ECOSYSTEM", "events": list(events)}
    affected = {"package": {"ecosystem": ecosystem, "name": name}, "ranges": [range_]}
    affected |= more.pop("affected", {})
    return {"id": id_, "modified": "2025-01-01T00:00:00Z", "affected": [affected], **more}


def below(fixed: str) -> tuple[dict[str, str], dict[str, str]]:
    """Return the events of a range from the beginning."""
    return {"introduced": "0"}, {"fixed": fixed}


_ODD: st.SearchStrategy[Any] = st.sampled_from(
    [None, True, 7, -1.5, "", "x\x00\ud800\x1b", "y" * 9000, [], [[]], {}, [{}]]
)


def anything_in(document: Any, data: st.DataObject) -> Any:
    """Return a copy of a document with a value of any type in one place."""
    copy = json.loads(json.dumps(document))
    *above, last = data.draw(st.sampled_from(_places(copy)[1:]))
    target = copy
    for step in above:
        target = target[step]
    target[last] = data.draw(_ODD)
    return copy


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items: Iterable[tuple[Any, Any]] = ()
    if isinstance(value, (dict, list)):
        items = value.items() if isinstance(value, dict) else enumerate(value)
    return [path, *(place for key, item in items for place in _places(item, (*path, key)))]
