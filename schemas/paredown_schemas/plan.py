"""Plan, version 1: the decision, per package and per path, with its evidence.

plan-1.schema.json is the published form. The file is what a repository commits and a person
reviews: one record a line, sorted, no clocks, packages first; a path is listed only where it
differs from its package's state. Names are escaped as names.py does.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import functools
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from paredown_schemas.documents import dump_document, load_document, read_document

FORMAT = "paredown-plan"
VERSION = 1

Action = Literal["keep", "trim", "remove"]
PathAction = Literal["keep", "remove"]
Granularity = Literal["package", "trim", "file"]
EvidenceKind = Literal[
    "traced",
    "root",
    "pinned",
    "linked",
    "interpreter",
    "script",
    "symlink",
    "rule",
    "derived",
    "owned",
]
Level = Literal["high", "medium", "low"]
RiskReason = Literal[
    "named",  # a kept, used file has its path as a string
    "command",  # a kept, used text names it as a command
    "pattern",  # a kept program can load it by a name that it makes at run time
    "depends",  # a kept package Depends on its package
    "recommends",
    "looked-up",  # a run asked for it, and found it
    "configures",  # it is a configuration file of something that stays
    "interpreter",  # it starts scripts that stay
    "utility",  # a shell stays, whose commands count on the utilities of POSIX
    "needed",  # what may be missed, for one of the other reasons, needs it
]
SurfaceKind = Literal[
    "executable",
    "setuid",  # or setgid
    "file-capability",
    "shell",
    "interpreter",
    "package-manager",
    "network-client",
    "compiler",
    "writable",  # by everybody, or by the user that the workload runs as
    "living-off-the-land",  # GTFOBins lists it
    "library",  # shared objects
    "secret",  # by its name it looks like one
]
Way = Literal[
    "slim-base",  # a slim variant of the distribution's own base image
    "multi-stage",  # a build in stages, of which the last has no tools to build with
    "both",
]
NeedKind = Literal[
    "user",
    "port",
    "capability",
    "refused-capability",  # asked for and not had: it went on without
    "syscall",
    "written",  # a directory of the image, in or below which something was made or changed
    "tmpfs",  # of those, where memory will do under a read-only root
    "volume",  # where it takes a volume
    "restricted",  # what root used and not everybody can
    "privileged-exec",  # a setuid program, or one with capabilities of its own, that was started
]


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class Evidence:
    """Why ``path`` stays.

    ``by`` is the path that needs it (linked, interpreter, symlink, rule, derived) or the package
    that stays whole (owned); following ``by`` from path to path ends at primary evidence (traced,
    root, pinned). ``detail`` says more: the soname, the rule's name, the image's entrypoint.
    ``how``, ``exes`` and ``seen`` are of traced paths. ``package`` is the key of the package that
    owns ``path``, if one does, so that diff and explain need no image.
    """

    path: str
    kind: EvidenceKind
    by: str | None = None
    detail: str | None = None
    how: tuple[str, ...] = ()
    exes: tuple[str, ...] = ()
    seen: str | None = None  # numbers of the plan's sessions, folded: "0-3,7"
    package: str | None = None


def package_key(manager: str, name: str, architecture: str, location: str | None) -> str:
    """Return what names a package in one image.

    The system's are ``name:architecture``. Many copies of a language's package may be installed, so
    that it takes the place: ``npm:ms@/app/node_modules/debug/node_modules/ms``.
    """
    return f"{name}:{architecture}" if location is None else f"{manager}:{name}@{location}"


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class Trimmed:
    """What a package loses of one kind of files that no program reads at run time."""

    kind: str  # "documentation"
    files: int
    bytes: int


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class PackageDecision:
    """One installed package. Bytes are of regular files, a hardlink group counted once.

    ``location`` is where a language's package lies. It stays as the application's own, unless the
    policy hands it over to be decided like the system's: ``handed`` is the policy's reason.
    """

    name: str
    architecture: str
    version: str
    manager: str
    action: Action
    files: int  # paths that are not directories
    bytes: int
    kept_files: int
    kept_bytes: int
    location: str | None = None
    handed: str | None = None
    granularity: Granularity | None = None  # where the policy has one for this package
    granularity_reason: str | None = None
    risk: Level | None = None  # of what of it goes
    trimmed: tuple[Trimmed, ...] = ()  # at granularity "trim"
    source: str | None = None  # the source package's name, where it is another
    source_version: str | None = None  # where it is another than the package's
    layer: int | None = None  # index into the plan's layers: of the one that brought most of it
    group: str | None = None  # of a Java archive that tells Maven's groupId

    @property
    def key(self) -> str:
        """Return what names the package in the image."""
        return package_key(self.manager, self.name, self.architecture, self.location)


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class PathDecision:
    """A path that differs from what its package's action or its group's says."""

    path: str
    action: PathAction
    package: str | None = None
    reason: str | None = None


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class Risk:
    """Why something that goes may be missed: ``path``, or of ``package`` anything.

    ``named_by`` is the path, or for depends and recommends the package's key, that says so.
    """

    package: str | None
    path: str | None
    named_by: str
    level: Level = "low"
    reason: RiskReason = "named"


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class Pin:
    """A pin of the policy, as it was applied."""

    action: PathAction
    target: str
    reason: str
    paths: int  # that it names; of a rule, that it holds or would have held
    expires: str | None = None  # the last day of it, 2027-01-31

    def expired(self, today: dt.date) -> bool:
        """Say whether its last day is over."""
        # Dates as ISO 8601 writes them sort as texts.
        return self.expires is not None and self.expires < today.isoformat()


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class GaveWay:
    """A path that a rule of the knowledge base would hold for ``by``, and the policy lets go."""

    path: str
    rule: str
    by: str | None  # the path that triggers the rule
    reason: str  # the policy's


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class UnlessUsed:
    """A kind of programs of which all go that nothing was seen to use; and the proof.

    Evidence says of each that stays what uses it, ``gave_way`` which rules did not hold the others.
    """

    what: SurfaceKind
    reason: str
    execs: int  # recorded ones, of any program: each once per run, session and caller
    runs: int
    used: int  # of these execs, those of this kind
    gone: tuple[str, ...] = ()
    stays: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class LeftOut:
    """What the policy says is no use of the image, and what would have stayed for it."""

    session: str | None  # kind
    exe: str | None  # pattern
    reason: str
    files: int  # that nothing else used
    scenario: str | None = None  # in runs of which alone


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class SurfaceCount:
    """How many there are of one kind of the attack surface."""

    kind: SurfaceKind
    before: int
    after: int


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class Beforehand:
    """What another way to build the image would have left out; ``gone_`` is what of it goes here.

    Paths that are not directories; ``packages`` are whole ones.
    """

    way: Way
    packages: int
    files: int
    bytes: int
    gone_files: int
    gone_bytes: int


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class Exposed:
    """One path, or environment variable, of a kind of the attack surface that lists its members.

    ``detail`` says more (the setuid's owner, the capability, the detector's rule), never a value.
    """

    kind: SurfaceKind
    name: str
    stays: bool
    package: str | None = None
    detail: str | None = None


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class Need:
    """What the runs needed of the kernel: the material for running the container with less.

    ``detail`` is a user's further groups by the image's /etc/group ("44,101"), whose what is
    written or restricted is ("0:42 -rw-r-----"), a tmpfs' options, why a volume and nothing less,
    or the privileges of a program.
    """

    kind: NeedKind
    value: str  # "33:33", "tcp 0.0.0.0:80", "CAP_CHOWN", "x86_64 openat", "/var/log"
    exes: tuple[str, ...] = ()
    detail: str | None = None


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class Unrecorded:
    """What no conclusion can be drawn about, as at least one run did not record it."""

    facet: str
    why: str


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class TraceSession:
    """The sessions of a run that are of one kind and began with one program.

    A session is a process tree of the container's own, or one from outside.
    """

    run: int  # index into the plan's traces
    kind: Literal["container", "injected", "command"]
    exe: str | None = None  # the first program seen in it
    count: int = 1


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class CurvePoint:
    """How many different paths were known after so many seconds of a run and those before it."""

    run: int
    seconds: int
    files: int


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class Profile:
    """How completely the runs show what the application uses; counts are of the image's paths.

    ``unseen`` estimates how many more paths runs like these would come to use; None where the runs
    cannot tell, as a single one cannot. ``method`` names the estimator.
    """

    files: int
    packages: int
    once: int  # paths that one run alone used
    twice: int
    method: str | None = None
    unseen: int | None = None
    unseen_at_most: int | None = None  # upper end of its 95 % confidence interval
    curve: tuple[CurvePoint, ...] = ()
    unseen_at_least: int | None = None


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class ListedPaths:
    """What lies in one directory, of one package or of none: the inventory behind the decisions.

    ``check`` and ``explain`` answer from the plan alone, without the image; so the plan must tell
    a path that goes from one that stays, and from one that never was. Last in the file and folded,
    a line a directory, so that a reviewer need not read it. What nobody owns is listed only where
    it goes. Directories that go are listed too, by their own name.
    """

    package: str | None  # key
    directory: str
    names: tuple[str, ...]

    def paths(self) -> Iterator[str]:
        """Yield the whole paths."""
        prefix = self.directory.rstrip("/")
        return (f"{prefix}/{name}" for name in self.names)


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class DirectoryLink:
    """A link to a directory, such as /bin, and where it ends: other names of the same files."""

    path: str
    target: str


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class Layer:
    """One layer of the image, the oldest first, and what the image's history says made it."""

    diff_id: str
    created_by: str | None = None


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class UnownedGroup:
    """What one layer brought to one place and no package owns.

    ``directory`` holds nothing unowned of another layer if ``whole`` is true, and the group is all
    of it; else the group is what lies in the directory itself. ``files`` are paths that are not
    directories, ``traced`` those that a run used. They stay as the application, unless the policy
    hands them to the rules that packages are decided by: ``handed`` is its reason.
    """

    directory: str
    whole: bool
    layer: int | None  # index into the plan's layers; None where the image has none
    files: int
    bytes: int
    traced: int
    kept_files: int
    kept_bytes: int
    handed: str | None = None


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class TraceInput:
    """One recorded run that the plan is made from."""

    run: str
    scenario: str | None
    verdict: Literal["complete", "partial"]
    reasons: tuple[str, ...]
    files: int
    started: str | None = None  # UTC, 2026-01-31T12:00:00Z
    recorder: str | None = None
    image: str | None = None  # identity, where it was mapped from an earlier image by --rebase


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class Moved:
    """A path that the runs used, that the image lacks, and where it went.

    ``to`` is None where it was not found again. ``package`` had it, and has another ``version``
    now, or none.
    """

    path: str
    to: str | None
    package: str | None = None  # key, in the image that was recorded
    before: str | None = None
    after: str | None = None


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class Rebase:
    """That the runs were recorded on an earlier image, and how far its files are this one's.

    Nothing of what is new here was ever seen to run.
    """

    image: str  # identity of what was recorded
    plan: str  # made of it; its id
    same: int  # files that the runs used and that are there under the same name
    moved: int
    vanished: int
    new_packages: tuple[str, ...] = ()  # keys


@dataclasses.dataclass(frozen=True, slots=True)
class Totals:
    """What there is, before or after. Bytes are of regular files, a hardlink group counted once."""

    packages: int
    files: int
    bytes: int


@dataclasses.dataclass(frozen=True, slots=True)
class Distribution:
    """What the image says that it is (os-release, freedesktop.org): ``debian``, ``12``."""

    id: str
    version_id: str | None = None
    name: str | None = None  # PRETTY_NAME


@dataclasses.dataclass(frozen=True)
class Plan:
    """A whole plan; every tuple is sorted, the traces by their start."""

    paredown: str
    image: str  # identity
    platform: str
    granularity: Granularity
    before: Totals
    after: Totals
    traces: tuple[TraceInput, ...]
    packages: tuple[PackageDecision, ...]
    paths: tuple[PathDecision, ...]
    unowned: tuple[UnownedGroup, ...]
    layers: tuple[Layer, ...]
    evidence: tuple[Evidence, ...]
    risks: tuple[Risk, ...]
    links: tuple[DirectoryLink, ...]
    kept: tuple[ListedPaths, ...]
    removed: tuple[ListedPaths, ...]
    # Of what goes, the records that whoever asks which packages there are reads of all of them:
    # such a use needs no package, and is no miss.
    catalogue: tuple[ListedPaths, ...] = ()
    profile: Profile | None = None
    sessions: tuple[TraceSession, ...] = ()
    pins: tuple[Pin, ...] = ()
    gave_way: tuple[GaveWay, ...] = ()
    unless_used: tuple[UnlessUsed, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    surface: tuple[SurfaceCount, ...] = ()
    exposed: tuple[Exposed, ...] = ()
    beforehand: tuple[Beforehand, ...] = ()
    needs: tuple[Need, ...] = ()
    unrecorded: tuple[Unrecorded, ...] = ()
    distribution: Distribution | None = None
    rebase: Rebase | None = None
    moved: tuple[Moved, ...] = ()

    @functools.cached_property
    def id(self) -> str:
        """Return the plan's own identity, a hash of what it says."""
        return "plan-sha256:" + hashlib.sha256(dump_plan(self).encode()).hexdigest()


def dump_plan(plan: Plan) -> str:
    """Return the JSON text of ``plan``: one record a line, the same bytes for the same plan."""
    return dump_document(plan, FORMAT, VERSION)


def load_plan(text: str, name: str) -> Plan:
    """Read a plan's JSON text; ``name`` is for messages.

    Raises:
        DamagedInputError: not JSON, not a plan, or of another version; with the JSON path.
    """
    return load_document(Plan, text, f"plan {name}", FORMAT, VERSION)


def read_plan(path: Path) -> Plan:
    """Read the plan file at ``path``; raises as ``load_plan`` does, ParedownError if unreadable."""
    return read_document(Plan, path, "plan", FORMAT, VERSION)
