"""``--all-containers``: every container of the node, those that start later too.

Every overlay is watched at once when it is mounted, before its container's first exec, and whose
it is told by the engine's own files beside it. The engines themselves are asked seldom: about what
runs already, and whether a container's first process is the one that was seen to begin. Steady
containers cost no question.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fnmatch
import os
import select
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from paredown_agent import statx
from paredown_agent.mountinfo import read_mounts
from paredown_agent.processes import relative_of, relatives
from paredown_agent.recorder.base import Adopter, Clock, Recorder
from paredown_agent.sieve import Nobody
from paredown_agent.target.attach import attach
from paredown_agent.target.base import EXEC_DELAY, LATE
from paredown_agent.target.engines.registry import Engines, Found
from paredown_agent.target.members import root_of
from paredown_agent.target.overlays import OverlayWatch
from paredown_agent.target.roots import owner_of_root
from paredown_agent.tracedirectory import Subject, TraceDirectory
from paredown_schemas.errors import ParedownError
from paredown_schemas.trace import ImageIdentity, Record, Session, SessionKind

_ASK_AGAIN = 2.0  # seconds between questions, at the least
_ASK_SELDOM = 60.0
_READ_AGAIN = 0.05  # seconds between looks at the engines' files, and ever longer
# Seconds after its root went: a removed container has ended, another one may be restarted.
_ENDED = 2.0
_RESTART = 15.0
# Seconds for somebody to know whose an overlay is.
_UNKNOWN = 30.0
_PATIENCE = 20.0
_CACHED = 1024  # identities of images


@dataclasses.dataclass(eq=False, slots=True)
class Member(Subject):
    """An overlay, and the container whose root it is as soon as that is known."""

    mount_point: str = ""
    met: float = 0.0  # here and below: CLOCK_MONOTONIC in seconds
    ask: float | None = None  # ask the engines about it then; None: no need
    delay: float = _ASK_AGAIN
    gone: float | None = None  # its root has been unmounted since then
    found: Found | None = None
    wanted: bool | None = None  # None while it is not known whose it is
    read: float = 0.0  # ask the engines' files about it then
    leaders: set[int] = dataclasses.field(default_factory=set)  # first processes that were seen
    snapshot: list[Record] = dataclasses.field(default_factory=list)
    identity: Future[ImageIdentity] | None = None
    identified: bool = False  # it stands in the trace


class FleetTarget:
    """All containers but the agent's own; see ``Workload``."""

    kind = "container"
    command: tuple[str, ...] = ()
    container: str | None = None

    def __init__(self, pattern: str | None, traces: TraceDirectory, clock: Clock) -> None:
        """``pattern`` is a glob that a container's name or image reference has to match."""
        self._pattern = pattern
        self._traces = traces
        self._clock = clock
        self._engines = Engines()
        self._recorder: Recorder | None = None
        self._watch: OverlayWatch | None = None
        self._members: dict[str, Member] = {}  # by mount point
        self._adopted: dict[int, Member] = {}  # by session
        self._unwanted: set[str] = set()  # mount points
        self._narrow = False
        self._executor = ThreadPoolExecutor(max_workers=2)
        self._question: Future[list[Found]] | None = None
        self._asked = 0.0
        self._identities: dict[tuple[str, ...], Future[ImageIdentity]] = {}
        traces.follow(self._owner)

    def arm(self, recorder: Recorder) -> None:
        """Watch what is mounted, then attach to what runs; raises ParedownError."""
        self._recorder = recorder
        own = read_mounts().locate("/")
        try:
            self._watch = OverlayWatch(
                self._clock,
                also_mounted=True,
                own_root=own.mount.device if own else None,
            )
        except OSError as error:
            raise ParedownError(f"cannot watch the mount table: {error.strerror}") from error
        self._look(self._watch, recorder)
        self._learn(self._engines.running(), recorder)

    def start(self) -> None:
        """Do nothing: they run."""

    def polled(self) -> Mapping[int, int]:
        """Wait for mounts."""
        return {} if self._watch is None else {self._watch.fileno(): select.POLLPRI}

    def turn(self, recorder: Recorder, ready: Mapping[int, int]) -> Sequence[Record]:
        """Watch new overlays first of all; write what is known by now."""
        if self._watch is not None:
            if self._watch.fileno() in ready:
                self._look(self._watch, recorder)
            if self._narrow:
                self._watch.narrow(recorder, lambda point: point not in self._unwanted)
                self._narrow = False
        for member in list(self._members.values()):
            self._tell(member)
            self._see_off(member)
        if self._question is not None and self._question.done():
            answer, self._question = self._question.result(), None
            self._learn(answer, recorder)
        self._ask()
        return []

    def ended(self) -> bool:
        """Say no: another container may start."""
        return False

    def forward(self, signal: int, *, typed: bool) -> bool:
        """Pass nothing on: the containers are not the agent's."""
        del signal, typed
        return False

    def conclude(self) -> tuple[Sequence[Record], Sequence[str]]:
        """End every trace."""
        open_ = [each for each in self._members.values() if self._traces.is_open(each)]
        for member in open_:
            self._identify(member)
        for member in open_:
            if member.identity is not None:
                with contextlib.suppress(TimeoutError):
                    member.identity.result(_PATIENCE)
            self._tell(member)
            self._traces.end(member)
        return [], []

    def status(self) -> int | None:
        """Return 0: there is no command."""
        return 0

    def stop(self, signal: int) -> None:
        """Leave the containers alone."""

    def close(self) -> None:
        """Let go of everything; the containers go on."""
        self._executor.shutdown(wait=False, cancel_futures=True)
        if self._watch is not None:
            self._watch.close()

    def _owner(self, session: Session) -> Member | Nobody | None:
        """Say whose a session is, by the overlay on which it began; see ``Sieve``."""
        if self._recorder is None or self._watch is None:
            return None
        if (device := self._recorder.superblock(session.id)) is None:
            return self._adopted.get(session.id, False)
        overlay = self._watch.find(device, session.time)
        member = self._members.get(overlay.mount_point) if overlay is not None else None
        if member is None:
            return False  # it began before it was watched: its first files are missing
        if session.kind == "container":
            member.leaders.add(session.pid)
        if member.wanted is None and time.monotonic() > member.read:
            self._ask_files(member)
        return member if member.wanted else member.wanted

    def _look(self, watch: OverlayWatch, recorder: Recorder) -> None:
        """Meet what was mounted, miss what was unmounted."""
        new = watch.look(recorder)
        now = time.monotonic()
        self._unwanted &= watch.mounted
        for point in watch.mounted - self._unwanted:
            member = self._members.get(point)
            if member is None:
                member = Member(mount_point=point, met=now, since=self._clock.now())
                self._members[point] = member
                new.append(point)
            elif member.gone is not None:
                member.gone = None
                new.append(point)
        for point in new:
            member = self._members[point]
            member.ask, member.delay = now + EXEC_DELAY, _ASK_AGAIN
            self._ask_files(member)
        for member in self._members.values():
            if member.mount_point not in watch.mounted and member.gone is None:
                member.gone, member.ask = now, None

    def _ask_files(self, member: Member) -> None:
        if member.wanted is not None:
            return
        now = time.monotonic()
        member.read = now + max(_READ_AGAIN, (now - member.met) / 2)
        owner = owner_of_root(member.mount_point)
        if owner is not None:
            engine = self._engines.of_kind(owner.kind)
            self._know(member, Found(engine, owner.container), holds_pod=owner.holds_pod)

    def _know(self, member: Member, found: Found, *, holds_pod: bool = False) -> None:
        container = found.container
        member.found = found
        member.id, member.name = container.id, container.name
        member.source = f"{found.engine.kind}:{container.reference}" if container.reference else ""
        if member.wanted is None:
            names = (container.name, container.reference)
            matches = [fnmatch.fnmatchcase(name, self._pattern or "*") for name in names]
            self._choose(member, wanted=any(matches) and not holds_pod)

    def _choose(self, member: Member, *, wanted: bool) -> None:
        member.wanted = wanted
        if not wanted:
            self._unwanted.add(member.mount_point)
            member.ask = None
            self._narrow = True

    def _ask(self) -> None:
        """Ask the engines what runs, if a member waits to be known."""
        now = time.monotonic()
        due = any(each.ask is not None and each.ask <= now for each in self._members.values())
        if due and self._question is None and now >= self._asked + _ASK_AGAIN:
            self._asked = now
            self._question = self._executor.submit(self._engines.running)

    def _learn(self, running: Sequence[Found], recorder: Recorder) -> None:
        """Hear what runs: whose the overlays are, and whether their beginnings were seen."""
        known = {each.id for each in self._members.values() if each.found and each.ask is None}
        for found in running:
            if found.container.id not in known:
                member = self._on_root_of(found.container.pid)
                if member is not None:
                    self._know(member, found)
        for member, pid in self._first_processes().items():
            if pid in member.leaders:
                member.ask = None
            elif member.wanted and self._is_late(member, pid):
                self._attach(member, pid, recorder)
        now = time.monotonic()
        for member in self._members.values():
            if member.ask is not None and member.ask <= now:
                member.delay = min(2 * member.delay, _ASK_SELDOM)
                member.ask = now + member.delay if not member.leaders else None
            if member.wanted is None and now > member.met + _UNKNOWN:
                self._choose(member, wanted=False)

    def _on_root_of(self, pid: int) -> Member | None:
        """Return the member whose overlay is the root of a process."""
        root = root_of(pid)
        overlay = self._watch.current(root[0]) if self._watch and root else None
        return self._members.get(overlay.mount_point) if overlay else None

    def _first_processes(self) -> dict[Member, int]:
        """Return the oldest process on the root of each member that waits to be known."""
        first: dict[Member, int] = {}
        for pid in relatives():
            member = self._on_root_of(pid)
            if member is not None and member.ask is not None:
                first.setdefault(member, pid)
        return first

    def _is_late(self, member: Member, pid: int) -> bool:
        """It ran before it was watched, or long enough to have been seen since."""
        relative = relative_of(pid)
        age = relative.age if relative else 0.0
        seen_since = time.monotonic() - member.met
        return (age > min(EXEC_DELAY, seen_since) and _has_begun(pid)) or age > _UNKNOWN

    def _attach(self, member: Member, pid: int, recorder: Recorder) -> None:
        adopting = _Adopting(self._adopted, member, recorder)
        with contextlib.suppress(ParedownError):  # it has ended
            member.snapshot += attach(pid, adopting, self._clock)
            member.leaders.add(pid)
            member.reasons = (LATE,)
            member.ask = None

    def _identify(self, member: Member) -> None:
        """Ask once for each image what it is."""
        if member.identity is not None or member.found is None:
            return
        engine, container = member.found.engine, member.found.container
        by_content = container.image.startswith("sha256:") or len(container.image) == 64
        key = (engine.kind, container.image, *(() if by_content else (container.id,)))
        if key not in self._identities:
            if len(self._identities) >= _CACHED:
                self._identities.clear()
            self._identities[key] = self._executor.submit(engine.identify, container)
        member.identity = self._identities[key]

    def _tell(self, member: Member) -> None:
        """Write what is known of a member beside what the recorder tells of it."""
        if member.snapshot:
            self._traces.write(member, member.snapshot)
            member.snapshot = []
        if not self._traces.is_open(member):
            return
        if member.ask is None:
            self._identify(member)
        identity, found = member.identity, member.found
        if member.identified or found is None or identity is None or not identity.done():
            return
        reference = found.container.reference or None
        self._traces.write(member, [dataclasses.replace(identity.result(), reference=reference)])
        member.identified = True

    def _see_off(self, member: Member) -> None:
        """End the trace of a container whose root has gone, and is not about to come back."""
        if member.gone is None:
            return
        away = time.monotonic() - member.gone
        if away < _ENDED or (away < _RESTART and owner_of_root(member.mount_point) is not None):
            return
        if self._traces.is_open(member) and member.identity is not None:
            if not member.identity.done():
                return
            self._tell(member)
        self._traces.end(member)
        del self._members[member.mount_point]
        self._adopted = {id_: each for id_, each in self._adopted.items() if each is not member}


class _Adopting:
    """Takes note of whose sessions are adopted; see ``Adopter``."""

    def __init__(self, adopted: dict[int, Member], member: Member, recorder: Adopter) -> None:
        self._adopted = adopted
        self._member = member
        self._recorder = recorder

    def adopt(self, pid: int, kind: SessionKind) -> int:
        session = self._recorder.adopt(pid, kind)
        self._adopted[session] = self._member
        return session


def _has_begun(pid: int) -> bool:
    """Say whether a process runs a program of its container, and not yet the runtime's set-up.

    That one's is a file in memory, or was reached through a mount that the container has not.
    """
    try:
        descriptor = os.open(f"/proc/{pid}/exe", os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        mount = statx.status(descriptor, unique=False).mount
        return mount in read_mounts(pid).by_id
    except ParedownError:
        return False
    finally:
        os.close(descriptor)
