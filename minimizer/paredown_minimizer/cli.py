"""The ``paredown`` command: finds the command's module, and is the only place that exits.

A command is a module of ``commands`` with ``add_parser(subparsers)``, which declares its arguments,
and ``run(arguments)``, which returns the exit code. One with ``TAKES_COMMAND`` gets what stands
behind "--" as ``arguments.command``, whatever it looks like. Adding one touches its file and
``COMMANDS``.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import sys
from collections.abc import Sequence

from paredown_minimizer.output import discard_stdout, flush_stdout
from paredown_schemas import __version__
from paredown_schemas.errors import ExitCode, ParedownError

# The names in the order of their use. Only the module of the one that was asked for is imported:
# some take as long to import as others take to run.
COMMANDS = {
    "inspect": "what a trace holds, and its verdict",
    "merge": "several traces in one file",
    "plan": "decide what of an image stays, from traces",
    "diff": "what a plan removes, and why the rest stays; or what changed between two",
    "explain": "why a plan keeps or removes something, and what follows",
    "apply": "write the slim image",
    "check": "what a trace used and a plan removes",
    "verify": "run the tests on the slim image, and tell what they missed",
    "pin": "add a decision to a policy file",
    "gate": "is a plan within the policy's bounds?",
    "cves": "CVEs before and after, by scans or OSV records",
    "report": "the documents for compliance and security reviews",
    "runtime": "with how much less the container could run",
    "status": "must an image be hardened again?",
    "harden": "all of it, for the images of a paredown.yaml",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line ``argv`` and return its exit code (docs/exit-codes.md)."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if argv is None:
        # What a command makes of an image has no cycles, and looking for some takes a sixth of it.
        gc.disable()
    try:
        return _run(arguments)
    except ParedownError as error:
        print(f"error: {error}", file=sys.stderr)
        if error.hint:
            print(f"hint: {error.hint}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt as interrupt:
        return 128 + getattr(interrupt, "number", 2)  # as a shell reports SIGINT, and others
    except BrokenPipeError:
        discard_stdout()  # whoever read us had enough: head, less
        return ExitCode.ERROR
    except OSError as error:  # what no module foresaw: a disk that fails, no descriptors left
        print(f"error: cannot go on: {error}", file=sys.stderr)
        return ExitCode.ERROR
    except MemoryError:
        print("error: cannot go on: out of memory", file=sys.stderr)
        return ExitCode.ERROR


def _run(argv: list[str]) -> int:
    command = next((word for word in argv if not word.startswith("-")), None)
    parser = argparse.ArgumentParser(
        prog="paredown",
        description="Slim a container image to what it uses, with the evidence for what went.",
        epilog="Traces come from paredown-agent record.",
    )
    parser.add_argument("--version", action="version", version=f"paredown {__version__}")
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
    module = None
    for name, summary in COMMANDS.items():
        if name == command:
            module = importlib.import_module(f"paredown_minimizer.commands.{name}")
            module.add_parser(subparsers)
        else:
            subparsers.add_parser(name, help=summary)
    takes_command = getattr(module, "TAKES_COMMAND", False)
    position = argv.index("--") if takes_command and "--" in argv else len(argv)
    arguments = parser.parse_args(argv[:position])
    if takes_command:
        arguments.command = argv[position + 1 :]
    if module is None:
        parser.error("no command")
    code: int = module.run(arguments)
    # Here and not at exit, so that a full disk behind stdout is told.
    flush_stdout()
    return code
