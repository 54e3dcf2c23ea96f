"""What a run needed beside its files: the material for running the container with less."""

from __future__ import annotations

import collections
import ipaddress
from collections.abc import Iterator
from typing import Any

from paredown_schemas.names import escape_name
from paredown_schemas.trace import Capability, Facet, Lookup, Port, Process, Run, Syscall


def need_facts(run: Run) -> Iterator[tuple[str, str]]:
    """Yield the lines of ``inspect``'s table, as name and value; names are escaped.

    What was not recorded has no line of its own, so that it cannot pass for unused.
    """
    missing = _not_recorded(run)
    told = (
        ("ports", "ports", ", ".join(_ports(run))),
        ("capabilities", "capabilities", _capability_text(run)),
        ("syscalls", "system calls", f"{len(_syscalls(run)):,}"),
        ("directories", "written in", ", ".join(map(escape_name, written_directories(run)))),
        ("exists", "exists", _lookup_text(run, missing=False)),
        ("missing", "missing", _lookup_text(run, missing=True)),
    )
    for facet, name, value in told:
        if facet not in missing:
            yield name, value or "none"
        elif value not in ("", "0"):
            yield name, f"{value}, and perhaps more"
    for why in dict.fromkeys(missing.values()):
        what = ", ".join(what for what, other in missing.items() if other == why)
        yield "not recorded", f"{what}: {escape_name(why) or 'no reason was told'}"


def needs_json(run: Run) -> dict[str, Any]:
    """Return the same for programs (inspect-1.schema.json)."""
    return {
        "ids": [
            {"exe": None if exe is None else escape_name(exe), "uid": uid, "gid": gid}
            for exe, uid, gid in sorted(_ids(run), key=repr)
        ],
        "ports": [
            {"protocol": protocol, "address": escape_name(address), "port": port}
            for protocol, address, port in _bound(run)
        ],
        "capabilities": [
            {"name": escape_name(name), "granted": granted, "exes": exes}
            for (name, granted), exes in _capabilities(run).items()
        ],
        "syscalls": [
            {
                "name": None if name is None else escape_name(name),
                "number": number,
                "architecture": escape_name(architecture),
            }
            for architecture, number, name in sorted(_syscalls(run), key=repr)
        ],
        "directories": [escape_name(path) for path in written_directories(run)],
        "exists": _lookups(run, missing=False),
        "missing": _lookups(run, missing=True),
        "not_recorded": {what: escape_name(why) for what, why in _not_recorded(run).items()},
    }


def written_directories(run: Run) -> list[str]:
    """Return the directories in which the run made, changed or removed something, sorted."""
    found = set()
    for file in run.files():
        if file.how == "write" and not file.truncated:
            path = file.path if file.kind == "directory" else file.path.rpartition("/")[0]
            found.add(path or "/")
    return sorted(found)


def ids_of(run: Run, exe: str | None, session: int) -> str:
    """Return the effective ids with which a session ran a program: "0:0, 33:33"."""
    found = {
        (record.uid, record.gid)
        for record in run.records
        if isinstance(record, Process) and (record.exe, record.session) == (exe, session)
    }
    shown = sorted(found, key=lambda ids: [-1 if id_ is None else id_ for id_ in ids])
    return ", ".join(":".join("?" if id_ is None else str(id_) for id_ in ids) for ids in shown)


def _not_recorded(run: Run) -> dict[Facet, str]:
    return {what: why for what, why in run.coverage().items() if why is not None}


def _ids(run: Run) -> set[tuple[str | None, int | None, int | None]]:
    return {(r.exe, r.uid, r.gid) for r in run.records if isinstance(r, Process)}


def _bound(run: Run) -> list[tuple[str, str, int]]:
    ports = {(r.protocol, r.address, r.port) for r in run.records if isinstance(r, Port)}
    return sorted(ports, key=lambda port: (port[2], port))


def _ports(run: Run) -> Iterator[str]:
    for protocol, address, port in _bound(run):
        yield escape_name(port_text(protocol, address, port))


def port_text(protocol: str, address: str, port: int) -> str:
    """Return a port as people write it: "tcp 0.0.0.0:80", "udp [::]:53"."""
    return f"{protocol} {f'[{address}]' if _is_v6(address) else address}:{port}"


def _is_v6(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).version == 6
    except ValueError:
        return False


def _capabilities(run: Run) -> dict[tuple[str, bool], list[str]]:
    found: dict[tuple[str, bool], set[str]] = collections.defaultdict(set)
    for record in run.records:
        if isinstance(record, Capability):
            exes = found[record.name, record.granted]
            exes.update([] if record.exe is None else [escape_name(record.exe)])
    return {key: sorted(exes) for key, exes in sorted(found.items())}


def _capability_text(run: Run) -> str:
    found = _capabilities(run)
    granted = [escape_name(name) for name, had in found if had]
    refused = [escape_name(name) for name, had in found if not had and (name, True) not in found]
    had = ", ".join(granted) or ("none" if refused else "")
    return had + (f"; asked for and not had: {', '.join(refused)}" if refused else "")


def _syscalls(run: Run) -> set[tuple[str, int, str | None]]:
    return {(r.architecture, r.number, r.name) for r in run.records if isinstance(r, Syscall)}


def _lookups(run: Run, *, missing: bool) -> dict[str, int]:
    """How many paths were asked for, by call."""
    asked = {
        (record.call, record.path)
        for record in run.records
        if isinstance(record, Lookup) and (record.error is not None) == missing
    }
    return dict(sorted(collections.Counter(call for call, _ in asked).items()))


def _lookup_text(run: Run, *, missing: bool) -> str:
    return ", ".join(f"{count:,} {call}" for call, count in _lookups(run, missing=missing).items())
