"""The real programs that the main job is tried on, and how: record, plan, apply, ask again."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import rootfs
import server

BIN = Path(sys.executable).parent
AGENT = str(BIN / "paredown-agent")
PAREDOWN = str(BIN / "paredown")


@dataclasses.dataclass(frozen=True)
class Application:
    """A server in a root filesystem, and everything that it can answer."""

    name: str
    rootfs: str
    command: tuple[str, ...]
    port: int
    views: tuple[str, ...]

    @property
    def source(self) -> Path:
        """Return the original tree; only to be read."""
        return rootfs.cached(self.rootfs)


Answers = dict[str, tuple[int, bytes]]


def run(*command: str | Path) -> str:
    """Run a command that must work; return what it printed.

    Raises:
        AssertionError: it did not work, with what it said.
    """
    result = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert result.returncode == 0, f"{command}: {result.stderr}"
    return result.stdout


def record(
    application: Application, tree: Path, trace: Path, paths: Sequence[str] = ("/",)
) -> Answers:
    """Run the application in ``tree`` under the agent; return what the paths answered."""
    command = [AGENT, "record", "--rootfs", str(tree), "-o", str(trace), "--force", "--"]
    log = trace.with_suffix(".log")
    with server.serve([*command, *application.command], application.port, log=log) as running:
        answers = {path: running.get(path) for path in paths}
    return {path: (answer.status, answer.body) for path, answer in answers.items()}


def slim(application: Application, granularity: str, space: Path) -> tuple[Path, Path]:
    """Record with GET / alone, plan and apply; return the plan and the slim tree."""
    stem = re.sub(r"\W+", "-", f"{application.name}-{granularity}")
    trace, plan, tree = (space / f"{stem}{end}" for end in (".trace", ".plan.json", ""))
    record(application, application.source, trace)
    source = f"dir:{application.source}"
    run(PAREDOWN, "plan", source, "--trace", trace, "--granularity", granularity, "-o", plan)
    run(PAREDOWN, "apply", plan, source, "-o", f"dir:{tree}")
    return plan, tree


def flask_views() -> tuple[str, ...]:
    """Return the paths that the Flask application serves."""
    source = (rootfs.DATA / "flask_app" / "app.py").read_text()
    return tuple(re.findall(r'@app\.get\("([^"]+)"\)', source))


NGINX = Application("nginx", "nginx", ("nginx", "-g", "daemon off;"), 80, ("/",))
GUNICORN = Application(
    "Flask by gunicorn",
    "flask",
    ("gunicorn", "--chdir", "/app", "--bind", "127.0.0.1:8000", "app:app"),
    8000,
    flask_views(),
)
FLASK = Application(
    "Flask by python3 -m flask",
    "flask",
    ("python3", "-m", "flask", "--app", "/app/app.py", "run", "--port", "8000"),
    8000,
    flask_views(),
)
APPLICATIONS = (NGINX, GUNICORN, FLASK)
