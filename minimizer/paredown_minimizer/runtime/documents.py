"""Settings as YAML for compose and Kubernetes, each with its evidence as a comment above it.

Followed: Compose specification, "services"; Kubernetes API, PodSpec and SecurityContext.
"""

from __future__ import annotations

import io
import itertools
import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from paredown_minimizer.runtime.formats import GROUPS, PROFILE, not_set, shown
from paredown_minimizer.runtime.settings import Mount, Setting, Settings

# YAML 1.1, which many still read, takes 33:34 for a number of minutes.
_PLAIN = re.compile(r"[A-Za-z/][A-Za-z/_.-]*")
_PORT_SYSCTL = "net.ipv4.ip_unprivileged_port_start"


class _Told(NamedTuple):
    """A value with its evidence."""

    value: Any
    why: Sequence[str]


def as_compose(settings: Settings) -> str:
    """Return a service ``app``, to merge with one's own (docker compose -f … -f …)."""
    service: dict[str, Any] = {}
    if settings.user.value:
        service["user"] = _told(settings.user)
        service["group_add"] = [_Told(group, (GROUPS,)) for group in settings.groups]
    if settings.capabilities.value:
        service["cap_drop"] = _Told(["ALL"], settings.capabilities.why)
        service["cap_add"] = [_told(added) for added in settings.added]
    if settings.root.value:
        service["read_only"] = _Told(True, settings.root.why)
        service["tmpfs"] = [
            _Told(f"{mount.path}:{mount.options}", (mount.why,)) for mount in _of("tmpfs", settings)
        ]
        service["volumes"] = [
            _Told({"type": "volume", "target": mount.path}, (mount.why,))
            for mount in _of("volume", settings)
        ]
    service["security_opt"] = []
    if settings.no_new_privileges.value:
        option = _Told("no-new-privileges:true", settings.no_new_privileges.why)
        service["security_opt"].append(option)
    if settings.seccomp.value:
        service["security_opt"].append(_Told(f"seccomp:{PROFILE}", settings.seccomp.why))
    service = {key: value for key, value in service.items() if value != []}
    return _yaml({"services": {"app": service}}, not_set(settings))


def as_kubernetes(settings: Settings) -> str:
    """Return the part of a pod that restricts its container ``app``."""
    notes = not_set(settings)
    container: dict[str, Any] = {"name": "app", "securityContext": _context(settings, notes)}
    pod: dict[str, Any] = {}
    if settings.groups:
        pod["supplementalGroups"] = _Told([int(group) for group in settings.groups], (GROUPS,))
    if settings.lowest_port.value:
        sysctl = {"name": _PORT_SYSCTL, "value": settings.lowest_port.value}
        pod["sysctls"] = [_Told(sysctl, settings.lowest_port.why)]
    spec: dict[str, Any] = {"securityContext": pod} if pod else {}
    spec["containers"] = [container]
    if named := _volume_names(settings.mounts):
        container["volumeMounts"] = [
            _Told({"name": name, "mountPath": mount.path}, (mount.why,)) for name, mount in named
        ]
        spec["volumes"] = [_volume(name, mount) for name, mount in named]
    return _yaml({"spec": spec}, notes)


def _context(settings: Settings, notes: list[str]) -> dict[str, Any]:
    context: dict[str, Any] = {}
    if settings.user.value:
        uid, _, gid = settings.user.value.partition(":")
        context["runAsNonRoot"] = _Told(True, settings.user.why)
        context["runAsUser"] = int(uid)
        if gid:
            context["runAsGroup"] = int(gid)
    if settings.capabilities.value:
        context["capabilities"] = {"drop": _Told(["ALL"], settings.capabilities.why)}
        if settings.added:
            context["capabilities"]["add"] = [
                _Told(str(added.value).removeprefix("CAP_"), added.why) for added in settings.added
            ]
    if settings.root.value:
        context["readOnlyRootFilesystem"] = _Told(True, settings.root.why)
    if settings.no_new_privileges.value:
        # Kubernetes refuses the two together (API, SecurityContext.allowPrivilegeEscalation).
        if any(added.value == "CAP_SYS_ADMIN" for added in settings.added):
            notes.append("allowPrivilegeEscalation is not set: CAP_SYS_ADMIN is added")
        else:
            context["allowPrivilegeEscalation"] = _Told(False, settings.no_new_privileges.why)
    if settings.seccomp.value:
        profile = {"type": "Localhost", "localhostProfile": PROFILE}
        context["seccompProfile"] = _Told(profile, settings.seccomp.why)
    return context


def _told(setting: Setting) -> _Told:
    return _Told(setting.value, setting.why)


def _of(kind: str, settings: Settings) -> list[Mount]:
    return [mount for mount in settings.mounts if mount.kind == kind]


def _volume_names(mounts: Sequence[Mount]) -> list[tuple[str, Mount]]:
    """Each mount with a name as DNS labels are (RFC 1123)."""
    named: dict[str, Mount] = {}
    for mount in mounts:
        label = re.sub(r"[^a-z0-9]+", "-", mount.path.lower())[:50].strip("-") or "root"
        numbered = itertools.chain([label], (f"{label}-{n}" for n in itertools.count(2)))
        named[next(name for name in numbered if name not in named)] = mount
    return list(named.items())


def _volume(name: str, mount: Mount) -> Any:
    if mount.kind == "tmpfs":
        return {"name": name, "emptyDir": {"medium": "Memory"}}
    claim = {"name": name, "persistentVolumeClaim": {"claimName": name}}
    return _Told(claim, ("with a copy of what the image has there: an emptyDir would hide it",))


def _yaml(document: Any, notes: Sequence[str]) -> str:
    from ruamel.yaml import YAML  # noqa: PLC0415

    top = _commented(document, 0)
    if notes:
        top.yaml_set_start_comment("\n".join(notes) + "\n")
    yaml = YAML()
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.width = 1 << 20  # evidence and paths are never folded
    text = io.StringIO()
    yaml.dump(top, text)
    return text.getvalue()


def _commented(value: Any, indent: int) -> Any:
    """Return ``value`` as ruamel's own types; keys, or dashes, stand at ``indent``."""
    from ruamel.yaml.comments import CommentedMap, CommentedSeq  # noqa: PLC0415
    from ruamel.yaml.scalarstring import DoubleQuotedScalarString  # noqa: PLC0415

    if isinstance(value, str) and not _PLAIN.fullmatch(value):
        return DoubleQuotedScalarString(value)
    if not isinstance(value, (dict, list)):
        return value
    made: Any = CommentedMap() if isinstance(value, dict) else CommentedSeq()
    for key, item in _items(value):
        inner, why = item if isinstance(item, _Told) else (item, ())
        child = _commented(inner, indent + 2)
        if isinstance(value, dict):
            made[key] = child
        else:
            made.append(child)
        if why:
            text = "\n".join(shown(why))
            made.yaml_set_comment_before_after_key(key, before=text, indent=indent)
    return made


def _items(value: dict[str, Any] | list[Any]) -> Iterator[tuple[Any, Any]]:
    return iter(value.items()) if isinstance(value, dict) else enumerate(value)
