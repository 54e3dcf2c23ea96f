"""Which modules OpenSSL's configuration names: providers and engines (config(5) of OpenSSL)."""

from __future__ import annotations

import posixpath
import re

from paredown_minimizer.contents import Contents

_PLACES = ("/etc/ssl/openssl.cnf", "/etc/pki/tls/openssl.cnf", "/usr/local/ssl/openssl.cnf")
_MODULE = re.compile(r".*/(?:ossl-modules|engines-[^/]+)/([^/]+)\.so")
_LISTS = ("providers", "engines")  # of sections
_LOADS = ("module", "dynamic_path", "engine_id")


def configured_modules(contents: Contents, named_by_environment: str | None) -> list[str]:
    """Return the modules of the image that a configuration names, sorted, without their ``.so``.

    ``named_by_environment``: what OPENSSL_CONF says.
    """
    sections: dict[str, dict[str, str]] = {}
    for path in filter(None, (*_PLACES, named_by_environment)):
        _read(contents.text(path), sections)
    named: set[str] = set()
    for settings in sections.values():
        for key in _LISTS:
            named.update(sections.get(settings.get(key, ""), ()))
        for key in _LOADS:
            named.add(posixpath.basename(settings.get(key, "")).removesuffix(".so"))
    present = map(_MODULE.fullmatch, contents.image.tree)
    return sorted({match[1] for match in present if match} & named)


def _read(text: str, sections: dict[str, dict[str, str]]) -> None:
    section = sections.setdefault("default", {})
    for line in text.splitlines():
        setting = line.partition("#")[0].strip()
        if setting.startswith("["):
            section = sections.setdefault(setting.strip("[] \t"), {})
        else:
            name, _, value = setting.partition("=")
            section[name.strip()] = value.strip()
