"""Settings as a table and as docker's options (docker-run(1)); what is not set is told, too."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence

from paredown_minimizer.output import align
from paredown_minimizer.runtime.settings import Setting, Settings
from paredown_schemas.names import escape_name

PROFILE = "seccomp.json"
GROUPS = "the image's /etc/group has the user in it"
_LOWEST_PORT = "lowest port"


def as_text(settings: Settings) -> str:
    """Return a table of each setting with its evidence."""
    rows = [("setting", "value", "evidence")]
    for name, value, why in _lines(settings):
        rows.append((name, value, why[0]))
        rows += [("", "", "  " + line) for line in why[1:]]
    return "".join(line + "\n" for line in align(rows))


def _lines(settings: Settings) -> Iterator[tuple[str, str, Sequence[str]]]:
    for name, setting in _named(settings):
        value = f"drop {setting.value}" if setting is settings.capabilities else setting.value
        yield name, escape_name(str(value)) if setting.value else "-", shown(setting.why)
        if name == "user":
            for group in settings.groups:
                yield "", f"group {group}", (GROUPS,)
        if name == "capabilities" and setting.value:
            for added in settings.added:
                yield "", f"add {escape_name(str(added.value))}", shown(added.why)
        if name == "root":
            for mount in settings.mounts:
                where = f"{mount.path} ({mount.options})" if mount.options else mount.path
                yield "", f"{mount.kind} {escape_name(where)}", shown((mount.why,))


def _named(settings: Settings) -> Iterator[tuple[str, Setting]]:
    yield "user", settings.user
    yield "capabilities", settings.capabilities
    yield "root", settings.root
    yield "no new privileges", settings.no_new_privileges
    yield "seccomp", settings.seccomp
    yield _LOWEST_PORT, settings.lowest_port


def shown(lines: Sequence[str]) -> list[str]:
    """Return evidence with its names escaped."""
    return [escape_name(line) for line in lines]


def not_set(settings: Settings) -> list[str]:
    """Return the lines that say what is not set, and why; escaped."""
    lines: list[str] = []
    for name, setting in _named(settings):
        if setting.value is None and name != _LOWEST_PORT:
            first, *rest = shown(setting.why)
            lines += [f"{name}: not set: {first}", *("  " + line for line in rest)]
    return lines


def as_docker(settings: Settings) -> str:
    """Return an array for bash: ``docker run "${options[@]}" IMAGE``."""
    lines = ["options=("]
    for option, why in _options(settings):
        lines += [f"  # {line}" for line in shown(why)]
        lines.append("  " + shlex.quote(option))
    lines += [f"  # {line}" for line in not_set(settings)]
    return "\n".join([*lines, ")", ""])


def _options(settings: Settings) -> Iterator[tuple[str, Sequence[str]]]:
    if settings.user.value:
        yield f"--user={settings.user.value}", settings.user.why
        for group in settings.groups:
            yield f"--group-add={group}", (GROUPS,)
    if settings.capabilities.value:
        yield "--cap-drop=ALL", settings.capabilities.why
        for added in settings.added:
            yield f"--cap-add={added.value}", added.why
    if settings.root.value:
        yield "--read-only", settings.root.why
        for mount in settings.mounts:
            if mount.kind == "tmpfs":
                yield f"--tmpfs={mount.path}:{mount.options}", (mount.why,)
            else:
                yield f"--mount=type=volume,dst={mount.path}", (mount.why,)
    if settings.no_new_privileges.value:
        yield "--security-opt=no-new-privileges", settings.no_new_privileges.why
    if settings.seccomp.value:
        why = (*settings.seccomp.why, "the file is what --format seccomp writes")
        yield f"--security-opt=seccomp={PROFILE}", why
