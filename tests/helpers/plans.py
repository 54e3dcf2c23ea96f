"""A plan for tests that need no image."""

from __future__ import annotations

import dataclasses
from typing import Any

from paredown_schemas.identity import host_platform
from paredown_schemas.plan import (
    Beforehand,
    CurvePoint,
    DirectoryLink,
    Distribution,
    Evidence,
    Exposed,
    GaveWay,
    Layer,
    LeftOut,
    ListedPaths,
    Need,
    PackageDecision,
    PathDecision,
    Pin,
    Plan,
    Profile,
    Risk,
    SurfaceCount,
    Totals,
    TraceInput,
    TraceSession,
    UnlessUsed,
    UnownedGroup,
    Unrecorded,
)

IDENTITY = "dir-sha256:" + "a" * 64


def package(name: str, action: Any, kept: int, files: int, size: int) -> PackageDecision:
    """Return a decision on a package of 1,000 bytes a file."""
    return PackageDecision(
        name=name,
        architecture="amd64",
        version=f"1:{size}-1",
        manager="dpkg",
        action=action,
        files=files,
        bytes=size,
        kept_files=kept,
        kept_bytes=size * kept // files if files else 0,
    )


def example_plan(**changes: Any) -> Plan:
    """Return a plan that keeps nginx and libc6, trims tzdata and removes bash and an odd name."""
    plan = Plan(
        paredown="0.1.0",
        image=IDENTITY,
        platform=host_platform(),
        granularity="file",
        before=Totals(5, 120, 183_100_000),
        after=Totals(3, 20, 28_300_000),
        traces=(TraceInput("0123456789abcdef", "load", "complete", (), 214),),
        sessions=(TraceSession(0, "container", "/usr/sbin/nginx"),),
        packages=(
            package("bash", "remove", 0, 2, 7_163_904),
            package("libc6", "keep", 12, 12, 12_900_000),
            package("nginx", "keep", 2, 2, 1_300_000),
            package("odd\x1b[31m", "remove", 0, 1, 999),
            package("tzdata", "trim", 1, 10, 3_000_000),
        ),
        paths=(
            PathDecision("/srv/old", "remove", None, "pinned: \u202enobody needs it"),
            PathDecision("/usr/share/zoneinfo/UTC", "keep", "tzdata:amd64", None),
        ),
        unowned=(
            UnownedGroup("/app", True, 1, 3, 4_000, 1, 3, 4_000),
            UnownedGroup("/opt/odd\x1b", True, 2, 9, 9_000_000, 0, 0, 0, "who needs it?"),
        ),
        layers=(
            Layer("sha256:" + "1" * 64),
            Layer("sha256:" + "2" * 64, "COPY app /app"),
            Layer("sha256:" + "3" * 64, "RUN curl \x1b[31m"),
        ),
        evidence=(
            Evidence(
                "/lib/libc.so.6", "linked", "/usr/sbin/nginx", "libc.so.6", package="libc6:amd64"
            ),
            Evidence(
                "/usr/sbin/nginx",
                "traced",
                how=("exec", "read"),
                exes=("/usr/sbin/nginx",),
                seen="0",
                package="nginx:amd64",
            ),
            Evidence(
                "/usr/share/nginx/index.html",
                "traced",
                how=("read",),
                exes=("/usr/sbin/nginx",),
                seen="0",
                package="nginx:amd64",
            ),
            Evidence(
                "/usr/share/zoneinfo/UTC",
                "rule",
                "/usr/sbin/nginx",
                "time-zones",
                package="tzdata:amd64",
            ),
        ),
        pins=(Pin("remove", "/srv/old", "\u202enobody needs it", 1, "2027-01-31"),),
        left_out=(LeftOut("injected", "/usr/bin/find", "a scan\x1b", 3, "load"),),
        unless_used=(UnlessUsed("shell", "no CGI", 20, 1, 0, ("/usr/bin/bash",), ()),),
        gave_way=(GaveWay("/usr/bin/bash", "shell/system", "/usr/sbin/nginx", "no CGI"),),
        risks=(Risk("bash:amd64", "/usr/bin/bash", "/usr/sbin/nginx"),),
        links=(DirectoryLink("/bin", "/usr/bin"),),
        kept=(ListedPaths("nginx:amd64", "/usr/sbin", ("nginx",)),),
        removed=(
            ListedPaths(None, "/srv", ("old",)),
            ListedPaths("bash:amd64", "/usr/bin", ("bash", "rbash")),
            ListedPaths("odd\x1b[31m:amd64", "/", ("odd\nname",)),
        ),
    )
    return dataclasses.replace(plan, **changes)


def full_plan(**changes: Any) -> Plan:
    """Return a plan of several runs and a policy that has something of every section."""
    risky = dataclasses.replace(package("curl", "remove", 0, 4, 500_000), risk="high")
    plan = example_plan(
        packages=(
            dataclasses.replace(package("bash", "remove", 0, 2, 7_163_904), risk="low"),
            risky,
            dataclasses.replace(package("libc6", "keep", 12, 12, 12_900_000), layer=0),
            dataclasses.replace(package("nginx", "keep", 2, 2, 1_300_000), layer=1),
            package("odd\x1b[31m", "remove", 0, 1, 999),
            dataclasses.replace(package("tzdata", "trim", 1, 10, 3_000_000), granularity="trim"),
        ),
        traces=(
            TraceInput("0" * 16, "smoke", "complete", (), 100, "2026-01-31T12:00:00Z", "fanotify"),
            TraceInput("1" * 16, "load", "partial", ("late attach",), 214, "2026-02-01T12:00:00Z"),
        ),
        profile=Profile(
            214,
            3,
            12,
            30,
            "Chao2",
            3,
            9,
            (CurvePoint(0, 0, 90), CurvePoint(0, 60, 100), CurvePoint(1, 1, 214)),
        ),
        sessions=(
            TraceSession(0, "container", "/usr/sbin/nginx"),
            TraceSession(1, "container", "/usr/sbin/nginx"),
        ),
        risks=(
            Risk("curl:amd64", "/usr/bin/curl", "/app/run.sh", "high", "command"),
            Risk("curl:amd64", None, "nginx:amd64", "medium", "recommends"),
            Risk("bash:amd64", "/usr/bin/bash", "/etc/passwd"),
            Risk("bash:amd64", "/usr/bin/bash", "/usr/sbin/nginx"),
            Risk(None, "/srv/old", "/usr/sbin/nginx"),
        ),
        pins=(
            Pin("keep", "package:libc6", "everything needs it", 12),
            Pin("remove", "/srv/old", "\u202enobody needs it", 1, "2027-01-31"),
        ),
        gave_way=(GaveWay("/usr/bin/rbash", "shell/sh", "/usr/sbin/nginx", "no shells"),),
        unless_used=(UnlessUsed("shell", "nobody logs in", 34, 2, 0, ("/usr/bin/bash",)),),
        left_out=(LeftOut("injected", "/usr/bin/curl", "the probe's", 4),),
        surface=(SurfaceCount("executable", 900, 12), SurfaceCount("shell", 3, 0)),
        exposed=(
            Exposed("setuid", "/usr/bin/su", False, "login:amd64", "root"),
            Exposed("living-off-the-land", "/usr/sbin/nginx", True, "nginx:amd64"),
        ),
        needs=(
            Need("user", "33:33", ("/usr/sbin/nginx",)),
            Need("port", "tcp 0.0.0.0:80", ("/usr/sbin/nginx",)),
        ),
        unrecorded=(Unrecorded("syscalls", "recorded without --also calls"),),
        beforehand=(
            Beforehand("slim-base", 0, 60, 40_000_000, 50, 30_000_000),
            Beforehand("multi-stage", 1, 30, 20_000_000, 30, 20_000_000),
            Beforehand("both", 1, 80, 58_000_000, 70, 48_000_000),
        ),
        distribution=Distribution("debian", "12", "Debian GNU/Linux 12 (bookworm)"),
        removed=(
            ListedPaths(None, "/srv", ("old",)),
            ListedPaths("bash:amd64", "/usr/bin", ("bash", "rbash")),
            ListedPaths("curl:amd64", "/usr/bin", ("curl",)),
            ListedPaths("odd\x1b[31m:amd64", "/", ("odd\nname",)),
        ),
    )
    return dataclasses.replace(plan, **changes)
