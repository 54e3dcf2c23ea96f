"""What a scan says, whoever made it, and the protocol of the formats that it comes in.

Adding a format touches its own file, ``formats.FORMATS``, ScanFormat of the schema and its test.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Iterable, Iterator
from typing import Protocol

from packageurl import PackageURL

from paredown_minimizer.cves.reading import Node
from paredown_schemas.cves import ScanFormat, Severity

_CVE = re.compile(r"CVE-\d{4}-\d{4,19}", re.IGNORECASE)
# purl types, and scanners' own words for a package's type, as managers of plans.
_MANAGERS = {
    "apk": "apk",
    "apk-db": "apk",
    "alpm": "alpm",
    "composer": "composer",
    "composer-vendor": "composer",
    "deb": "dpkg",
    "dpkg": "dpkg",
    "gem": "gem",
    "gemspec": "gem",
    "jar": "java",
    "java-archive": "java",
    "jenkins-plugin": "java",
    "maven": "java",
    "node-pkg": "npm",
    "npm": "npm",
    "php-composer": "composer",
    "php-composer-installed": "composer",
    "pypi": "python",
    "python": "python",
    "python-pkg": "python",
    "rpm": "rpm",
}
SYSTEM = ("dpkg", "apk", "rpm")


@dataclasses.dataclass(frozen=True, slots=True)
class Subject:
    """A package as a scanner names it. ``type`` is a plan's manager where it is one of those."""

    name: str
    version: str
    type: str
    architecture: str = ""
    source: str = ""  # name of the source package
    paths: tuple[str, ...] = ()  # where it was found, absolute in the image


@dataclasses.dataclass(frozen=True, slots=True)
class Found:
    """One vulnerability in one package."""

    id: str
    aliases: tuple[str, ...]
    severity: Severity
    fixed: tuple[str, ...]
    subject: Subject


@dataclasses.dataclass(frozen=True, slots=True)
class Report:
    """A whole scan. ``layers`` are diff_ids of what was scanned, where it tells."""

    format: ScanFormat
    found: tuple[Found, ...]
    packages: tuple[Subject, ...] = ()  # all that were found; none where the scan lists none
    tool: str | None = None
    database: str | None = None
    created: str | None = None
    image: str | None = None
    layers: tuple[str, ...] = ()


class Reader(Protocol):
    """One format of scans."""

    name: ScanFormat

    def detect(self, document: Node) -> bool:
        """Say whether a JSON document is of this format, whatever else is wrong with it."""

    def read(self, document: Node) -> Report:
        """Read it; raises DamagedInputError with the JSON path where it is malformed."""


def _source(type_: str, upstream: str) -> str:
    """Return the source package's name: NAME@VERSION, of rpm NAME-VERSION-RELEASE.src.rpm."""
    return upstream.rsplit("-", 2)[0] if type_ == "rpm" else upstream.partition("@")[0]


def subject(
    name: str,
    version: str,
    type_: str,
    purl: str = "",
    source: str = "",
    paths: Iterable[str] = (),
) -> Subject:
    """Return a package by what a scanner says of it; a purl says most, if it is one.

    Followed: the Package URL specification, with the qualifiers ``arch``,
    ``epoch`` and ``upstream``.
    """
    architecture = ""
    url = _parsed(purl) if purl else None
    if url is not None:
        type_ = url.type
        qualifiers = url.qualifiers if isinstance(url.qualifiers, dict) else {}
        architecture = qualifiers.get("arch", "")
        source = source or _source(type_, qualifiers.get("upstream", ""))
        if type_ in ("npm", "composer") and url.namespace:
            name = f"{url.namespace}/{url.name}"
        name = name or url.name
        version = version or url.version or ""
        epoch = qualifiers.get("epoch", "0")
        version = version if epoch == "0" or ":" in version else f"{epoch}:{version}"
    manager = _MANAGERS.get(type_.lower(), type_)
    absolute = dict.fromkeys("/" + path.lstrip("/") for path in paths if path)
    return Subject(name, version, manager, architecture, source, tuple(absolute))


@functools.lru_cache(maxsize=1 << 14)
def _parsed(purl: str) -> PackageURL | None:
    """A package has many vulnerabilities."""
    try:
        return PackageURL.from_string(purl)
    except ValueError:
        return None


def is_cve(name: str) -> bool:
    """Say whether a vulnerability's name is CVE's."""
    return _CVE.fullmatch(name) is not None


def vulnerabilities(
    ids: Iterable[str], severity: Severity, fixed: Iterable[str], found_in: Subject
) -> Iterator[Found]:
    """Yield one finding for each CVE among ``ids``; where there is none, one for the first.

    What else is among them are the aliases of each: an advisory may be about many CVEs.
    """
    names = list(dict.fromkeys(filter(None, ids)))
    cves = [name.upper() for name in names if is_cve(name)]
    others = [name for name in names if not is_cve(name)]
    versions = tuple(dict.fromkeys(filter(None, fixed)))
    for name in cves or others[:1]:
        aliases = tuple(sorted(other for other in others if other != name))
        yield Found(name, aliases, severity, versions, found_in)
