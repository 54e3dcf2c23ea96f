"""What must hold exactly: the trace is complete, what stays is the same, outputs repeat."""

from __future__ import annotations

import hashlib
from pathlib import Path

from harness import Row, Table, say

from applications import APPLICATIONS, FLASK, GUNICORN, NGINX, PAREDOWN, SERVERS, run, slim
from completeness import SCRIPT, missing
from tree_witness import dangling, differing, walk


def measure(space: Path) -> Table:
    """Make the table."""
    rows = [*_completeness(space), *_fidelity(space), _determinism(space)]
    method = (
        "Completeness: `strace -ff` is attached before the program is executed; counted are the "
        "regular files and directories on the image's superblock that it saw opened or executed. "
        "Fidelity: type, mode, owner, xattrs, mtime, link text, hardlink groups and content of "
        "each path left but dpkg's database, read by the kernel on both sides. Determinism: under "
        "`faketime`, in two directories, time zones and umasks."
    )
    return Table("Proof", method, rows)


def _completeness(space: Path) -> list[Row]:
    rows = []
    for application in (*SERVERS, GUNICORN, FLASK, SCRIPT):
        for recorder in ("fanotify", "ebpf-tracepoints"):
            say(f"proof: completeness, {application.name}, {recorder}")
            seen, lacking = missing(application, recorder, space)
            what = f"completeness: {application.name}, `{recorder}`"
            measured = f"strace saw {len(seen)} paths, {len(lacking)} of them not in the trace"
            rows.append(Row(what, "none missing", measured, bool(seen) and not lacking))
    return rows


def _fidelity(space: Path) -> list[Row]:
    rows = []
    for application in APPLICATIONS:
        for granularity in ("package", "trim", "file"):
            say(f"proof: fidelity, {application.name}, {granularity}")
            _, tree = slim(application, granularity, space)
            differ = differing(application.source, tree)
            broken = dangling(application.source, tree)
            what = f"fidelity: {application.name}, `{granularity}`"
            measured = (
                f"{len(walk(tree)):,} paths: {len(differ)} differ, {len(broken)} new dangling links"
            )
            rows.append(Row(what, "none", measured, not differ and not broken))
    return rows


def _determinism(space: Path) -> Row:
    say("proof: determinism")
    again = space / "again"
    again.mkdir()
    plan, _ = slim(NGINX, "package", again)
    trace = plan.with_name(plan.name.replace(".plan.json", ".trace"))
    digests = set()
    for name, clock, zone, umask in (
        ("a", "2031-05-04 03:02:01", "Asia/Tokyo", "077"),
        ("b", "2026-12-01 00:00:00", "UTC", "022"),
    ):
        place = space / name
        place.mkdir()
        copy = place / "app.trace"
        copy.write_bytes(trace.read_bytes())
        source, archive = f"dir:{NGINX.source}", place / "slim.tar"
        shell = ["sh", "-c", f'umask {umask}; exec "$@"', "sh", "faketime", clock]
        command = [*shell, "env", f"TZ={zone}", PAREDOWN]
        run(*command, "plan", source, "--trace", copy, "-o", place / "plan.json")
        run(*command, "apply", place / "plan.json", source, "-o", f"docker-archive:{archive}")
        outputs = (place / "plan.json").read_bytes(), archive.read_bytes()
        digests.add(tuple(hashlib.sha256(output).hexdigest()[:12] for output in outputs))
    measured = "; ".join(f"plan {plan}, archive {archive}" for plan, archive in digests)
    return Row("determinism: nginx, plan and docker-archive", "equal", measured, len(digests) == 1)
