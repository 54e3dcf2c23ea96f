"""What an engine, or a directory, says of the image that a trial starts."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess

from paredown_minimizer.trial.model import Launch
from paredown_schemas.errors import DamagedInputError, ParedownError
from paredown_schemas.names import encode_name, escape_name
from paredown_schemas.plan import Plan

_PLAN = "dev.paredown.plan"  # the label that apply writes


@dataclasses.dataclass(frozen=True, slots=True)
class Stored:
    """An image as its engine has it."""

    digest: str  # "sha256:…"
    plan: str | None  # id of the plan by which it was slimmed


def stored(launch: Launch) -> Stored | None:
    """Ask the engine for the image of ``launch``; None of a directory.

    Raises:
        ParedownError: it has none of that name, or does not answer.
    """
    if launch.target == "rootfs":
        return None
    engine = "podman" if launch.target == "podman" else "docker"
    what = f"cannot find image {escape_name(launch.image)}"
    command = [engine, "image", "inspect", "--", launch.image]
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        if result.returncode:
            cause = result.stderr.strip().splitlines() or [f"{engine} does not say why"]
            raise ParedownError(f"{what}: {escape_name(cause[-1])}")
        (told,) = json.loads(result.stdout)
        labels = told["Config"].get("Labels") or {}
        return Stored("sha256:" + told["Id"].removeprefix("sha256:"), labels.get(_PLAN))
    except FileNotFoundError as error:
        raise ParedownError(f"{what}: {engine} is not installed") from error
    except (ValueError, KeyError, TypeError, subprocess.TimeoutExpired) as error:
        raise ParedownError(f"{what}: {engine} gives no answer that makes sense") from error


def refuse_other_slim(plan: Plan, launch: Launch, image: Stored | None) -> None:
    """Raise DamagedInputError unless what is started is what ``plan`` left of its image.

    Of a directory that is: nothing that goes is there.
    """
    shown = escape_name(launch.image)
    if image is not None:
        cause = "it is no slim image" if image.plan is None else f"it is of {image.plan}"
        right = image.plan == plan.id
    else:
        gone = (path for record in plan.removed for path in record.paths())
        there = next((path for path in gone if _is_there(launch.image, path)), None)
        cause = f"it has {escape_name(there or '')}, which the plan removes"
        right = there is None
    if not right:
        raise DamagedInputError(
            f"cannot verify {shown} against {plan.id}: {cause}",
            hint="paredown apply PLAN SOURCE -o DEST writes the plan's slim image; "
            "with --soft the tests run on the original",
        )


def refuse_slim(launch: Launch, image: Stored | None) -> None:
    """Raise DamagedInputError if what should be the original was slimmed."""
    if image is not None and image.plan is not None:
        raise DamagedInputError(
            f"cannot take {escape_name(launch.image)} for the original: it is a slim image, of "
            f"{escape_name(image.plan)}"
        )


def _is_there(directory: str, path: str) -> bool:
    return os.path.lexists(os.path.join(encode_name(directory), encode_name(path.lstrip("/"))))
