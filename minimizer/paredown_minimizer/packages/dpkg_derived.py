"""What dpkg's tools and the maintainer scripts of Debian's packages make.

Each row of the tables says who makes the files.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet

from paredown_minimizer.image.model import Image
from paredown_minimizer.packages import dpkg_format as formats
from paredown_minimizer.packages.base import Package
from paredown_minimizer.packages.derived import Derivation, Made, Makers
from paredown_minimizer.packages.dpkg_files import ALTERNATIVES
from paredown_minimizer.packages.texts import lines_of, text_of

_MADE: Made = (
    # apt's lists, archives, binary caches, extended_states and logs
    (r"/var/(lib|cache|log)/apt/.+", ("apt",)),
    (r"/var/cache/debconf/.+", ("debconf", "cdebconf")),
    # dpkg's and update-alternatives' logs; dpkg-db-backup's copies; bootstrap.log is debootstrap's,
    # a record of dpkg's first run
    (r"/var/log/(dpkg|alternatives|bootstrap)\.log(\..+)?", ("dpkg",)),
    (r"/var/backups/(dpkg|alternatives|apt)\..+", ("dpkg",)),
    # ldconfig's caches. The loader of libc6 is their reader, so they stay with it, as they are: an
    # entry whose library went is skipped by dl_open like one that never was. What ldconfig's own
    # package does is no reason to keep or drop them.
    (r"/etc/ld\.so\.cache|/var/cache/ldconfig/aux-cache", ("libc6",)),
    (r"/usr/lib/(.+/)?gconv/gconv-modules\.cache", ("libc6",)),  # iconvconfig in libc's postinst
    (r"/usr/lib/locale/locale-archive", ("locales",)),  # locale-gen
    # update-ca-certificates; the single links are derived from their targets below
    (r"/etc/ssl/certs/ca-certificates\.crt|/etc/ca-certificates\.conf", ("ca-certificates",)),
    (r"/etc/ssl/certs/java/cacerts", ("ca-certificates-java",)),  # its jks-keystore hook
    (r"/etc/pam\.d/common-.+|/var/lib/pam/.+", ("libpam-runtime",)),  # pam-auth-update
    (r"/var/lib/ucf/.+", ("ucf",)),
    (r"/var/lib/python/.+", ("python3-minimal",)),  # py3compile's list of runtimes
    (r"/var/lib/shells\.state", ("debianutils",)),  # update-shells
    (r"/var/lib/systemd/(deb-systemd-.+)", ("init-system-helpers",)),  # deb-systemd-helper
    (r"/usr/share/info/dir(\.old)?", ("install-info", "base-files")),  # update-info-dir, postinst
    (r"/etc/xml/.+|/var/lib/xml-core/.+", ("xml-core",)),  # update-xmlcatalog
    (r"/etc/sgml/.+|/var/lib/sgml-base/.+", ("sgml-base",)),  # update-catalog
    (r"/var/lib/(dictionaries-common|ispell|aspell)/.+", ("dictionaries-common",)),
    (r"/var/lib/emacsen-common/.+", ("emacsen-common",)),
)
_MAKERS = Makers(
    made=_MADE,
    # update-rc.d's and systemctl enable's links, c_rehash's and update-ca-certificates', dpkg's
    # origin (base-files)
    links=re.compile(
        r"/etc/rc[0-9S]\.d/.+|/etc/systemd/(system|user)/.+|/etc/ssl/certs/.+"
        r"|/etc/dpkg/origins/default"
    ),
    sources=(
        # deb-systemd-helper(1) notes what it enabled as empty files, named for the unit.
        (
            re.compile(
                r"/var/lib/systemd/deb-systemd-(?:user-)?helper-[^/]+/(?:.+/)?([^/]+?)(?:\.dsh-also)?"
            ),
            (
                r"/usr/lib/systemd/system/\1",
                r"/usr/lib/systemd/user/\1",
                r"/lib/systemd/system/\1",
            ),
        ),
    ),
)


def derived_paths(
    image: Image,
    packages: Mapping[str, Package],
    owners: Mapping[str, frozenset[str]],
    database: AbstractSet[str],
) -> dict[str, frozenset[str]]:
    """Return what was made from what: path -> the package keys and paths behind it."""
    derivation = Derivation(image, packages, owners, database, _MAKERS)
    return derivation.paths({**dict(_alternatives(image, owners)), **dict(_ucf(image, derivation))})


def _alternatives(
    image: Image, owners: Mapping[str, frozenset[str]]
) -> Iterator[tuple[str, frozenset[str]]]:
    """Both links of each alternative share the fate of the file at their end (dpkg's tools).

    One that dangles already (excluded documentation) shares the master's.
    """
    tree = image.tree
    for path in tree.children.get(ALTERNATIVES, ()):
        group = formats.parse_alternatives(
            path[len(ALTERNATIVES) + 1 :], text_of(image, path), path
        )
        (master, _), *_ = group.links
        ends = {name: tree.resolve(f"/etc/alternatives/{name}") for name, _ in group.links}
        for name, link in group.links:
            end = ends[name] or ends[master]
            if end is not None and end.path in owners:
                for made in (f"/etc/alternatives/{name}", tree.canonical(link)):
                    yield made, frozenset({end.path})


def _ucf(image: Image, derivation: Derivation) -> Iterator[tuple[str, frozenset[str]]]:
    """Configuration that maintainer scripts copied by ucf(1) is its package's."""
    for line in lines_of(image, "/var/lib/ucf/registry"):
        package, _, path = line.partition(" ")
        if keys := derivation.of_packages([package]):
            yield image.tree.canonical(path.strip()), keys
