"""``--rootfs DIR -- COMMAND``: a container of the agent's own, through an overlay over DIR.

Everything is mounted in the agent's own mount namespace, over DIR itself: DIR stays as it is, the
host sees nothing, no temporary directory is needed, and all is gone when the agent is.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import shutil
import signal as signals
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from paredown_agent.recorder.base import Recorder
from paredown_agent.target import namespaces, supervisor
from paredown_agent.target.base import CommandNotStartedError
from paredown_agent.target.bundle import PATH, write_bundle
from paredown_agent.target.inroot import check_program, check_tree
from paredown_schemas.errors import ParedownError
from paredown_schemas.identity import directory_identity, scan_tree
from paredown_schemas.names import escape_name
from paredown_schemas.trace import ImageIdentity, Record, Session

_HINTS = {
    errno.EPERM: "run as root, or with the capability CAP_SYS_ADMIN",
    errno.EINVAL: "no overlay can lie over this filesystem, itself an overlay of overlays perhaps: "
    "copy the directory elsewhere",
}


class RootfsTarget:
    """A command in a container of its own; see ``Target``."""

    kind = "rootfs"
    container: str | None = None

    def __init__(self, directory: str, command: Sequence[str], forwarded: Sequence[int]) -> None:
        """Open ``directory``; the signals ``forwarded`` are blocked in the caller.

        Raises:
            ParedownError: it is no directory that can be read, or runc is missing.
        """
        self.command = tuple(command)
        self._name = directory
        self._forwarded = forwarded
        self._runc = _find_runc()
        self._lower = self._open(directory)
        self._bundle = Path(os.path.realpath(directory))
        self._memory = -1
        self._supervisor: int | None = None
        self._pidfd = -1
        self._status: int | None = None
        self._identity: Future[ImageIdentity] | None = None

    def arm(self, recorder: Recorder) -> None:
        """Mount the overlay and watch it."""
        try:
            root = self._mount()
            write_bundle(self._bundle, root, self.command, self._bundle.name)
        except OSError as error:
            raise self._error(error, _HINTS.get(error.errno or 0, "")) from error
        descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            check_tree(descriptor, f"cannot run a container in {escape_name(self._name)}")
            check_program(descriptor, self.command[0], PATH)
            recorder.watch(descriptor)
        finally:
            os.close(descriptor)

    def start(self) -> None:
        """Start the container, then take the directory's identity beside it."""
        try:
            self._supervisor = supervisor.start(self._runc, self._bundle, self._forwarded)
            self._pidfd = os.pidfd_open(self._supervisor)
        except OSError as error:
            raise self._error(error) from error
        executor = ThreadPoolExecutor(max_workers=1)
        self._identity = executor.submit(self._identify)
        executor.shutdown(wait=False)

    def polled(self) -> Mapping[int, int]:
        """Wait for the container's end."""
        return {self._pidfd: select.POLLIN} if self._status is None else {}

    def turn(self, recorder: Recorder, ready: Mapping[int, int]) -> Sequence[Record]:
        """Hand out the identity once it is there."""
        del recorder, ready
        if self._identity is None or not self._identity.done():
            return []
        identity, self._identity = self._identity, None
        return [identity.result()]

    def owns(self, session: Session) -> bool | None:
        """Say yes: nobody else can have the overlay."""
        del session
        return True

    def ended(self) -> bool:
        """Say whether the container has ended; nothing survives its first process."""
        return self.status() is not None

    def forward(self, signal: int, *, typed: bool) -> bool:
        """Pass it on, typed or not: the container is not in the terminal's session."""
        del typed
        if self._supervisor is None or self.status() is not None:
            return False
        os.kill(self._supervisor, signal)
        return True

    def conclude(self) -> tuple[Sequence[Record], Sequence[str]]:
        """Wait for the identity: a trace without it could not be matched with its source."""
        return ([self._identity.result()] if self._identity is not None else []), []

    def status(self) -> int | None:
        """Return the first process's exit status."""
        if self._status is None and self._supervisor is not None:
            pid, status = os.waitpid(self._supervisor, os.WNOHANG)
            if pid:
                code = os.waitstatus_to_exitcode(status)
                self._status = code if code >= 0 else 128 - code
                self._check_started()
        return self._status

    def stop(self, signal: int) -> None:
        """Signal the container; SIGKILL goes to the supervisor, which takes all of it along."""
        if self._supervisor is not None and self.status() is None:
            os.kill(self._supervisor, signal)

    def source(self) -> str | None:
        """Return the directory as SOURCE."""
        return f"dir:{self._name}"

    def close(self) -> None:
        """Kill what still runs; the mounts end with the agent's mount namespace."""
        with contextlib.suppress(CommandNotStartedError):
            self.stop(signals.SIGKILL)
        os.close(self._lower)
        if self._memory >= 0:
            os.close(self._memory)

    def _open(self, directory: str) -> int:
        try:
            if os.path.samefile(directory, "/"):
                raise ParedownError(
                    "cannot run a container in /: it is the host's own root",
                    hint="leave out --rootfs to record a command where it is",
                )
            return os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise self._error(error) from error

    def _mount(self) -> Path:
        """By descriptor, so that no name can be mistaken for an option of overlayfs."""
        place = str(self._bundle)
        namespaces.private_mounts()
        # overlayfs takes a lower layer from its own mount namespace alone.
        os.close(self._lower)
        self._lower = self._open(place)
        namespaces.mount("paredown", place, "tmpfs", namespaces.MS_NODEV, "mode=0700")
        for name in ("upper", "work", "root"):
            os.mkdir(self._bundle / name)
        # The overlay's root has the attributes of its upper directory.
        _copy_attributes(self._lower, self._bundle / "upper")
        memory = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        upper, root = f"/proc/self/fd/{memory}", self._bundle / "root"
        options = f"lowerdir=/proc/self/fd/{self._lower},upperdir={upper}/upper"
        namespaces.mount("paredown", str(root), "overlay", 0, f"{options},workdir={upper}/work")
        # The overlay's options name its upper layer by this number.
        self._memory = memory
        if not os.path.lexists(root / "tmp"):
            os.mkdir(root / "tmp")
            os.chmod(root / "tmp", 0o1777)  # noqa: S103 - what /tmp is
        return root

    def _identify(self) -> ImageIdentity:
        # On Linux a priority is a thread's own (setpriority(2), "NOTES").
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 19)
        identity = None
        # A file may vanish under the scan; the minimizer then compares sizes and times.
        with contextlib.suppress(OSError):
            identity = directory_identity(scan_tree(Path(f"/proc/self/fd/{self._lower}")))
        return ImageIdentity(reference=self.source(), identity=identity)

    def _check_started(self) -> None:
        if (self._bundle / "pid").exists():
            return
        if (cause := self._bundle / "error").exists():
            message = f"cannot run a container in {escape_name(self._name)}: {cause.read_text()}"
            raise CommandNotStartedError(message, 125)
        log = self._bundle / "log"
        raise CommandNotStartedError("", _status_of(log.read_text() if log.exists() else ""))

    def _error(self, error: OSError, hint: str = "") -> ParedownError:
        return ParedownError(
            f"cannot run a container in {escape_name(self._name)}: {error.strerror}", hint=hint
        )


def _find_runc() -> str:
    # Debian has it in /usr/sbin, which is in few users' PATH.
    runc = shutil.which("runc", path=os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin")
    if runc is None:
        raise ParedownError(
            "cannot run a container: runc is not installed", hint="apt-get install runc"
        )
    return runc


def _copy_attributes(source: int, target: Path) -> None:
    status = os.fstat(source)
    os.chown(target, status.st_uid, status.st_gid)
    os.chmod(target, status.st_mode & 0o7777)
    for name in os.listxattr(source):
        with contextlib.suppress(OSError):
            os.setxattr(target, name, os.getxattr(source, name))


def _status_of(log: str) -> int:
    """The statuses that docker derives from the same messages of runc."""
    if "executable file not found" in log or "no such file or directory" in log:
        return 127
    return 126 if "permission denied" in log or "exec format error" in log else 125
