"""A containerd of the tests' own, with Kubernetes' interface, and its images."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import archives
import runc_without_limits
from container_tools import IMAGE, Engine

# What names without a registry stand for.
REFERENCE = f"docker.io/library/{IMAGE}"
PAUSE = "docker.io/library/paredown-pause:test"
# Of the root filesystem: importing takes as long as it is large.
_LEFT_OUT = ("./usr/share", "./var/lib/apt", "./usr/sbin", "./usr/lib/*/perl*", "./usr/lib/*/gconv")
_PAUSE_SOURCE = "#include <unistd.h>\nint main(void) { for (;;) pause(); }\n"


class Containerd(Engine):
    """A containerd; everything of it lies in ``space``."""

    def __init__(self, space: Path) -> None:
        self.socket = space / "socket"
        super().__init__("ctr", {"CONTAINERD_ADDRESS": str(self.socket)})
        self.space = space
        self.runtime = space / "runtime"
        self.diff_ids: list[str] = []  # of IMAGE
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the daemon, in a network namespace of its own.

        Raises:
            RuntimeError: it does not answer.
        """
        script = Path(runc_without_limits.__file__).resolve()
        self.runtime.write_text(f'#!/bin/sh\nexec {sys.executable} {script} "$@"\n')
        self.runtime.chmod(0o755)
        configuration = self.space / "config.toml"
        configuration.write_text(self._configuration())
        command = ["unshare", "--net", "containerd", "--config", str(configuration)]
        with (self.space / "log").open("wb") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        deadline = time.monotonic() + 30
        while self.run("version", check=False).returncode:
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError((self.space / "log").read_text()[-500:])
            time.sleep(0.1)

    def import_images(self, rootfs: Path) -> None:
        """Import IMAGE, of two layers, and an image for pods that is one static program."""
        tree = self.space / "pause"
        tree.mkdir()
        source = self.space / "pause.c"
        source.write_text(_PAUSE_SOURCE)
        subprocess.run(["clang", "-static", "-o", tree / "pause", source], check=True)
        layers = [
            _packed(rootfs, *(f"--exclude={path}" for path in _LEFT_OUT)),
            archives.layer("etc/paredown"),
        ]
        self.diff_ids = [f"sha256:{archives.digest(layer)}" for layer in layers]
        files = [
            archives.archive(self.space / "image.tar", layers, tags=[IMAGE]),
            archives.archive(
                self.space / "pause.tar",
                [_packed(tree)],
                config={"config": {"Entrypoint": ["/pause"]}},
                tags=[PAUSE],
            ),
        ]
        for namespace in ("default", "k8s.io"):
            for file in files:
                self.run("--namespace", namespace, "images", "import", str(file))

    def _configuration(self) -> str:
        return f"""
            version = 2
            root = "{self.space}/root"
            state = "{self.space}/state"
            [grpc]
              address = "{self.socket}"
            [plugins."io.containerd.grpc.v1.cri"]
              sandbox_image = "{PAUSE}"
              restrict_oom_score_adj = true
              disable_apparmor = true
            [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
              runtime_type = "io.containerd.runc.v2"
            [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
              BinaryName = "{self.runtime}"
        """

    def close(self) -> None:
        """End every container and the daemon."""
        for namespace in ("default", "k8s.io"):
            scope = ("--namespace", namespace)
            for task in self.run(*scope, "tasks", "list", "-q", check=False).stdout.split():
                self.run(*scope, "tasks", "rm", "--force", task, check=False)
        if self._process is not None:
            self._process.terminate()
            self._process.wait(30)


def run_detached(containerd: Containerd, name: str, *command: str, image: str = REFERENCE) -> int:
    """Start a container as ``ctr run`` does; return its first process."""
    options = ("--detach", "--runc-binary", str(containerd.runtime))
    containerd.run("run", *options, image, name, *command)
    rows = [line.split() for line in containerd.run("tasks", "list").stdout.splitlines()]
    return next(int(row[1]) for row in rows if row[0] == name)


def _packed(tree: Path, *excluded: str) -> bytes:
    command = ["tar", "-C", str(tree), *excluded, "-c", "."]
    return subprocess.run(command, check=True, capture_output=True).stdout
