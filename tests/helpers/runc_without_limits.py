"""An OCI runtime for hosts without CAP_SYS_RESOURCE: runc, told to raise no limits.

Podman asks for it by its own configuration; see ``podman_engine`` in the fixtures.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any


def value(words: list[str], *options: str) -> str | None:
    """Return the value of an option, joined or not."""
    for word, after in zip(words, [*words[1:], ""], strict=True):
        if word in options:
            return after
        if word.startswith(tuple(f"{option}=" for option in options)):
            return word.partition("=")[2]
    return None


def weaken(process: dict[str, Any]) -> None:
    """Drop from a process of the OCI specification what only CAP_SYS_RESOURCE allows."""
    process.pop("rlimits", None)
    capabilities = process.get("capabilities", {})
    for kind, names in capabilities.items():
        capabilities[kind] = [name for name in names if name != "CAP_SYS_RESOURCE"]


if __name__ == "__main__":
    if bundle := value(sys.argv[1:], "--bundle", "-b"):
        file = Path(bundle) / "config.json"
        config = json.loads(file.read_text())
        weaken(config["process"])
        file.write_text(json.dumps(config))
    if injected := value(sys.argv[1:], "--process", "-p"):
        process = json.loads(Path(injected).read_text())
        weaken(process)
        Path(injected).write_text(json.dumps(process))
    os.execvp("runc", ["runc", *sys.argv[1:]])
