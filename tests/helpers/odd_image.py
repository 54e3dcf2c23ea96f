"""One image with everything odd in it, by docker and umoci; what other tools see of an image."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import tree_witness
from container_tools import Engine
from trees import make_odd_tree

BUSYBOX = Path("/bin/busybox")  # busybox-static
REFERENCE = "paredown-test/odd:original"
SECRET = b"a secret that a later layer takes away"
# The second and third layer: deletions, an opaque directory, types that change, hardlinks to
# what lies below, attributes that alone change.
_DOCKERFILE = r"""
FROM paredown-test/odd:base
COPY secret /secret
RUN rm -r /data/empty /deep/er && rm -r /links && mkdir -m 2775 /links && echo new >/links/new \
 && rm /types/file && mkdir -p /types/file/inside && rm -r /types/directory \
 && ln -s /bin /types/directory && ln /data/plain /data/another && chmod 6755 /bin/mail \
 && touch -d "2001-02-03 04:05:06" /sticky && rm /secret && mkfifo -m 600 /types/fifo \
 && ln /types/fifo /types/fifo2 && mkdir "/types/.wh" && touch /types/.wh/.who "/types/a b"
ENV A="b c" PATH=/bin:/usr/bin
USER 65534:65534
WORKDIR /data
EXPOSE 80 53/udp
VOLUME /volume
STOPSIGNAL SIGQUIT
LABEL org.example.who="me" org.example.empty=""
SHELL ["/bin/sh", "-ec"]
ENTRYPOINT ["/bin/busybox"]
CMD ["echo", "it runs"]
"""
# What OCI's configuration has no place for.
_FOR_DOCKER = f"""
FROM {REFERENCE}
HEALTHCHECK --interval=7s --retries=2 CMD ["/bin/busybox", "true"]
ONBUILD RUN true
"""


def make(docker: Engine, podman: Engine, space: Path) -> None:
    """Make the image, and of it the files "FORMAT by TOOL" in ``space``; both engines have it."""
    layout = _make_layout(docker, space)
    layout.rename(space / "oci-dir by umoci")
    original, archive = f"oci:{space}/oci-dir by umoci:latest", space / "docker-archive by skopeo"
    zstd = ["--dest-compress-format", "zstd"]
    copy(original, f"oci:{space}/oci-dir by skopeo, zstd:latest", *zstd)
    copy(original, f"oci-archive:{space}/oci-archive by skopeo")
    copy(original, f"docker-archive:{archive}:{REFERENCE}")
    docker.run("load", "--input", str(archive))
    (space / "context/Dockerfile").write_text(_FOR_DOCKER)
    docker.run("build", "-q", "--network=none", "-t", REFERENCE, str(space / "context"))
    docker.run("save", "--output", f"{space}/docker-archive by docker", REFERENCE)
    podman.run("load", "--input", f"{space}/docker-archive by docker")
    for form in ("docker-archive", "oci-dir", "oci-archive"):
        options = ["--format", form, "--output", f"{space}/{form} by podman"]
        podman.run("save", *options, REFERENCE)
    unpack(space / "oci-dir by umoci", space / "bundle")
    (space / "bundle/rootfs").rename(space / "dir by umoci")


def _make_layout(docker: Engine, space: Path) -> Path:
    """Three layers by docker, another one by umoci."""
    tree = space / "tree"
    make_odd_tree(tree)
    for name in ("links", "types/directory"):
        (tree / name).mkdir(parents=True)
        (tree / name / "file").write_text("below")
    (tree / "types/file").write_text("a file first")
    shutil.copyfile(BUSYBOX, tree / "bin/busybox")
    (tree / "bin/busybox").chmod(0o755)
    (tree / "bin/sh").symlink_to("busybox")
    for name in ("rm", "mkdir", "ln", "chmod", "touch", "mkfifo"):
        os.link(tree / "bin/busybox", tree / "bin" / name)
    pack = ["tar", "-C", str(tree), "--format=posix", "--numeric-owner", "--xattrs"]
    with subprocess.Popen([*pack, "--xattrs-include=*", "-c", "."], stdout=-1) as tar:
        docker.run("import", "-", "paredown-test/odd:base", stdin=tar.stdout)
    (space / "context").mkdir()
    (space / "context/secret").write_bytes(SECRET)
    (space / "context/Dockerfile").write_text(_DOCKERFILE)
    docker.run("build", "-q", "--network=none", "-t", "odd-by-docker", str(space / "context"))
    docker.run("save", "--output", str(space / "by-docker.tar"), "odd-by-docker")
    layout = space / "odd"
    copy(f"docker-archive:{space}/by-docker.tar", f"oci:{layout}:latest")
    _add_layers(layout, space)
    return layout


def _add_layers(layout: Path, space: Path) -> None:
    bundle = unpack(layout, space / "bundle", keep=True)
    root = bundle / "rootfs"
    (root / "links/new").unlink()
    (root / "data/another").rename(root / "data/moved")
    (root / "types/new").mkdir(mode=0o700)
    os.setxattr(root / "types/new", b"user.note", b"\0")
    _umoci("repack", "--image", f"{layout}:latest", str(bundle))
    shutil.rmtree(bundle)
    _umoci("config", "--image", f"{layout}:latest", "--config.label", "org.example.by=umoci")


def copy(source: str, destination: str, *options: str) -> None:
    """Copy an image by skopeo."""
    command = ["skopeo", "--insecure-policy", "copy", "--quiet", *options, source, destination]
    run(*command)


def unpack(layout: Path, bundle: Path, *, keep: bool = False) -> Path:
    """Unpack a layout's image, "latest", by umoci; ``keep`` keeps what repacking needs."""
    _umoci("unpack", *(("--keep-dirlinks",) if keep else ()), "--image", f"{layout}:latest", bundle)
    return bundle


def tree_of(root: Path) -> Mapping[str, object]:
    """Return every path's type and attributes, devices' numbers and hardlinks too."""
    found: dict[str, object] = {}
    groups: dict[tuple[int, int], list[str]] = {}
    for path, status in sorted(tree_witness.walk(root).items()):
        if status.st_nlink > 1 and not stat.S_ISDIR(status.st_mode):
            groups.setdefault((status.st_dev, status.st_ino), []).append(path)
        found[path] = (*tree_witness.facts(root, path, status), status.st_rdev)
    return {**found, "hardlinks": sorted(groups.values())}


def configuration(image: str) -> Any:
    """Return the configuration of an image that skopeo reads, every field that is there."""
    return json.loads(run("skopeo", "inspect", "--raw", "--config", image))


def contents(layout: Path) -> Iterator[bytes]:
    """Yield what is in a layout's blobs, not compressed."""
    for blob in (layout / "blobs/sha256").iterdir():
        # zstd reads gzip too, and passes on what neither compressed.
        command = ["zstd", "--decompress", "--force", "--stdout", str(blob)]
        yield subprocess.run(command, check=True, capture_output=True).stdout


def run(*command: str | Path) -> str:
    """Run a command that must work; return what it printed."""
    result = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert result.returncode == 0, f"{command}: {result.stderr}"
    return result.stdout


def _umoci(*arguments: str | Path) -> None:
    run("umoci", *arguments)
