"""Images that have neither Python nor glibc, and the agent's bundle for them."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from container_tools import Docker

ROOT = Path(__file__).resolve().parents[2]
AGENT = "/paredown/paredown-agent"
# What docs/recipes.md says that a wrapper, an agent that attaches, and one for a node take.
WRAP = ("SYS_ADMIN",)
ATTACH = ("SYS_ADMIN", "SYS_PTRACE", "DAC_READ_SEARCH")
NODE = (*ATTACH, "SYS_CHROOT")
_APP = ROOT / "tests" / "data" / "bundle_app"


def make_bundle(output: Path) -> Path:
    """Make the bundle as scripts/bundle does; return its directory."""
    command = ["/usr/bin/python3", "-I", str(ROOT / "scripts" / "bundler.py"), "-o", str(output)]
    subprocess.run(command, check=True, timeout=300, capture_output=True, text=True)
    return output / "paredown"


def make_musl_root(root: Path) -> None:
    """A root filesystem in which the only dynamic loader and C library are musl's."""
    library = root / "usr" / "lib" / "libsettings.so"
    library.parent.mkdir(parents=True)
    _compile("-shared", "-fPIC", _APP / "settings.c", "-o", library)
    _make_root(root, _APP / "app.c", f"-L{library.parent}", "-lsettings")
    (root / "lib").mkdir()
    musl = Path("/usr/lib/x86_64-linux-musl/libc.so")
    shutil.copy(musl, root / "lib" / "ld-musl-x86_64.so.1")
    shutil.copy("/bin/busybox", root / "bin" / "sh")


def make_static_root(root: Path) -> None:
    """A root filesystem of one static program and its configuration: no shell, no account."""
    _make_root(root, _APP / "app.c", _APP / "settings.c", "-static")


def import_root(docker: Docker, root: Path, name: str) -> str:
    """Make an image of a root filesystem."""
    with subprocess.Popen(["tar", "-C", root, "-c", "."], stdout=-1) as tar:
        docker.run("import", "--change", 'CMD ["/bin/app"]', "-", name, stdin=tar.stdout)
    return name


def build(docker: Docker, context: Path, name: str, lines: Sequence[str]) -> str:
    """Make an image from a Dockerfile's lines."""
    (context / "Dockerfile").write_text("\n".join(lines) + "\n")
    # In-process: BuildKit is a plug-in that not every installation has.
    old = Docker(docker.env["DOCKER_HOST"])
    old.env["DOCKER_BUILDKIT"] = "0"
    old.run("build", "--network", "none", "--quiet", "--tag", name, str(context))
    return name


def grant(*names: str) -> list[str]:
    """Return docker's options for these capabilities and no other."""
    return ["--cap-drop", "ALL", *(word for name in names for word in ("--cap-add", name))]


def _make_root(root: Path, *sources: str | Path) -> None:
    (root / "bin").mkdir(parents=True)
    _compile(*sources, "-o", root / "bin" / "app")
    (root / "etc").mkdir()
    for name in ("app.conf", "at-the-end.conf", "unused.conf"):
        (root / "etc" / name).write_text("x\n")


def _compile(*arguments: str | Path) -> None:
    subprocess.run(["musl-gcc", "-Os", "-Wall", "-Werror", *arguments], check=True, timeout=60)
