"""The errors that both halves raise; only a command's ``main`` prints them and exits."""

from __future__ import annotations

import enum


class ExitCode(enum.IntEnum):
    """The exit codes of every Paredown command; docs/exit-codes.md explains them to users."""

    OK = 0
    ERROR = 1
    USAGE = 2
    CHECK_FAILED = 3
    INPUT_DAMAGED = 4
    AGENT_FAILED = 125


class ParedownError(Exception):
    """Something a user can act on.

    ``str(error)`` reads ``cannot <do> <what>: <cause>``; ``hint`` is one more line, or empty.
    """

    exit_code = ExitCode.ERROR

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class UsageError(ParedownError):
    """The command line asks for something that cannot be meant."""

    exit_code = ExitCode.USAGE


class DamagedInputError(ParedownError):
    """A trace or plan is damaged, partial, or of another image, and that was not accepted."""

    exit_code = ExitCode.INPUT_DAMAGED
