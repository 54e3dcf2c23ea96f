"""With what a container could be started, each setting with its evidence.

A setting without a value is one that the recording does not bear: something stands against it, or
was not recorded. It is shown with its reason and never set.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

from paredown_minimizer.runtime import seccomp
from paredown_schemas.errors import DamagedInputError
from paredown_schemas.names import escape_name
from paredown_schemas.plan import Need, NeedKind, Plan

# What images without users of their own count on (distroless), where the runs show no other.
_NOBODY = (65532, 65532)
_EXES = 3
# ip(7), ip_unprivileged_port_start; docker sets it to 0 (20.10 and later, moby commit dae652e).
_UNPRIVILEGED = 1024
_BIND = "CAP_NET_BIND_SERVICE"
# What separates the parts of docker's and compose's mounts, and what a line cannot hold.
_NO_OPTION = re.compile(r"[:,$\x00-\x1f\x7f\ud800-\udfff]")
_ANY = re.compile(r".*", re.DOTALL)
_CAPABILITY = re.compile(r"CAP_[A-Z0-9_]+")
_OWNER = re.compile(r"[0-9]{1,10}:[0-9]{1,10} [-?a-zA-Z]{10}")
_FORMS: dict[NeedKind, tuple[re.Pattern[str], re.Pattern[str]]] = {  # of value and detail
    "user": (
        re.compile(r"[0-9]{1,10}:([0-9]{1,10}|\?)"),
        re.compile(r"([0-9]{1,10}(,[0-9]{1,10})*)?"),
    ),
    "port": (re.compile(r".*:[0-9]{1,5}", re.DOTALL), _ANY),
    "capability": (_CAPABILITY, _ANY),
    "syscall": (re.compile(r"\w+ \w+"), _ANY),
    "written": (_ANY, _OWNER),
    "restricted": (_ANY, _OWNER),
    "tmpfs": (_ANY, re.compile(r"mode=[0-7]{4}(,uid=[0-9]{1,10},gid=[0-9]{1,10})?(,exec)?")),
}


@dataclasses.dataclass(frozen=True)
class Setting:
    """One thing to set: ``value`` None where it is not to be set; ``why`` are lines of text."""

    value: str | None
    why: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Mount:
    """A place that can be written under a read-only root; ``options`` are of a tmpfs."""

    kind: Literal["tmpfs", "volume"]
    path: str
    why: str
    options: str | None = None


@dataclasses.dataclass(frozen=True)
class Settings:
    """All of them; names of paths are in their memory form."""

    user: Setting  # "100:101"
    groups: tuple[str, ...]  # further ones of that user
    capabilities: Setting  # "ALL" are dropped
    added: tuple[Setting, ...]  # "CAP_CHOWN", of no use where none are dropped
    root: Setting  # "read-only"
    mounts: tuple[Mount, ...]
    no_new_privileges: Setting  # "true"
    seccomp: Setting  # how many calls the profile allows
    profile: Mapping[str, Any] | None
    lowest_port: Setting  # of those that only root could bind by default


def find_settings(plan: Plan) -> Settings:
    """Return what ``plan`` bears.

    Raises:
        DamagedInputError: it has a need that is not written as needs are.
    """
    for need in plan.needs:
        value, detail = _FORMS.get(need.kind, (_ANY, _ANY))
        if not value.fullmatch(need.value) or not detail.fullmatch(need.detail or ""):
            raise DamagedInputError(
                f"cannot read the plan's needs: {need.kind} {escape_name(need.value)} "
                f"({escape_name(need.detail or '')}) is none"
            )
    needs = _Needs(plan)
    capabilities, added = _capabilities(needs)
    root = _root(needs)
    no_new_privileges = _no_new_privileges(needs)
    calls, profile = _seccomp(needs, no_new_privileges=no_new_privileges.value is not None)
    user = _user(needs)
    return Settings(
        user=user,
        groups=_groups(needs) if user.value else (),
        capabilities=capabilities,
        added=added,
        root=root,
        mounts=tuple(_mounts(needs)) if root.value else (),
        no_new_privileges=no_new_privileges,
        seccomp=calls,
        profile=profile,
        lowest_port=_lowest_port(needs),
    )


class _Needs:
    """A plan's needs by kind, and what was not recorded."""

    def __init__(self, plan: Plan) -> None:
        self._of: dict[NeedKind, list[Need]] = {}
        for need in plan.needs:
            self._of.setdefault(need.kind, []).append(need)
        self._unrecorded: dict[str, list[str]] = {}
        for unrecorded in plan.unrecorded:
            self._unrecorded.setdefault(unrecorded.facet, []).append(unrecorded.why)

    def __getitem__(self, kind: NeedKind) -> Sequence[Need]:
        return self._of.get(kind, ())

    def unrecorded(self, facet: str) -> tuple[str, ...]:
        """Return why a facet was not recorded, nothing if it was."""
        return tuple(
            f"not recorded: {why or 'told nothing'}" for why in self._unrecorded.get(facet, ())
        )

    def uids(self) -> set[str]:
        """Return the user ids that the workload ran as."""
        return {need.value.partition(":")[0] for need in self["user"]}

    def ran_as_root(self) -> bool:
        """Say whether it did, or may have."""
        return bool(self.unrecorded("ids")) or not self["user"] or "0" in self.uids()


def _by(needs: Iterable[Need]) -> str:
    """Who: "nginx, sh and 3 more"."""
    exes = sorted({exe for need in needs for exe in need.exes})
    rest = f" and {len(exes) - _EXES} more" if len(exes) > _EXES else ""
    return ", ".join(exes[:_EXES]) + rest or "a program that is not known"


def _user(needs: _Needs) -> Setting:
    if missing := needs.unrecorded("ids"):
        return Setting(None, missing)
    users = needs["user"]
    if not users:
        return Setting(None, ("not recorded: no program was seen",))
    if not needs.ran_as_root():
        if len(needs.uids()) == 1:
            value = min(users, key=lambda need: "?" in need.value).value.removesuffix(":?")
            return Setting(value, (f"nothing ran as anybody else: {_by(users)}",))
        several = ", ".join(f"{need.value} ({_by([need])})" for need in users)
        return Setting(None, (f"ran as several: {several}",))
    as_root = [need for need in users if need.value.startswith("0:")]
    return Setting(None, (f"ran as root: {_by(as_root)}", *_instead_of_root(needs)))


def _groups(needs: _Needs) -> tuple[str, ...]:
    numbers = {number for need in needs["user"] if need.detail for number in need.detail.split(",")}
    return tuple(sorted(numbers, key=int))


def _instead_of_root(needs: _Needs) -> Iterator[str]:
    """What it would take, and what stands against it."""
    other = sorted(need.value for need in needs["user"] if not need.value.startswith("0:"))
    known = [value.split(":") for value in other if not value.endswith("?")]
    uid, gid = (int(known[0][0]), int(known[0][1])) if known else _NOBODY
    against = [*_owned_by_others(needs, uid, gid), *_done_as_root(needs)]
    yield f"{uid}:{gid} would take:" if against else f"{uid}:{gid} was not tried"
    yield from against or ["nothing that was recorded stands against it"]


def _owned_by_others(needs: _Needs, uid: int, gid: int) -> Iterator[str]:
    in_memory = {need.value for need in needs["tmpfs"]}
    for need in needs["written"]:
        if need.value not in in_memory and not _may(need, uid, gid, "wx"):
            yield f"another owner of {need.value} ({need.detail}): {_by([need])} writes there"
    if in_memory:
        yield f"uid={uid},gid={gid} in the options of each tmpfs"
    for need in needs["restricted"]:
        is_directory = " d" in (need.detail or "")
        if not _may(need, uid, gid, "x" if is_directory else "r"):
            yield f"another owner of {need.value} ({need.detail}): {_by([need])} uses it"


def _may(need: Need, uid: int, gid: int, asked: str) -> bool:
    """Say whether owner and mode, "0:42 -rw-r-----", let somebody (path_resolution(7))."""
    owner, _, mode = (need.detail or "0:0 ?---------").partition(" ")
    user, _, group = owner.partition(":")
    start = 1 if user == str(uid) else 4 if group == str(gid) else 7
    bits = mode[start : start + 3].replace("s", "x").replace("t", "x")
    return set(asked) <= set(bits)


def _done_as_root(needs: _Needs) -> Iterator[str]:
    yield from needs.unrecorded("capabilities")
    for need in needs["capability"]:
        yield f"to do without {need.value}: {_by([need])} used it"
    low = [need for need in needs["port"] if 0 < _port(need) < _UNPRIVILEGED]
    if low:
        yield f"ports below 1024 for everybody: {_by(low)} binds {', '.join(n.value for n in low)}"


def _port(need: Need) -> int:
    return int(need.value.rpartition(":")[2])


def _capabilities(needs: _Needs) -> tuple[Setting, tuple[Setting, ...]]:
    used = needs["capability"]
    added = tuple(Setting(need.value, (f"used by {_by([need])}",)) for need in used)
    missing = needs.unrecorded("capabilities")
    if not missing:
        return Setting(
            "ALL", (f"{len(used) or 'none'} {'was' if len(used) < 2 else 'were'} used",)
        ), added
    if needs.ran_as_root() or needs["privileged-exec"]:
        return Setting(None, missing), ()
    why = "nothing ran as root, and no program with capabilities of its own was started"
    return Setting("ALL", (why,)), ()


def _root(needs: _Needs) -> Setting:
    if missing := needs.unrecorded("directories"):
        return Setting(None, missing)
    mounted = [*needs["tmpfs"], *needs["volume"]]
    if odd := [need.value for need in mounted if _NO_OPTION.search(need.value)]:
        return Setting(None, (f"no option can name {odd[0]}, which is written to",))
    if in_root := [need for need in needs["written"] if need.value == "/"]:
        return Setting(None, (f"{_by(in_root)} writes in / itself",))
    return Setting(
        "read-only",
        (
            "what was written to is mounted, below"
            if needs["written"]
            else "nothing was written to",
        ),
    )


def _mounts(needs: _Needs) -> Iterator[Mount]:
    for need in needs["tmpfs"]:
        yield Mount("tmpfs", need.value, f"written to by {_by([need])}", need.detail)
    for need in needs["volume"]:
        yield Mount("volume", need.value, need.detail or "")


def _no_new_privileges(needs: _Needs) -> Setting:
    started = needs["privileged-exec"]
    if not started:
        return Setting("true", ("no setuid program, nor one with capabilities, was started",))
    told = ", ".join(f"{need.value} ({need.detail})" for need in started)
    if needs.uids() == {"0"} and not needs.unrecorded("ids"):
        return Setting("true", (f"root alone started {told}",))
    return Setting(None, (f"was started: {told}",))


def _seccomp(needs: _Needs, *, no_new_privileges: bool) -> tuple[Setting, Mapping[str, Any] | None]:
    if missing := needs.unrecorded("syscalls"):
        return Setting(None, missing), None
    calls: dict[str, set[str]] = {}
    for need in needs["syscall"]:
        architecture, _, name = need.value.partition(" ")
        calls.setdefault(architecture, set()).add(name)
    unnamed = sum(name.isdecimal() for names in calls.values() for name in names)
    if unnamed:
        return Setting(None, (f"{unnamed} calls have no name: record where libseccomp is",)), None
    if not calls:
        return Setting(None, ("not recorded: no system call was seen",)), None
    if unknown := calls.keys() - seccomp.ARCHITECTURES.keys():
        return Setting(None, (f"no profile is known for {', '.join(sorted(unknown))}",)), None
    made = sum(map(len, calls.values()))
    profile = seccomp.make_profile(calls, no_new_privileges=no_new_privileges)
    allowed = len(profile["syscalls"][0]["names"])
    why = f"{made} were made by {_by(needs['syscall'])}; the others are the runtime's and libc's"
    return Setting(f"{allowed} system calls", (why,)), profile


def _lowest_port(needs: _Needs) -> Setting:
    if missing := needs.unrecorded("ports"):
        return Setting(None, missing)
    low = [need for need in needs["port"] if 0 < _port(need) < _UNPRIVILEGED]
    if not low or any(need.value == _BIND for need in needs["capability"]):
        return Setting(None, ("nothing below 1024 was bound without a capability",))
    lowest = min(low, key=_port)
    return Setting(
        str(_port(lowest)), (f"{_by([lowest])} binds {lowest.value}; docker's own is 0",)
    )
