"""The files of dpkg's database, as text in and text out.

Formats: deb-control(5) for stanzas; dpkg's lib/dpkg/dbmodify.c, db-ctrl-*.c, trigdeferred.c and
utils/update-alternatives.c for the rest. Text is ``str`` in the memory form of names.py, so that a
file rewritten without a change keeps its bytes.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterable, Iterator

from paredown_schemas.errors import ParedownError
from paredown_schemas.names import escape_name

_FIELD = re.compile(r"^([!-,./-9;-~][!-9;-~]*):[ \t]*(.*(?:\n[ \t].*)*)$", re.MULTILINE)
# The name in "libc6 (>= 2.36)" or "python3:any", as relation fields have it.
_RELATION = re.compile(r"\s*([a-z0-9][a-z0-9+.-]*)")
# What may stand before a conffile's path, and what may stand behind it, from the end.
_CONFFILE_FLAG = re.compile(r" ?(?:[a-z-]+ )?(?=/)")
_CONFFILE_MARKS = (" obsolete", " remove-on-upgrade")
_CONFFILE_HASH = re.compile(r" (?:[0-9a-f]{32}|newconffile)")
# lib/dpkg/parsehelp.c, pkg_name_is_illegal
_PACKAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9+._-]*")


@dataclasses.dataclass(frozen=True, slots=True)
class Stanza:
    """One package's record in ``status`` or ``available``."""

    text: str
    fields: dict[str, str]

    @property
    def key(self) -> str:
        """Return ``name:architecture``."""
        return f"{self.fields['Package']}:{self.fields.get('Architecture', '')}"

    @property
    def state(self) -> str:
        """Return the last word of Status, such as installed or config-files."""
        return self.fields.get("Status", "").rpartition(" ")[2]

    @property
    def conffiles(self) -> list[str]:
        """Return the paths that the Conffiles field names."""
        lines = self.fields.get("Conffiles", "").split("\n")
        return [path for line in lines if (path := conffile_path(line))]

    def relations(self, *names: str) -> list[list[str]]:
        """Return the relations in some fields: of each the packages of which one is enough.

        deb-control(5): "default-mta | mail-transport-agent, libc6 (>= 2.36)".
        """
        texts = [text for name in names for text in self.fields.get(name, "").split(",")]
        return [
            [match[1] for one in text.split("|") if (match := _RELATION.match(one))]
            for text in texts
        ]

    @property
    def provides(self) -> set[str]:
        """Return its name and those that it provides."""
        virtual = (name for names in self.relations("Provides") for name in names)
        return {self.fields["Package"], *virtual}


def parse_stanzas(text: str, name: str) -> list[Stanza]:
    """Parse ``status`` or ``available``; ``name`` is for messages.

    Raises:
        ParedownError: a line is no field, or a stanza names no package; with file and line.
    """
    stanzas = []
    line = 1
    for part in re.split(r"(\n(?:[ \t]*\n)+)", text):
        if part.strip():
            stanzas.append(_stanza(part.strip("\n"), name, line))
        line += part.count("\n")
    return stanzas


def _stanza(text: str, name: str, line: int) -> Stanza:
    fields: dict[str, str] = {}
    seen: set[str] = set()
    end = 0
    for match in _FIELD.finditer(text):
        if match.start() != end:
            break
        if match[1].lower() in seen:  # dpkg refuses it (lib/dpkg/parse.c), and names in any case
            where = line + text.count("\n", 0, end)
            raise ParedownError(f"cannot read {name}: line {where} has a field again")
        seen.add(match[1].lower())
        fields[match[1]] = match[2].rstrip()
        end = match.end() + 1
    if end <= len(text):
        where = line + text.count("\n", 0, end)
        raise ParedownError(f"cannot read {name}: line {where} is not a field")
    if "Package" not in fields:
        raise ParedownError(f"cannot read {name}: the stanza at line {line} names no package")
    if not _PACKAGE.fullmatch(fields["Package"]):
        raise ParedownError(f"cannot read {name}: line {line} names what can be no package")
    return Stanza(text, fields)


def dump_stanzas(stanzas: list[Stanza]) -> str:
    """Return the text of a ``status`` file."""
    return "".join(stanza.text + "\n\n" for stanza in stanzas)


def keep_conffiles(stanza: Stanza, stays: Callable[[str], bool]) -> Stanza:
    """Return ``stanza`` whose Conffiles name only those for which ``stays`` is true."""
    if "Conffiles" not in stanza.fields:
        return stanza
    lines = stanza.fields["Conffiles"].split("\n")
    left = [line for line in lines if (path := conffile_path(line)) and stays(path)]
    field = "".join(f"\n{line}" for line in left)
    match = next(found for found in _FIELD.finditer(stanza.text) if found[1] == "Conffiles")
    before, after = stanza.text[: match.start()], stanza.text[match.end() :]
    text = f"{before}Conffiles:{field}{after}" if left else (before + after[1:]).rstrip("\n")
    return Stanza(text, {**stanza.fields, "Conffiles": field})


def conffile_path(line: str) -> str:
    """Return the path of a line of ``Conffiles`` (path, hash, flags) or of ``NAME.conffiles``."""
    flag = _CONFFILE_FLAG.match(line)
    if flag is None:
        return ""
    end = len(line)
    while line.endswith(_CONFFILE_MARKS, flag.end(), end):
        end = line.rindex(" ", 0, end)
    # A path may hold spaces: only what is last can be the hash.
    before, space, last = line[flag.end() : end].rpartition(" ")
    return before if _CONFFILE_HASH.fullmatch(space + last) else before + space + last


def lines(text: str) -> list[str]:
    """Return the lines that are not empty."""
    return [line for line in text.split("\n") if line]


def join_lines(staying: Iterable[str]) -> str:
    """Return the text of some lines."""
    return "".join(f"{line}\n" for line in staying)


def md5sums_path(line: str) -> str:
    """Return the path of a line of ``NAME.md5sums``, from "/"."""
    return "/" + line.partition(" ")[2].lstrip(" ")


def trigger_owner(line: str) -> str:
    """Return the package of a line of ``triggers/File`` or ``triggers/NAME``."""
    return line.rpartition(" ")[2].partition("/")[0]


@dataclasses.dataclass(frozen=True, slots=True)
class Diversion:
    """Other packages' ``path`` is found at ``to``, the one of ``package`` (":": none) is not."""

    path: str
    to: str
    package: str


def parse_diversions(text: str, name: str) -> list[Diversion]:
    """Parse ``diversions``: three lines each; raises ParedownError."""
    names = lines(text)
    if len(names) % 3:
        raise ParedownError(f"cannot read {name}: cut short at line {len(names)}")
    return [Diversion(*names[index : index + 3]) for index in range(0, len(names), 3)]


def dump_diversions(diversions: list[Diversion]) -> str:
    """Return the text of a ``diversions`` file."""
    return "".join(f"{item.path}\n{item.to}\n{item.package}\n" for item in diversions)


@dataclasses.dataclass(frozen=True, slots=True)
class Alternatives:
    """One link group of update-alternatives(1)."""

    status: str
    links: tuple[tuple[str, str], ...]  # name in /etc/alternatives and link, the master first
    choices: tuple[tuple[str, str, tuple[str, ...]], ...]  # master's target, priority, slaves'


def parse_alternatives(master: str, text: str, name: str) -> Alternatives:
    """Parse the group ``master`` from its administrative file; raises ParedownError."""
    lines = iter(text.split("\n"))
    try:
        status, link = next(lines), next(lines)
        slaves = [(slave, next(lines)) for slave in _until_blank(lines)]
        choices = tuple(
            (target, next(lines), tuple(next(lines) for _ in slaves))
            for target in _until_blank(lines)
        )
    except (StopIteration, RuntimeError) as error:
        raise ParedownError(f"cannot read {escape_name(name)}: cut short") from error
    return Alternatives(status, ((master, link), *slaves), choices)


def dump_alternatives(group: Alternatives) -> str:
    """Return the text of a group's administrative file."""
    (_, link), *slaves = group.links
    lines = [group.status, link, *(text for slave in slaves for text in slave), ""]
    for target, priority, targets in group.choices:
        lines += [target, priority, *targets]
    return "\n".join([*lines, "", ""])


def _until_blank(lines: Iterator[str]) -> Iterator[str]:
    while line := next(lines):
        yield line
