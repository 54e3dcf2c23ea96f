"""Shells' builtins, and the programs that start the program that their arguments name.

From the manual pages of each; dash(1), bash(1) and BusyBox's ash for the builtins.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

SHELLS = frozenset({"sh", "bash", "dash", "ash", "ksh", "mksh", "zsh"})
_BUILTINS = """
. : [ alias bg break builtin caller case cd command compgen complete compopt continue declare dirs
disown do done echo elif else enable esac eval exec exit export false fc fg fi for function getopts
hash help history if in jobs kill let local logout mapfile popd printf pushd pwd read readarray
readonly return select set shift shopt source suspend test then times trap true type typeset ulimit
umask unalias unset until wait while { } ! [[ ]]
"""
# What the shell does itself, unless something else starts it.
BUILTINS = frozenset(_BUILTINS.split())
FIND_STARTS = ("-exec", "-execdir", "-ok", "-okdir")


@dataclasses.dataclass(frozen=True, slots=True)
class Wrapper:
    """A program that starts another one: what of its words come before that one's name."""

    values: str = ""  # options, by letter, that are followed by a value
    operands: int = 0
    long_values: tuple[str, ...] = ()
    text: str = ""  # the option whose value is a shell's text
    assigns: bool = False  # NAME=VALUE may come first


# Their manual pages; of a value that is attached to its option, nothing need be known.
WRAPPERS: Mapping[str, Wrapper] = {
    "catatonit": Wrapper(),
    "chpst": Wrapper("ue/nmdopstrcl"),
    "chroot": Wrapper(operands=1),
    "command": Wrapper(),
    "doas": Wrapper("uC"),
    "dumb-init": Wrapper("r"),
    "env": Wrapper("uCS", long_values=("unset", "chdir"), assigns=True),
    "exec": Wrapper("a"),
    "flock": Wrapper("wE", operands=1, long_values=("timeout",), text="c"),
    "gosu": Wrapper(operands=1),
    "ionice": Wrapper("cn", long_values=("class", "classdata")),
    "nice": Wrapper("n", long_values=("adjustment",)),
    "nohup": Wrapper(),
    "runuser": Wrapper("ugGs", long_values=("user", "group"), text="c"),
    "s6-setuidgid": Wrapper(operands=1),
    "setarch": Wrapper(operands=1),
    "setpriv": Wrapper(long_values=("reuid", "regid", "groups", "inh-caps", "bounding-set")),
    "setsid": Wrapper(),
    "setuidgid": Wrapper(operands=1),
    "stdbuf": Wrapper("ioe", long_values=("input", "output", "error")),
    "su": Wrapper("gGs", operands=9, text="c"),
    "su-exec": Wrapper(operands=1),
    "sudo": Wrapper("ugprtTCDRh", long_values=("user", "group"), assigns=True),
    "taskset": Wrapper(operands=1),
    "time": Wrapper("fo", long_values=("format", "output")),
    "timeout": Wrapper("sk", operands=1, long_values=("signal", "kill-after")),
    "tini": Wrapper("pe"),
    "xargs": Wrapper("nPIdLsaE", long_values=("max-args", "max-procs", "arg-file", "delimiter")),
}
