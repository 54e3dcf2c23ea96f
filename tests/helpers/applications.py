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
    views: tuple[str, ...] = ()
    clients: tuple[tuple[str, ...], ...] = ()  # commands of the tree itself that load the server
    tree: Path | None = None  # where it is no recipe's

    @property
    def source(self) -> Path:
        """Return the original tree; only to be read."""
        return self.tree or rootfs.cached(self.rootfs)


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
REDIS = Application(
    "redis",
    "redis",
    ("redis-server", "--dir", "/var/lib/redis", "--appendonly", "yes", "--save", "1", "1"),
    6379,
    clients=(("redis-benchmark", "-q", "-n", "2000"), ("redis-cli", "bgsave")),
)
PGBENCH = ("/usr/lib/postgresql/15/bin/pgbench", "-h", "127.0.0.1", "-U", "postgres", "postgres")
POSTGRES = Application(
    "PostgreSQL",
    "postgres",
    (
        *("setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"),
        *("/usr/lib/postgresql/15/bin/postgres", "-D", "/var/lib/postgresql/15/main"),
        *("-c", "config_file=/etc/postgresql/15/main/postgresql.conf"),
        *("-c", "hba_file=/etc/pg_hba.conf", "-k", "/tmp"),
    ),
    5432,
    clients=(
        ("sh", "-c", "until pg_isready -q -h 127.0.0.1; do sleep 0.1; done"),
        (*PGBENCH, "-q", "-i"),
        (*PGBENCH, "-c", "4", "-T", "2"),
    ),
)
JAVA = Application(
    "Java",
    "java",
    ("java", "/app/Server.java"),
    8000,
    ("/", "/zone", "/number", "/digest", "/tls"),
)
NODE = Application(
    "Node",
    "node",
    ("node", "/app/server.js"),
    8000,
    ("/", "/digest", "/compress", "/names", "/child"),
)
RUBY = Application(
    "Ruby",
    "ruby",
    ("ruby", "/app/server.rb"),
    8000,
    ("/", "/digest", "/template", "/yaml", "/encoding", "/child"),
)
PHP = Application(
    "PHP",
    "php",
    (
        *("sh", "-c"),
        """for fpm in /usr/sbin/php-fpm*; do "$fpm" --fpm-config /app/fpm.conf; done
        exec nginx -c /app/nginx.conf -g 'daemon off;'""",
    ),
    8000,
    tuple(re.findall(r"\n    '(/\w*)' => ", (rootfs.DATA / "php_app" / "index.php").read_text())),
)
SERVERS = (NGINX, REDIS, POSTGRES, JAVA, NODE, RUBY)


def load(application: Application, running: server.Server) -> None:
    """Fetch every view, and run the clients, which lie outside of what is recorded."""
    for view in application.views:
        assert running.get(view).status == 200, view
    for client in application.clients:
        running.run(["chroot", str(application.source), *client])
