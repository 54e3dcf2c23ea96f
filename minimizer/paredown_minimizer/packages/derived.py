"""Files of a Debian system that no package lists, but that were made from what packages brought.

Each row of the tables says who makes the files. What nobody here makes is the application's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet

from paredown_minimizer.image.model import Image, Tree, join
from paredown_minimizer.packages import dpkg_format as formats
from paredown_minimizer.packages.base import Package
from paredown_minimizer.packages.dpkg_files import ALTERNATIVES, lines_of, text_of

# Pattern of the paths, and the packages whose programs or maintainer scripts make them.
_MAKERS: tuple[tuple[str, tuple[str, ...]], ...] = (
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
    (r"/var/lib/systemd/catalog/database", ("systemd",)),  # journalctl --update-catalog
    (r"(/etc|/usr/lib)/udev/hwdb\.bin", ("udev", "systemd-hwdb")),  # systemd-hwdb update
    (r"/usr/share/info/dir(\.old)?", ("install-info", "base-files")),  # update-info-dir, postinst
    (r"/var/cache/man/.+", ("man-db",)),  # mandb
    (r"/var/cache/fontconfig/.+|/usr/share/fonts/.+\.uuid", ("fontconfig",)),  # fc-cache
    (r"/usr/share/mime/.+", ("shared-mime-info",)),  # update-mime-database
    (r"/usr/share/applications/mimeinfo\.cache", ("desktop-file-utils",)),
    (r"/usr/lib/(.+/)?gio/modules/giomodule\.cache", ("libglib2.0-0", "libglib2.0-0t64")),
    (r"/usr/share/glib-2\.0/schemas/gschemas\.compiled", ("libglib2.0-0", "libglib2.0-0t64")),
    (r"/usr/lib/(.+/)?gdk-pixbuf-2\.0/.+/loaders\.cache", ("libgdk-pixbuf-2.0-0",)),
    (r"/usr/lib/(.+/)?gtk-2\.0/.+/immodules\.cache", ("libgtk2.0-0", "libgtk2.0-0t64")),
    (r"/usr/lib/(.+/)?gtk-3\.0/.+/immodules\.cache", ("libgtk-3-0", "libgtk-3-0t64")),
    (r"/etc/xml/.+|/var/lib/xml-core/.+", ("xml-core",)),  # update-xmlcatalog
    (r"/etc/sgml/.+|/var/lib/sgml-base/.+", ("sgml-base",)),  # update-catalog
    (r"/var/lib/(dictionaries-common|ispell|aspell)/.+", ("dictionaries-common",)),
    (r"/var/lib/emacsen-common/.+", ("emacsen-common",)),
)
_ANY_MAKER = re.compile("|".join(f"(?:{pattern})" for pattern, _ in _MAKERS))

# Symlinks that maintainer scripts make to what packages own: update-rc.d's and systemctl enable's
# links, c_rehash's and update-ca-certificates', dpkg's origin (base-files).
_LINKS = re.compile(
    r"/etc/rc[0-9S]\.d/.+|/etc/systemd/(system|user)/.+|/etc/ssl/certs/.+"
    r"|/etc/dpkg/origins/default"
)
# deb-systemd-helper(1) notes what it enabled as empty files, named for the unit.
_HELPER = re.compile(
    r"/var/lib/systemd/deb-systemd-(?:user-)?helper-[^/]+/(?:.+/)?([^/]+?)(?:\.dsh-also)?"
)
_UNITS = ("/usr/lib/systemd/system", "/usr/lib/systemd/user", "/lib/systemd/system")
# gtk-update-icon-cache, from the theme around it
_ICONS = re.compile(r"(/usr/share/icons/.+)/icon-theme\.cache")
# PEP 3147, and beside the source as Python 2 had it
_PYCACHE = re.compile(r"(.*/)__pycache__/([^/]+?)\.[a-z]+-[0-9]+(?:\.opt-[0-9a-z]+)?\.pyc")
_PYC = re.compile(r"(.*)\.py[co]")


def derived_paths(
    image: Image,
    packages: Mapping[str, Package],
    owners: Mapping[str, frozenset[str]],
    database: AbstractSet[str],
) -> dict[str, frozenset[str]]:
    """Return what was made from what: path -> the package keys and paths behind it."""
    tree = image.tree
    unowned = [path for path in tree if path not in owners and path not in database]
    names: dict[str, set[str]] = {}
    for key, package in packages.items():
        names.setdefault(package.name, set()).add(key)
    derived = dict(_alternatives(image, owners))
    derived.update(_ucf(image, names))
    for path in unowned:
        if path not in derived and tree[path].type != "directory":
            sources = _sources(tree, path, owners, names)
            if sources:
                derived[path] = frozenset(sources)
    derived = {path: derived[path] for path in unowned if path in derived}
    _add_directories(tree, unowned, derived)
    return derived


def _sources(
    tree: Tree,
    path: str,
    owners: Mapping[str, frozenset[str]],
    names: Mapping[str, AbstractSet[str]],
) -> AbstractSet[str]:
    for source in (_linked(tree, path), _unit(tree, path), _compiled(path), _icon_theme(path)):
        if source is not None and source in owners:
            return {source}
    if _ANY_MAKER.fullmatch(path) is None:
        return frozenset()
    makers = next(makers for pattern, makers in _MAKERS if re.fullmatch(pattern, path))
    return {key for name in makers for key in names.get(name, ())}


def _linked(tree: Tree, path: str) -> str | None:
    if tree[path].type != "symlink" or not _LINKS.fullmatch(path):
        return None
    resolved = tree.resolve(path)
    return resolved.path if resolved else None


def _unit(tree: Tree, path: str) -> str | None:
    match = _HELPER.fullmatch(path)
    units = (join(directory, match[1]) for directory in _UNITS) if match else ()
    return next((unit for unit in units if unit in tree), None)


def _compiled(path: str) -> str | None:
    if match := _PYCACHE.fullmatch(path):
        return f"{match[1]}{match[2]}.py"
    match = _PYC.fullmatch(path)
    return f"{match[1]}.py" if match else None


def _icon_theme(path: str) -> str | None:
    match = _ICONS.fullmatch(path)
    return f"{match[1]}/index.theme" if match else None


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


def _ucf(
    image: Image, names: Mapping[str, AbstractSet[str]]
) -> Iterator[tuple[str, frozenset[str]]]:
    """Configuration that maintainer scripts copied by ucf(1) is its package's."""
    for line in lines_of(image, "/var/lib/ucf/registry"):
        package, _, path = line.partition(" ")
        keys = frozenset(names.get(package, ()))
        if keys:
            yield image.tree.canonical(path.strip()), keys


def _add_directories(
    tree: Tree,
    unowned: list[str],
    derived: dict[str, frozenset[str]],
) -> None:
    """A directory that was made to hold derived files alone is derived with them."""
    for path in reversed(unowned):
        below = tree.children.get(path, [])
        if tree[path].type == "directory" and below and all(child in derived for child in below):
            derived[path] = frozenset().union(*(derived[child] for child in below))
