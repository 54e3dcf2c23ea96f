"""What rpm, dnf, zypper and the scripts of their distributions' packages make.

Each row of the table says who makes the files.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from collections.abc import Set as AbstractSet

from paredown_minimizer.image.model import Image
from paredown_minimizer.packages.base import Package
from paredown_minimizer.packages.derived import Derivation, Made, Makers

_DNF = ("dnf", "dnf5", "dnf-data", "libdnf", "libdnf5", "microdnf", "yum")
_MADE: Made = (
    # dnf's and yum's caches, records of transactions and logs
    (r"/var/(cache|lib)/(dnf|libdnf5|PackageKit|yum)/.+", _DNF),
    (r"/var/log/(dnf5?|hawkey|yum)(\.[a-z]+)*\.log(\..+)?", _DNF),
    (r"/var/(cache|lib)/tdnf/.+", ("tdnf",)),
    (r"/var/(cache|lib)/zypp/.+|/var/log/zypp/.+|/var/log/zypper\.log", ("libzypp", "zypper")),
    (r"/var/lib/rpm-state/.+", ("rpm",)),  # macros.filesystem, _rpmstatedir
    # ldconfig's caches: see dpkg_derived.py
    (r"/etc/ld\.so\.cache|/var/cache/ldconfig/aux-cache", ("glibc",)),
    (r"/usr/lib(64)?/gconv/gconv-modules\.cache", ("glibc", "glibc-locale-base")),  # iconvconfig
    (  # build-locale-archive
        r"/usr/lib/locale/locale-archive(\.tmpl)?",
        ("glibc-common", "glibc-all-langpacks", "glibc-locale"),
    ),
    # update-ca-trust(8), update-ca-certificates(8) of SUSE
    (r"/etc/pki/ca-trust/extracted/.+|/var/lib/ca-certificates/.+", ("ca-certificates",)),
    # alternatives(8) of chkconfig, update-alternatives(1) of SUSE
    (
        r"/var/lib/alternatives/.+|/var/lib/rpm/alternatives/.+",
        ("alternatives", "chkconfig", "update-alternatives"),
    ),
    (r"/usr/share/info/dir(\.old)?", ("info", "install-info")),  # install-info
    (r"/etc/xml/catalog.*", ("libxml2", "xml-common", "sgml-skel")),  # xmlcatalog
    (r"/etc/sgml/.+", ("sgml-common", "sgml-skel")),  # install-catalog
)
_MAKERS = Makers(
    made=_MADE,
    # alternatives(8), chkconfig(8), systemctl enable, update-ca-certificates, c_rehash
    links=re.compile(
        r"/etc/alternatives/.+|/etc/(rc\.d/)?rc[0-9S]\.d/.+|/etc/systemd/(system|user)/.+"
        r"|/etc/(pki/tls|ssl)/certs/.+"
    ),
)


def derived_paths(
    image: Image,
    packages: Mapping[str, Package],
    owners: Mapping[str, frozenset[str]],
    database: AbstractSet[str],
) -> dict[str, frozenset[str]]:
    """Return what was made from what: path -> the package keys and paths behind it."""
    return Derivation(image, packages, owners, database, _MAKERS).paths({})
