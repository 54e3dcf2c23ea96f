"""Package URLs: the names by which SBOMs, VEX and scanners know packages and images.

Followed: ECMA-427 and its type definitions (package-url/purl-spec, types/); of ``upstream``, which
they do not have, what Syft writes and Grype reads (syft/pkg/url.go).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from packageurl import PackageURL

from paredown_minimizer.evidence.subject import NamedImage
from paredown_schemas.names import escape_name
from paredown_schemas.plan import Distribution, PackageDecision

# The vendor is not the ID of os-release: for Red Hat's and openSUSE's, after Syft and Trivy.
_VENDORS = {"rhel": "redhat", "opensuse-leap": "opensuse", "opensuse-tumbleweed": "opensuse"}


def package_purl(package: PackageDecision, distribution: Distribution | None) -> PackageURL | None:
    """Return the Package URL of an installed package.

    None where it has none: a package of the system needs the vendor, which is the distribution
    that the image says it is; a Java archive its group, one of Composer a vendor; a name may be
    what no Package URL can say.
    """
    if (kind := _TYPES.get(package.manager)) is not None:
        return kind(package)
    if (system := _SYSTEMS.get(package.manager)) is not None and distribution is not None:
        return system(package, distribution)
    return None


def image_purl(image: NamedImage) -> PackageURL | None:
    """Return the Package URL of an image; None where its reference or its digest is not known.

    Without qualifiers, since every one that is there must be met by whoever looks for it, and
    tools do not agree on the form of ``repository_url``.
    """
    if image.digest is None:
        return None
    return _purl("oci", None, image.repository.rpartition("/")[2], image.digest)


def _deb(package: PackageDecision, distribution: Distribution) -> PackageURL | None:
    return _purl(
        "deb",
        distribution.id.lower(),
        package.name.lower(),
        package.version,
        arch=package.architecture,
        distro=_distro(distribution),
        upstream=_upstream(package),
    )


def _apk(package: PackageDecision, distribution: Distribution) -> PackageURL | None:
    return _purl(
        "apk",
        distribution.id,
        package.name,
        package.version,
        arch=package.architecture,
        distro=_distro(distribution),
        upstream=_upstream(package),
    )


def _rpm(package: PackageDecision, distribution: Distribution) -> PackageURL | None:
    """Return its name; ``upstream`` is the source's file name, which has no epoch."""
    epoch, _, version = package.version.rpartition(":")
    vendor = distribution.id.lower()
    # Several versions beside each other are told apart by the name.
    name = package.name.removesuffix(f"-{package.version}")
    built = (package.source_version or package.version).rpartition(":")[2]
    return _purl(
        "rpm",
        _VENDORS.get(vendor, vendor),
        name,
        version,
        arch=package.architecture,
        distro=_distro(distribution),
        epoch=epoch,
        upstream=f"{package.source or name}-{built}.src.rpm",
    )


def _distro(distribution: Distribution) -> str:
    return "-".join(filter(None, (distribution.id, distribution.version_id)))


def _upstream(package: PackageDecision) -> str:
    """Return the source package, where its name or version is another."""
    if not (package.source or package.source_version):
        return ""
    return "@".join(filter(None, (package.source or package.name, package.source_version)))


def _python(package: PackageDecision) -> PackageURL | None:
    return _purl("pypi", None, package.name, package.version)


def _gem(package: PackageDecision) -> PackageURL | None:
    return _purl("gem", None, package.name, package.version)


def _npm(package: PackageDecision) -> PackageURL | None:
    scope, _, name = package.name.rpartition("/")
    return _purl("npm", scope, name, package.version)


def _composer(package: PackageDecision) -> PackageURL | None:
    vendor, _, name = package.name.rpartition("/")
    return _purl("composer", vendor, name, package.version) if vendor else None


def _java(package: PackageDecision) -> PackageURL | None:
    return _purl("maven", package.group, package.name, package.version) if package.group else None


_SYSTEMS: dict[str, Callable[[PackageDecision, Distribution], PackageURL | None]] = {
    "apk": _apk,
    "dpkg": _deb,
    "rpm": _rpm,
}
_TYPES: dict[str, Callable[[PackageDecision], PackageURL | None]] = {
    "composer": _composer,
    "gem": _gem,
    "java": _java,
    "npm": _npm,
    "python": _python,
}


def _purl(
    kind: str, namespace: str | None, name: str, version: str, **qualifiers: str
) -> PackageURL | None:
    """Return what is valid, says all of the name and reads back as itself; or nothing.

    A Package URL's parts are Unicode, so that other bytes of a name are escaped. What of a hostile
    name would be dropped on the way ("/" at its ends) makes it one that cannot be said.
    """
    said = [escape_name(part) if part else None for part in (namespace, name, version)]
    told = {key: escape_name(value) for key, value in qualifiers.items() if value}
    try:
        purl = PackageURL(kind, said[0], said[1], said[2], told)
        text = purl.to_string()
        known = PackageURL.from_string(text) == purl and not PackageURL.validate_string(text)
    except (ValueError, TypeError):
        return None
    return purl if known and _folded(purl[1:4]) == _folded(said) else None


def _folded(parts: Iterable[str | None]) -> list[str]:
    return [(part or "").lower() for part in parts]
