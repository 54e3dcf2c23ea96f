"""``paredown apply``: write what a plan leaves of an image."""

from __future__ import annotations

import argparse
import contextlib
import sys
from pathlib import Path
from typing import Any

from paredown_minimizer.apply import apply_plan, count
from paredown_minimizer.image.model import Tree
from paredown_minimizer.image.slim import Provenance
from paredown_minimizer.image.source import next_step, open_image, refuse_source, write_image
from paredown_minimizer.output import progress
from paredown_schemas import __version__
from paredown_schemas.names import escape_name
from paredown_schemas.plan import read_plan


def add_parser(subparsers: Any) -> None:
    """Add the command to the command line."""
    parser = subparsers.add_parser(
        "apply",
        help="write the slim image that a plan describes",
        description="Write what PLAN leaves of SOURCE to DEST. Both are named as dir:PATH, "
        "docker:REF, podman:REF, docker-archive:FILE[:REF], oci-dir:DIR[:REF] or "
        "oci-archive:FILE[:REF]; a bare reference means docker.",
    )
    parser.add_argument("plan", metavar="PLAN", type=Path, help="the plan, as plan writes it")
    parser.add_argument("source", metavar="SOURCE", help="the image that the plan was made of")
    parser.add_argument("-o", "--output", metavar="DEST", required=True, help="where to write")
    parser.add_argument("--force", action="store_true", help="replace what DEST names")
    parser.add_argument(
        "--keep-layers",
        action="store_true",
        help="write what is left of each of SOURCE's layers, not one squashed layer",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Apply the plan; raises ParedownError."""
    refuse_source(arguments.source, arguments.output, force=arguments.force)
    plan = read_plan(arguments.plan)
    with contextlib.closing(open_image(arguments.source, plan.platform)) as image:
        slim = apply_plan(plan, image)
        provenance = Provenance(plan.image, plan.id, __version__)
        with progress(f"Writing {escape_name(arguments.output)}"):
            write_image(
                slim,
                arguments.output,
                provenance,
                force=arguments.force,
                keep_layers=arguments.keep_layers,
            )
        before, after = _totals(image.tree), _totals(slim.tree)
    print(f"Wrote {escape_name(arguments.output)}: {after} (was {before})", file=sys.stderr)
    print(f"Try it: {escape_name(next_step(arguments.output))}", file=sys.stderr)
    return 0


def _totals(tree: Tree) -> str:
    files, size = count(tree)
    return f"{size / 1e6:.1f} MB in {files:,} files"
