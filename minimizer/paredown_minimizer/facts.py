"""What rules ask an image: values for the placeholders of their patterns."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Mapping

from paredown_minimizer import distributions, pam
from paredown_minimizer.contents import Contents
from paredown_minimizer.locales import installed_locales
from paredown_minimizer.openssl import configured_modules

# What container runtimes set where an image sets none (moby, oci.DefaultPathEnvUnix).
_DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_NSSWITCH = "/etc/nsswitch.conf"
# nsswitch.conf(5): a service, or an action such as [NOTFOUND=return].
_ACTION = re.compile(r"\[[^][]*\]")
# locale(7): language_TERRITORY.codeset@modifier, the language by ISO 639.
_LANGUAGES = ("LANG", "LANGUAGE")
_SUFFIX = re.compile(r"[_.@]")
_LANGUAGE = re.compile(r"[a-z]{2,3}")
_ICU = re.compile(r".*/libicuuc\.so\.([0-9]+)")
_COMMON_LICENCE = re.compile(r"/usr/share/common-licenses/([A-Za-z0-9.+-]*[A-Za-z0-9])")


class Facts:
    """An image and the environment that its configuration gives to programs."""

    def __init__(self, contents: Contents) -> None:
        """Read the environment."""
        self.contents = contents
        settings = contents.image.config.get("config") or {}
        lines = settings.get("Env") or ()
        self.environment = dict(line.split("=", 1) for line in lines if "=" in line)
        self.sites: dict[str, distributions.Site] = {}
        self.directory = settings.get("WorkingDir") or "/"
        self._path = (self.environment.get("PATH") or _DEFAULT_PATH).split(":")

    def commands(self, name: str) -> list[str]:
        """Return what execvp(3) would start for ``name``: one path, or none."""
        tree = self.contents.image.tree
        directories = [self.directory] if "/" in name else self._path
        for directory in directories:
            candidate = posixpath.join(self.directory, directory, name)
            resolved = tree.resolve(candidate)
            entry = resolved and tree[resolved.path]
            if entry and entry.type == "file" and entry.mode & 0o111:
                return [candidate]
        return []

    def sourced(self, name: str) -> list[str]:
        """Return the file that a shell reads as a script where it is told ``name``."""
        tree = self.contents.image.tree
        places = [self.directory, *self._path] if "/" not in name else [self.directory]
        for place in places:
            candidate = posixpath.join(self.directory, place, name)
            resolved = tree.resolve(candidate)
            if resolved is not None and tree[resolved.path].type == "file":
                return [candidate]
        return []


def _services_of(
    *databases: str, default: tuple[str, ...] = ("files",)
) -> Callable[[Facts, Mapping[str, str]], list[str]]:
    """Return what looks up the services of databases, by the names of nsswitch.conf(5).

    ``default`` is what glibc takes for one of them without a line (nss/nss_database.c, and before
    2.33 nss/nsswitch.c).
    """

    def services(facts: Facts, _captures: Mapping[str, str]) -> list[str]:
        lines = facts.contents.text(_NSSWITCH).splitlines()
        entries = [line.split("#")[0].partition(":") for line in lines]
        found = {name.strip(): _ACTION.sub(" ", entry).split() for name, _, entry in entries}
        return sorted({service for name in databases for service in found.get(name, default)})

    return services


def _time_zones(facts: Facts, _captures: Mapping[str, str]) -> list[str]:
    # tzset(3): ":Area/City", a path, or a POSIX rule, which names no file.
    zone = facts.environment.get("TZ", "").lstrip(":")
    return [zone.removeprefix("/usr/share/zoneinfo/")] if zone else []


def _locales(facts: Facts, _captures: Mapping[str, str]) -> list[str]:
    """locale(7): language_TERRITORY.codeset@modifier, of which each suffix may be left out."""
    names: set[str] = set()
    for variable, value in facts.environment.items():
        if variable == "LANG" or variable.startswith("LC_"):
            language, dot, codeset = value.partition(".")
            # glibc's _nl_normalize_codeset: letters and digits alone, in lower case.
            normal = "".join(filter(str.isalnum, codeset)).lower()
            names |= {value, language, f"{language}{dot}{normal}"}
    return sorted(name for name in names if name and "/" not in name)


def _locale_paths(facts: Facts, _captures: Mapping[str, str]) -> list[str]:
    """setlocale(3): LOCPATH; musl: MUSL_LOCPATH. Without the slash that a pattern begins with."""
    values = [facts.environment.get(name, "") for name in ("LOCPATH", "MUSL_LOCPATH")]
    return [path.strip("/") for value in values for path in value.split(":") if path]


def _languages(facts: Facts, _captures: Mapping[str, str]) -> list[str]:
    """gettext(3) asks for LANGUAGE and the locale's own; setlocale(3) takes what is installed."""
    environment = facts.environment.items()
    asked = [v for name, v in environment if name in _LANGUAGES or name.startswith("LC_")]
    locales = [*":".join(asked).split(":"), *installed_locales(facts.contents)]
    languages = {_SUFFIX.split(name)[0] for name in locales}
    return sorted(language for language in languages if _LANGUAGE.fullmatch(language))


def _dotnet_icu(facts: Facts, _captures: Mapping[str, str]) -> list[str]:
    # The release number alone: libicuuc.so.72.1 is what libicuuc.so.72 leads to.
    if facts.environment.get("DOTNET_SYSTEM_GLOBALIZATION_INVARIANT", "").lower() in ("1", "true"):
        return []
    found = map(_ICU.fullmatch, facts.contents.image.tree)
    return sorted({match[1] for match in found if match})


def _openssl_modules(facts: Facts, _captures: Mapping[str, str]) -> list[str]:
    return configured_modules(facts.contents, facts.environment.get("OPENSSL_CONF"))


def _common_licences(facts: Facts, captures: Mapping[str, str]) -> list[str]:
    text = facts.contents.text(f"/usr/share/doc/{captures['package']}/copyright")
    return sorted(set(_COMMON_LICENCE.findall(text)))


def _distribution_files(facts: Facts, captures: Mapping[str, str]) -> list[str]:
    site = f"{captures['root']}/{captures['kind']}-packages"
    if site not in facts.sites:
        facts.sites[site] = distributions.Site(facts.contents, site)
    parts = (captures[name] for name in ("module", "second", "third") if name in captures)
    return facts.sites[site].files_beside(*parts)


def _pam(
    read: Callable[[Contents, str], list[str]],
) -> Callable[[Facts, Mapping[str, str]], list[str]]:
    # Without a program, as where a pin names the rule, nothing is named.
    return lambda facts, captures: (
        read(facts.contents, captures[PROGRAM]) if PROGRAM in captures else []
    )


PROGRAM = "program"  # captures: the path of the ELF file that fired a rule
OF_PROGRAM = frozenset({"pam_service", "pam_module"})
FACTS: dict[str, Callable[[Facts, Mapping[str, str]], list[str]]] = {
    "pam_service": _pam(pam.services),
    "pam_module": _pam(pam.modules),
    "account_service": _services_of(
        *("passwd", "group", "shadow", "gshadow", "initgroups"), default=("compat", "files")
    ),
    "host_service": _services_of("hosts", "networks", default=("dns", "files")),
    "network_service": _services_of("services", "protocols", "networks", "rpc", "ethers"),
    "time_zone": _time_zones,
    "locale": _locales,
    "locale_path": _locale_paths,
    "language": _languages,
    "dotnet_icu": _dotnet_icu,
    "openssl_module": _openssl_modules,
    "common_licence": _common_licences,
    "distribution_file": _distribution_files,
}
