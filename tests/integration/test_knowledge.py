"""The knowledge base on real programs: each rule has one that breaks without it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator

import pytest

import proof_table
from fixture_types import Require
from proofs import Proof, Trainer, works


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
    try:
        proof.tree()
    except (OSError, subprocess.SubprocessError) as error:
        require(False, f"no root filesystem can be made: {error}")
    trained = trainer.train(proof)
    with_rule, output = works(proof, trained.slim, trainer.space())
    assert with_rule, output
    gone = trained.held_by(proof.rule)
    assert gone, "the rule kept nothing that another did not"
    without_rule, output = works(proof, trained.slim, trainer.space(), gone)
    assert not without_rule, output
