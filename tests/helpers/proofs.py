"""What shows that a rule is needed: a real program that works with it, and breaks without.

A training run of the program is traced by strace, and planned at granularity ``file``: by all
rules, and by all but one. What the program does not do in training, it must then do in the tree
that the first plan leaves, and not in that of the second. Programs of a tree run in namespaces of
their own, upon an overlay that goes with them.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import os
import shutil
import subprocess
import tempfile
import threading
import unittest.mock
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any

import rootfs
import strace_witness
from paredown_minimizer import decide as deciding
from paredown_minimizer import rulebook
from paredown_minimizer.apply import apply_plan
from paredown_minimizer.contents import Contents
from paredown_minimizer.decide import Decision
from paredown_minimizer.image.directory import DirectoryImage, open_directory
from paredown_minimizer.image.directory_write import write_directory
from paredown_minimizer.image.model import Image
from paredown_minimizer.image.slim import Provenance
from paredown_minimizer.packages.base import Inventory
from paredown_minimizer.packages.registry import find_managers
from paredown_minimizer.policyfile import parse_policy
from paredown_minimizer.shell_commands import Named
from paredown_schemas.trace import File, Run, read_trace
from traces import trace_records, use, write_trace

_SECONDS = 60
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# $1 the tree, $2 a directory for what is written, $3 a list of what shall not be there, $4 shell
# commands of the host that come first; then a command line, of the host too, in the tree.
_IN_TREE = """
exec </dev/null
mount -t tmpfs tmpfs "$2"
mkdir "$2/upper" "$2/work" "$2/merged"
mount -t overlay overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" "$2/merged"
ip link set lo up
eval "$4"
cd "$2/merged"
xargs -0 -r rm -df -- <"$3"
mount -t proc proc proc
mount -t tmpfs tmpfs dev
mkdir dev/shm dev/pts
for name in null zero full random urandom; do
  touch "dev/$name"
  mount --bind "/dev/$name" "dev/$name"
done
shift 4
"$@"
exit  # as the first process itself: strace would wait for what the host's commands left running
"""


def system_tree() -> Path:
    """Return a minbase Debian 12 with programs that most proofs are made of; only to be read."""
    return rootfs.cached("knowledge")


@dataclasses.dataclass(frozen=True)
class Proof:
    """A program in a tree: how it is trained, and what it must then be able to do."""

    rule: str
    train: Sequence[str]
    judge: Sequence[str]
    shows: str = ""  # what the judged program prints if it works
    server: bool = False  # it works once it has printed that; any other one must end with 0
    fails: str = ""  # what a server prints instead, if it goes on
    tree: Callable[[], Path] = system_tree
    # The image's, and the judged program's: the trained one has none.
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)
    config: Mapping[str, Any] = dataclasses.field(default_factory=dict)  # more of the image's
    policy: str = "version: 1"
    before: str = ""  # shell commands of the host, in the network namespace of the judged program
    user: str = ""  # who runs the judged program, looked up in the tree's accounts
    id: str = ""  # where a rule has several


class _ReadOnce:
    """The package managers of an image, whose databases are read once for all decisions."""

    name = "all"

    def __init__(self, image: Image) -> None:
        self._managers = find_managers(image)
        self._inventory = self._managers.read(image)

    def detect(self, image: Image) -> bool:
        return self._managers.detect(image)

    def read(self, _image: Image) -> Inventory:
        return self._inventory

    def rewrite(
        self, image: Image, inventory: Inventory, kept: AbstractSet[str]
    ) -> Mapping[str, bytes | None]:
        return self._managers.rewrite(image, inventory, kept)


@dataclasses.dataclass(frozen=True)
class Trained:
    """A training run, and the tree that its plan leaves."""

    image: DirectoryImage
    managers: _ReadOnce
    runs: tuple[Run, ...]
    decision: Decision
    policy: str
    slim: Path

    def held_by(self, rule: str) -> list[str]:
        """Return what would go without ``rule``, the deepest first."""
        return self._more_than_now(without=rule)

    def held_by_scripts(self) -> list[str]:
        """Return what would go if no script were read."""
        with unittest.mock.patch.object(Contents, "named", return_value=Named()):
            return self._more_than_now()

    def held_by_configuration(self) -> list[str]:
        """Return what would go if the image had no configuration."""
        with unittest.mock.patch.object(self.image, "config", {}):
            return self._more_than_now()

    def _more_than_now(self, without: str | None = None) -> list[str]:
        less = _decide(self.image, self.managers, self.runs, self.policy, without)
        return sorted(self.decision.kept - less.kept, reverse=True)


class Trainer:
    """Trains each program once, whatever number of rules it proves."""

    def __init__(self, space: Path) -> None:
        self._space = space
        self._images: dict[Path, tuple[DirectoryImage, _ReadOnce]] = {}
        self._trained: dict[str, Trained] = {}

    def train(self, proof: Proof) -> Trained:
        tree = proof.tree()
        config = {"Env": [f"{k}={v}" for k, v in proof.environment.items()], **proof.config}
        key = repr((tree, list(proof.train), config, proof.policy))
        if key not in self._trained:
            space = self.space()
            if tree not in self._images:
                image = open_directory(str(tree))
                self._images[tree] = image, _ReadOnce(image)
            image, managers = self._images[tree]
            image.config = {"config": config}
            used = _used(proof, tree, image, space)
            runs = read_trace(write_trace(space / "trace", trace_records(used))).runs
            decision = _decide(image, managers, runs, proof.policy)
            slim = apply_plan(decision.plan, image)
            provenance = Provenance(image.identity, decision.plan.id, "test")
            write_directory(slim, str(space / "slim"), provenance, force=False, keep_layers=False)
            self._trained[key] = Trained(
                image, managers, runs, decision, proof.policy, space / "slim"
            )
        self._trained[key].image.config = {"config": config}
        return self._trained[key]

    def space(self) -> Path:
        """Return a directory of its own for one run."""
        return Path(tempfile.mkdtemp(dir=self._space))

    def close(self) -> None:
        for image, _ in self._images.values():
            image.close()
        shutil.rmtree(self._space)


def works(proof: Proof, tree: Path, space: Path, gone: Sequence[str] = ()) -> tuple[bool, str]:
    """Say whether the judged program does in ``tree`` less ``gone`` what it should; its output."""
    environment = [f"{name}={value}" for name, value in proof.environment.items()]
    user = [f"--userspec={proof.user}"] if proof.user else []
    command = [*environment, "chroot", *user, str(_merged(space)), *proof.judge]
    command = _in_tree(tree, space, ["env", "-i", f"PATH={_PATH}", *command], proof.before, gone)
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    with process, _killed_after(_SECONDS, process):
        assert isinstance(process.stdout, io.BufferedReader)
        output = b""
        told = [text.encode() for text in (proof.shows, proof.fails) if text and proof.server]
        while not any(text in output for text in told):
            piece = process.stdout.read1()
            if not piece:
                break
            output += piece
        else:
            process.kill()
            return proof.shows.encode() in output, output.decode(errors="replace")
    ended_well = process.returncode == 0 and not proof.server
    return ended_well and proof.shows.encode() in output, output.decode(errors="replace")


@contextlib.contextmanager
def _killed_after(seconds: float, process: subprocess.Popen[bytes]) -> Iterator[None]:
    timer = threading.Timer(seconds, process.kill)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _used(proof: Proof, tree: Path, image: Image, space: Path) -> Iterator[File]:
    log = space / "strace"
    program = ["env", "-i", f"PATH={_PATH}", "chroot", str(_merged(space)), *proof.train]
    command = _in_tree(tree, space, [*strace_witness.arguments(log), *program], proof.before)
    result = subprocess.run(command, check=False, capture_output=True, timeout=_SECONDS)
    assert result.returncode == 0, f"{proof.train}: {result.stdout!r}{result.stderr!r}"
    uses = strace_witness.read_log(log, _merged(space))
    for how, names in (("exec", uses.executed), ("read", uses.opened)):
        for name in sorted(names):
            # The path that a program was started by may lead over links.
            resolved = image.tree.resolve(name)
            if resolved is not None:
                yield use(resolved.path, how=how)


def _in_tree(
    tree: Path, space: Path, command: Sequence[str], before: str, gone: Sequence[str] = ()
) -> list[str]:
    missing = space / "missing"
    missing.write_bytes(b"".join(b"." + os.fsencode(path) + b"\0" for path in gone))
    _merged(space).parent.mkdir(exist_ok=True)
    return [
        *("unshare", "--mount", "--pid", "--net", "--ipc", "--uts", "--fork", "--kill-child"),
        *("sh", "-euc", _IN_TREE, "sh"),
        *(str(tree), str(_merged(space).parent), str(missing), before),
        *command,
    ]


def _merged(space: Path) -> Path:
    return space / "run" / "merged"


def _decide(
    image: Image,
    managers: _ReadOnce,
    runs: Sequence[Run],
    policy: str,
    without: str | None = None,
) -> Decision:
    """Decide by all rules of the knowledge base but one."""
    rules = rulebook.load_rules()
    less = tuple(rule for rule in rules if rule.name != without)
    assert without is None or len(less) == len(rules) - 1, without
    # What a plan says of risks and exposure decides nothing, and takes half of the time.
    with unittest.mock.patch.multiple(
        deciding,
        load_rules=lambda: less,
        find_risks=lambda *_: (),
        find_exposure=lambda *_: ((), ()),
    ):
        return deciding.decide(image, managers, runs, parse_policy(policy), "file")
