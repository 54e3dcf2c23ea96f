"""Package URLs: as the specification and Syft have them; of no name one that misleads."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from packageurl import PackageURL

from any_plan import PACKAGES
from paredown_minimizer.evidence.purls import image_purl, package_purl
from paredown_minimizer.evidence.subject import NamedImage
from paredown_schemas.names import escape_name
from paredown_schemas.plan import Distribution, PackageDecision
from plans import package

MANAGERS = ("dpkg", "apk", "rpm", "python", "npm", "gem", "java", "composer")
DEBIAN = Distribution("debian", "12")


def _package(manager: str, name: str, version: str, **fields: Any) -> PackageDecision:
    return dataclasses.replace(
        package(name, "keep", 1, 1, 1), manager=manager, version=version, **fields
    )


@pytest.mark.parametrize(
    ("decision", "distribution", "purl"),
    [
        (
            _package("dpkg", "nginx", "1.22.1-9+deb12u1"),
            DEBIAN,
            "pkg:deb/debian/nginx@1.22.1-9%2Bdeb12u1?arch=amd64&distro=debian-12",
        ),
        (
            _package("dpkg", "libssl3", "3.0-1", source="openssl", source_version="1:3.0"),
            DEBIAN,
            "pkg:deb/debian/libssl3@3.0-1?arch=amd64&distro=debian-12&upstream=openssl%401:3.0",
        ),
        (
            _package("dpkg", "attr", "1:2.4-2+b1", source_version="1:2.4-2"),
            Distribution("ubuntu"),
            "pkg:deb/ubuntu/attr@1:2.4-2%2Bb1?arch=amd64&distro=ubuntu&upstream=attr%401:2.4-2",
        ),
        (
            _package("apk", "libcrypto3", "3.3.2-r0", source="openssl", architecture="x86_64"),
            Distribution("alpine", "3.20.3"),
            "pkg:apk/alpine/libcrypto3@3.3.2-r0?arch=x86_64&distro=alpine-3.20.3&upstream=openssl",
        ),
        (
            _package("rpm", "Curl", "2:7.76.1-29.el9", source="curl", architecture="x86_64"),
            Distribution("rhel", "9.4"),
            (
                "pkg:rpm/redhat/Curl@7.76.1-29.el9?arch=x86_64&distro=rhel-9.4&epoch=2"
                "&upstream=curl-7.76.1-29.el9.src.rpm"
            ),
        ),
        (
            _package("rpm", "perl-Encode", "4:3.1-2", source="perl", source_version="4:5.3-1"),
            Distribution("fedora", "40"),
            (
                "pkg:rpm/fedora/perl-Encode@3.1-2?arch=amd64&distro=fedora-40&epoch=4"
                "&upstream=perl-5.3-1.src.rpm"
            ),
        ),
        (
            _package("rpm", "kernel-5.14.0-1.el9", "5.14.0-1.el9", architecture="x86_64"),
            Distribution("almalinux", "9"),
            (
                "pkg:rpm/almalinux/kernel@5.14.0-1.el9?arch=x86_64&distro=almalinux-9"
                "&upstream=kernel-5.14.0-1.el9.src.rpm"
            ),
        ),
        (_package("python", "zope-interface", "6.0"), None, "pkg:pypi/zope-interface@6.0"),
        (_package("npm", "@angular/core", "12.3.1"), None, "pkg:npm/%40angular/core@12.3.1"),
        (_package("npm", "debug", "4.3.4"), None, "pkg:npm/debug@4.3.4"),
        (_package("gem", "rack", "3.0.8"), None, "pkg:gem/rack@3.0.8"),
        (_package("composer", "Monolog/monolog", "3.5"), None, "pkg:composer/monolog/monolog@3.5"),
        (
            _package("java", "log4j-core", "2.17", group="org.apache.logging.log4j"),
            None,
            "pkg:maven/org.apache.logging.log4j/log4j-core@2.17",
        ),
        # What the type demands and nobody knows makes no Package URL.
        (_package("dpkg", "nginx", "1"), None, None),
        (_package("java", "app", "1"), None, None),
        (_package("composer", "private", "1"), None, None),
        (_package("unknown", "x", "1"), DEBIAN, None),
        # Names that a reader would take for others.
        (_package("dpkg", "/", "1"), DEBIAN, None),
        (_package("npm", "@a/../b", "1"), None, "pkg:npm/%40a/../b@1"),
    ],
)
def test_packages_are_named_as_their_types_define(
    decision: PackageDecision, distribution: Distribution | None, purl: str | None
) -> None:
    found = package_purl(decision, distribution)
    assert (found and found.to_string()) == purl


@settings(max_examples=100, deadline=None)
@given(PACKAGES, st.sampled_from(MANAGERS), st.sampled_from(["debian", "De bian", "/", "a/b"]))
def test_every_package_url_is_valid_and_reads_back_as_the_package(
    decision: PackageDecision, manager: str, vendor: str
) -> None:
    decision = dataclasses.replace(decision, manager=manager)
    purl = package_purl(decision, Distribution(vendor, "12"))
    if purl is not None:
        text = purl.to_string()
        assert text.isascii()
        assert not PackageURL.validate_string(text)
        again = PackageURL.from_string(text)
        assert again == purl
        own = "/".join(filter(None, (again.namespace, again.name))).lower()
        assert own.endswith(escape_name(decision.name).lower())
        assert escape_name(decision.version).endswith(again.version or "")


def test_images_are_named_by_the_end_of_their_repository() -> None:
    digest = "sha256:" + "a" * 64
    expected = f"pkg:oci/web@{digest}"
    for reference in ("web", "web:1-slim", "r.example:5000/team/Web:1", f"r.example/web@{digest}"):
        purl = image_purl(NamedImage(None, f"{reference.partition('@')[0]}@{digest}"))
        assert purl is not None
        assert purl.to_string().replace("%3A", ":") == expected
    assert image_purl(NamedImage(digest)) is None
    assert image_purl(NamedImage(None, "web:1")) is None
    assert image_purl(NamedImage(None, "web@sha256:" + "A" * 64)) is None
