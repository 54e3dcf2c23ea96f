"""The knowledge base on real programs: each rule has one that breaks without it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator

import pytest

import proof_table
from fixture_types import Require
from proofs import Proof, Trained, Trainer, works

# Of a server on the port of every image's health check, say.
_CHECK = "getent hosts probe.example | grep -q ^127"


@pytest.fixture(scope="module")
def trainer(require: Require, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trainer]:
    require(os.geteuid() == 0, "root filesystems with their owners take root")
    probe = subprocess.run(["strace", "-o", "/dev/null", "true"], capture_output=True, check=False)
    require(probe.returncode == 0, "strace cannot trace here")
    trainer = Trainer(tmp_path_factory.mktemp("knowledge"))
    yield trainer
    trainer.close()


@pytest.mark.parametrize("proof", proof_table.ALL, ids=lambda proof: f"{proof.rule}{proof.id}")
def test_program_works_by_its_rule_and_breaks_without(
    trainer: Trainer, require: Require, proof: Proof
) -> None:
    _judge(trainer, require, proof, lambda trained: trained.held_by(proof.rule))


def test_entrypoint_goes_another_way_than_in_training(trainer: Trainer, require: Require) -> None:
    script = "/srv/entrypoint.sh"
    proof = Proof("", train=(script,), judge=(script, "serve"), shows="owned by prometheus")
    _judge(trainer, require, proof, Trained.held_by_scripts)


@pytest.mark.parametrize(
    "test", [("CMD-SHELL", f"{_CHECK} || exit 1"), ("CMD", "timeout", "5", "sh", "-c", _CHECK)]
)
def test_health_check_works_that_nobody_asked_in_training(
    trainer: Trainer, require: Require, test: tuple[str, ...]
) -> None:
    judge = ("/bin/sh", "-c", test[1]) if test[0] == "CMD-SHELL" else test[1:]
    proof = Proof("", train=("true",), judge=judge, config={"Healthcheck": {"Test": test}})
    _judge(trainer, require, proof, Trained.held_by_configuration)


def _judge(
    trainer: Trainer, require: Require, proof: Proof, held: Callable[[Trained], list[str]]
) -> None:
    try:
        proof.tree()
    except (OSError, subprocess.SubprocessError) as error:
        require(False, f"no root filesystem can be made: {error}")
    trained = trainer.train(proof)
    worked, output = works(proof, trained.slim, trainer.space())
    assert worked, output
    gone = held(trained)
    assert gone, "it kept nothing that something else did not"
    worked, output = works(proof, trained.slim, trainer.space(), gone)
    assert not worked, output
