"""Which modules PAM loads for a program, by the services that the program names (pam.conf(5)).

A program passes its service's name to pam_start(3): its own one, or one of its strings. Where that
has no file, PAM falls back to ``other``; but most programs that can ask PAM are never told to, and
an image that is to authenticate by one has a service for it.
"""

from __future__ import annotations

from collections.abc import Iterator

from paredown_minimizer.contents import Contents
from paredown_schemas.names import encode_name

_SERVICES = "/etc/pam.d"
_OTHER = "other"
_PROGRAM_LIMIT = 1 << 28
_INCLUDES = ("include", "substack")


def services(contents: Contents, program: str) -> list[str]:
    """Return the names of the files in /etc/pam.d that PAM reads for ``program``, sorted."""
    data = contents.data(program, _PROGRAM_LIMIT)
    names = [path.rpartition("/")[2] for path in contents.image.tree.children.get(_SERVICES, [])]
    # Many a program uses its own name, and then need not have it among its strings.
    own = program.rpartition("/")[2]
    found = {name for name in names if name == own or b"\0%b\0" % encode_name(name) in data}
    found.discard(_OTHER)
    pending = [*found, _OTHER] if found else []
    found.update(pending)
    while pending:
        for name, _ in _lines(contents, pending.pop()):
            if name and name in names and name not in found:
                found.add(name)
                pending.append(name)
    return sorted(found)


def modules(contents: Contents, program: str) -> list[str]:
    """Return the modules that the services of ``program`` name, by file name, sorted."""
    lines = (line for name in services(contents, program) for line in _lines(contents, name))
    return sorted({module.rpartition("/")[2] for _, module in lines if module})


def _lines(contents: Contents, service: str) -> Iterator[tuple[str, str]]:
    """Yield of each line the service that it includes, or the module that it names."""
    text = contents.text(f"{_SERVICES}/{service}").replace("\\\n", " ")
    for line in text.splitlines():
        words = line.split("#")[0].replace("[", " [ ").replace("]", " ] ").split()
        if "[" in words and "]" in words:  # a control of several words
            words[words.index("[") : words.index("]") + 1] = ["[]"]
        if words[:1] == ["@include"] and len(words) > 1:
            yield words[1], ""
        elif len(words) > 2:
            yield ("", words[2]) if words[1] not in _INCLUDES else (words[2], "")
