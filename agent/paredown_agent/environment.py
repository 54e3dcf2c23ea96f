"""The environment that the agent was started with: what it starts gets that, and nothing else."""

from __future__ import annotations

import os
from pathlib import Path

# agent/bundle/launcher.c hides these from the bundle's own dynamic loader.
_HIDDEN_PREFIX = b"lD_"
_HIDDEN_NAME = b"gLIBC_TUNABLES"
# What Python sets where the locale is "C" (PEP 538), in isolated mode too.
_COERCED = b"LC_CTYPE"


def restore() -> None:
    """Undo in ``os.environ`` what the start of the interpreter, or of the bundle, changed.

    An interpreter without /proc keeps what it has.
    """
    for name in list(os.environb):
        if name.startswith(_HIDDEN_PREFIX) or name == _HIDDEN_NAME:
            os.environb[name[:1].upper() + name[1:]] = os.environb.pop(name)
    try:
        initial = Path("/proc/self/environ").read_bytes().split(b"\0")
    except OSError:
        return
    os.environb.pop(_COERCED, None)
    for name, _, value in (entry.partition(b"=") for entry in initial):
        if name == _COERCED:
            os.environb[name] = value
