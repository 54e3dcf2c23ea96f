"""``paredown pin POLICY --keep TARGET --reason TEXT``: add a decision to a policy file."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from paredown_minimizer.output import say
from paredown_minimizer.policy import Pin
from paredown_minimizer.policyedit import add_pins
from paredown_schemas.names import escape_name


def add_parser(subparsers: Any) -> None:
    """Declare the arguments."""
    parser = subparsers.add_parser(
        "pin",
        help="add a decision to a policy file",
        description="Add a pin to POLICY, which is made if there is none. Comments, order and all "
        "else in it stay as they are.",
    )
    parser.add_argument("policy", metavar="POLICY", type=Path)
    action = parser.add_mutually_exclusive_group(required=True)
    target = "a path pattern, package:NAME or rule:TOPIC/NAME"
    action.add_argument("--keep", metavar="TARGET", help=target)
    action.add_argument("--remove", metavar="TARGET", help=target)
    parser.add_argument("--reason", metavar="TEXT", required=True, help="why; for reviewers")
    parser.add_argument("--expires", metavar="DATE", help="the last day of it, as 2027-01-31")


def run(arguments: argparse.Namespace) -> int:
    """Add the pin, unless it is there; raises ParedownError."""
    target = arguments.keep or arguments.remove
    reason = " ".join(arguments.reason.split())
    pin = Pin("keep" if arguments.keep else "remove", target, reason, arguments.expires)
    policy = escape_name(str(arguments.policy))
    added = add_pins(arguments.policy, [pin])
    say(f"Added to {policy}." if added else f"{policy} has this pin already: nothing was changed.")
    return 0
