"""How an image of paredown.yaml is started, and which commands are run against it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from paredown_minimizer.image.source import split_spec
from paredown_minimizer.pipeline.images import in_commands
from paredown_minimizer.pipeline.inputs import command_digest
from paredown_minimizer.pipeline.project import Command, ImageConfig
from paredown_minimizer.pipeline.state import digest_of, file_digest
from paredown_minimizer.trial.model import Launch, Suite, TestCommand
from paredown_schemas.verification import Target

_TARGETS: Mapping[str, Target] = {"dir": "rootfs", "docker": "docker", "podman": "podman"}


def launch(config: ImageConfig, image: str) -> Launch:
    """Return how ``image``, the source or the output, is started."""
    target: Target = "compose" if config.compose else _TARGETS[split_spec(image)[0]]
    return Launch(target, config.run or "", in_commands(image), config.compose, config.service)


def suite(config: ImageConfig, commands: Sequence[Command]) -> Suite:
    """Return commands with the limits and the readiness of the image."""
    return Suite(
        tuple(TestCommand(each.name, each.command) for each in commands),
        config.ready,
        config.timeout,
        config.ready_within,
    )


def settings(config: ImageConfig, commands: Sequence[Command]) -> dict[str, str]:
    """Return what a trial of these commands is made of, but for the image: digests by name."""
    told: dict[str, Any] = {
        "run": config.run or config.service,
        "ready": config.ready,
        "timeout": [config.timeout, config.ready_within],
    }
    found = {name: digest_of(value) for name, value in told.items()}
    if config.compose is not None:
        found[str(config.compose)] = file_digest(config.compose) or ""
    for each in commands:
        found[f"command {each.name}"] = command_digest(each.command, config.evidence)
    return found
