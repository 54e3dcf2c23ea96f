"""paredown.yaml: what it says, and how mistakes in it are told."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from output_schemas import validator
from paredown_minimizer.pipeline.inputs import command_digest
from paredown_minimizer.pipeline.project import Command, chosen, parse_project
from paredown_schemas.errors import ParedownError, UsageError

WHOLE = """\
version: 1
images:
  - name: shop
    source: docker:shop:1.4
    output: docker:shop:1.4-slim
    run: docker run --rm -p 8080:80 {image}
    ready: curl -fs http://127.0.0.1:8080/health
    ready_within: 2m
    scenarios:
      - {name: checkout, command: ./load/checkout.sh}
      - {name: nightly, command: ./load/nightly.sh}
    tests:
      - {name: api, command: pytest tests/api}
    timeout: 1h
    policy: policy.yaml
    granularity: trim
    accept_partial: true
    keep_layers: true
    repair: 3
    scan: grype -o json docker:{image}
    osv: osv
    author: The shop's team
    evidence: proof/shop
  - name: tree
    source: dir:tree
    output: dir:slim
    run: nginx -g 'daemon off;'
    scenarios: [{name: smoke, command: curl -fs http://127.0.0.1/}]
"""


def _parse(text: str) -> None:
    parse_project(text, "cannot read it")


def test_all_that_it_says() -> None:
    shop, tree = parse_project(WHOLE, "")
    assert shop.scenarios == (
        Command("checkout", "./load/checkout.sh"),
        Command("nightly", "./load/nightly.sh"),
    )
    assert shop.tests == (Command("api", "pytest tests/api"),)
    assert (shop.timeout, shop.ready_within, shop.repair) == (3600, 120, 3)
    assert (shop.policy, shop.evidence) == (Path("policy.yaml"), Path("proof/shop"))
    assert shop.author == "The shop's team"
    assert shop.scan == "grype -o json docker:{image}"
    # What is left out: the scenarios are the tests, and nothing is accepted or repaired.
    assert tree.tests == tree.scenarios
    assert (tree.timeout, tree.ready_within, tree.repair) == (600, 60, 0)
    assert (tree.policy, tree.evidence) == (None, Path("evidence/tree"))
    assert (tree.granularity, tree.accept_partial) == ("package", False)
    validator("paredown-1.schema.json").validate(yaml.safe_load(WHOLE))


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("    run: nginx", "    rn: nginx", r"line 27: \$.images\[1\] must not contain .*'rn'"),
        ("    run: nginx -g", "    compose: a.yaml #", r"must contain .*'service'"),
        ("    output: dir:slim\n", "", r"line 24: \$.images\[1\] must contain .*'output'"),
        ("name: tree", "name: ../x", r"line 24: \$.images\[1\].name must match"),
        ("name: tree", "name: shop", r"line 24: \$.images\[1\].name is another image's, too"),
        ("dir:slim", "dir:tree", r"line 26: \$.images\[1\].output cannot be: .*the source itself"),
        ("dir:slim", "oci-dir:slim", r"line 26: \$.images\[1\].output is a oci-dir: image"),
        ("source: dir:tree", "source: oci-archive:x", r"line 25: .*source is a oci-archive: image"),
        ("{image}\n    ready", "shop\n    ready", r"line 6: \$.images\[0\].run has no {image}"),
        ("json docker:{image}", "json x", r"line 20: \$.images\[0\].scan has no {image}"),
        ("    policy: policy.yaml\n", "", r"\$.images\[0\].repair needs a policy"),
        (
            "name: nightly",
            "name: checkout",
            r"line 11: .*scenarios\[1\].name is there",
        ),
        ("timeout: 1h", "timeout: 1 day", r"line 14: \$.images\[0\].timeout"),
        ("    run: nginx", "    compose: c.yaml\n    run: nginx", r"line 24: \$.images\[1\]"),
        ("version: 1", "version: 1\nversions: 2", r"line 2: \$ must not contain"),
        ("version: 1", "version: &a [*a]", "cannot read it"),
    ],
)
def test_mistakes_are_told_with_their_place(old: str, new: str, told: str) -> None:
    assert old in WHOLE
    with pytest.raises(ParedownError, match=told):
        _parse(WHOLE.replace(old, new))


def test_one_is_chosen_by_its_name() -> None:
    images = parse_project(WHOLE, "")
    assert [image.name for image in chosen(images, "tree")] == ["tree"]
    assert chosen(images, None) == list(images)
    with pytest.raises(UsageError, match="cannot find image shops") as caught:
        chosen(images, "shops")
    assert caught.value.hint == "there is: shop, tree"


def test_what_a_command_starts_belongs_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tests" / "__pycache__").mkdir(parents=True)
    (tmp_path / "load.sh").write_text("one")
    (tmp_path / "evidence").mkdir()

    def digest() -> str:
        return command_digest("sh ./load.sh; pytest tests . .. / evidence", Path("evidence/x"))

    seen = {digest()}
    for name in ("load.sh", "tests/test_a.py"):
        (tmp_path / name).write_text("two")
        assert digest() not in seen
        seen.add(digest())
    for name in ("tests/__pycache__/a.pyc", "tests/.cache", "evidence/plan.json", "other"):
        (tmp_path / name).write_text("two")
    assert digest() in seen
    assert command_digest("it's", Path("x")) != command_digest("its", Path("x"))
