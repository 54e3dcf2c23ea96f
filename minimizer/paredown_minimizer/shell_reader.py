"""Reads shell scripts of an image in a process of its own, with limits.

The parser is C and tries several readings of a text at once: text that is made for it takes all
memory, or ends it by a fault. It then ends that process alone, and the script counts as unread.
"""

from __future__ import annotations

import dataclasses
import json
import resource
import subprocess
import sys
import time
import weakref
from collections.abc import Sequence

from paredown_minimizer.shell_commands import Named, named_by_script, named_by_words

LENGTH_LIMIT = 1 << 19  # bytes; libtool's scripts, among the longest known, have 333 kB
_MEMORY = 1 << 29  # of addresses, in bytes; ten times what those take
_SECONDS = 2  # of the processor; a hundred times what those take
_ENDS = 5  # so often may a script end the process
# What this process imports from, and nothing of where it was started.
_MAIN = (
    "import sys; sys.path[:] = {path!r}; "
    "from paredown_minimizer import shell_reader; shell_reader.main()"
)


class UnreadableError(Exception):
    """A script is longer, or harder to read, than any that people write."""


class ShellReader:
    """Says what scripts and command lines name; its process is started when there is one."""

    def __init__(self) -> None:
        """Start nothing yet."""
        self._process: subprocess.Popen[bytes] | None = None
        self._ends = 0
        self._known: dict[bytes, Named] = {}

    def script(self, text: bytes) -> Named:
        """Return what a script names.

        Raises:
            UnreadableError: it is too long, or takes too much time or memory.
        """
        if len(text) > LENGTH_LIMIT:
            raise UnreadableError(f"it is longer than {LENGTH_LIMIT} bytes")
        if text not in self._known:
            answer = self._answer(text) if self._ends < _ENDS else b""
            if not answer:
                raise UnreadableError("it is harder to read than any that people write")
            self._known[text] = Named(**{k: tuple(v) for k, v in json.loads(answer).items()})
        return self._known[text]

    def words(self, words: Sequence[str]) -> Named:
        """Return what a command line names that no shell reads; raises as ``script`` does."""
        return named_by_words(words, self.script)

    def _answer(self, text: bytes) -> bytes:
        """Return the process's answer; nothing if the text ended it."""
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-c", _MAIN.format(path=sys.path)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
            weakref.finalize(self, _end, self._process)
        stdin, stdout = self._process.stdin, self._process.stdout
        if stdin is None or stdout is None:
            raise AssertionError("both are pipes")
        try:
            stdin.write(b"%d\n%b" % (len(text), text))
            stdin.flush()
            answer = stdout.readline()
        except BrokenPipeError:
            answer = b""
        if answer.endswith(b"\n"):
            return answer
        self._ends += 1
        _end(self._process)
        self._process = None
        return b""


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.communicate()


def main() -> None:
    """Answer requests until there are no more."""
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    while length := sys.stdin.buffer.readline():
        text = sys.stdin.buffer.read(int(length))
        resource.setrlimit(resource.RLIMIT_CPU, (int(time.process_time()) + 1 + _SECONDS, hard))
        print(json.dumps(dataclasses.asdict(named_by_script(text))), flush=True)
