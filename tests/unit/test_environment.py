"""What the agent starts gets the environment that the agent was started with."""

from __future__ import annotations

import json
import os
import subprocess
import sys

RESTORE = """
import json, os
from paredown_agent import environment
before = dict(os.environ)
environment.restore()
print(json.dumps([before, dict(os.environ)]))
"""


def _restored(given: dict[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    path = {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", RESTORE],
        env={**given, **path},
        check=True,
        capture_output=True,
        text=True,
    )
    before, after = json.loads(done.stdout)
    return before, {name: value for name, value in after.items() if name not in path}


def test_what_python_adds_for_the_c_locale_goes() -> None:
    before, after = _restored({"LC_ALL": ""})
    assert "LC_CTYPE" in before
    assert after == {"LC_ALL": ""}


def test_what_was_given_stays() -> None:
    given = {"LC_CTYPE": "C.UTF-8", "PATH": "/bin"}
    assert _restored(given)[1] == given


def test_what_the_launcher_hid_from_the_loader_comes_back() -> None:
    hidden = {"lD_PRELOAD": "/usr/lib/libjemalloc.so", "gLIBC_TUNABLES": "glibc.malloc.check=3"}
    expected = {"LD_PRELOAD": "/usr/lib/libjemalloc.so", "GLIBC_TUNABLES": "glibc.malloc.check=3"}
    assert _restored({**hidden, "LC_CTYPE": "C"})[1] == {**expected, "LC_CTYPE": "C"}
