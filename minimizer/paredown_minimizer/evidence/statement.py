"""What a slim image was made from and how it was tested: an in-toto Statement v1, unsigned.

Followed: in-toto attestation framework, spec/v1/statement.md and digest_set.md. The predicate is
ours, hardening-1.schema.json. It binds by digests: who signs it says that these plan, traces,
policy, tests and scans led to this image.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from paredown_minimizer.evidence.subject import NamedImage, dump, require_of
from paredown_minimizer.material import InputFile
from paredown_schemas.cves import Cves
from paredown_schemas.documents import to_json
from paredown_schemas.names import escape_name
from paredown_schemas.plan import Plan
from paredown_schemas.verification import Verification

TYPE = "https://paredown.dev/attestation/hardening/v1"


def make(
    plan: Plan,
    image: NamedImage,
    *,
    inputs: Sequence[InputFile] = (),
    documents: Mapping[str, str] | None = None,
    verification: Verification | None = None,
    cves: Cves | None = None,
) -> str | None:
    """Return the statement about the slim image, which ``image`` is; None without its identity.

    ``inputs`` are the files that all was made from, ``documents`` the texts that go with the
    statement, by name.

    Raises:
        ParedownError: the verification or the CVEs are of another plan.
    """
    if image.identity is None:
        return None
    name = image.repository or image.identity
    return dump(
        {
            "_type": "https://in-toto.io/Statement/v1",
            "subject": [{"name": escape_name(name), "digest": _digest(image.identity, image)}],
            "predicateType": TYPE,
            "predicate": {
                "paredown": escape_name(plan.paredown),
                "original": {"identity": plan.image, "platform": escape_name(plan.platform)},
                "slim": _only(identity=image.identity, digest=image.digest),
                "plan": {"id": plan.id, "granularity": plan.granularity},
                "runs": [
                    _only(
                        run=escape_name(trace.run),
                        scenario=escape_name(trace.scenario) if trace.scenario else None,
                        verdict=trace.verdict,
                    )
                    for trace in plan.traces
                ],
                **_tested(plan, verification),
                **_scanned(plan, cves),
                "inputs": [to_json(file) for file in inputs],
                "documents": list(_documents(documents or {})),
            },
        }
    )


def _digest(identity: str, image: NamedImage) -> dict[str, str]:
    """Return the digest set: the manifest's, where it is known, and the identity.

    An identity is no digest of the image's bytes, so that it has an algorithm's name of its own.
    """
    kind, _, value = identity.partition(":")
    return {**({"sha256": image.sha256} if image.sha256 else {}), kind: value}


def _tested(plan: Plan, verification: Verification | None) -> dict[str, Any]:
    if verification is None:
        return {}
    require_of(plan, verification.plan, "the verification")
    commands = [case for case in verification.tests if case.command is not None]
    told = _only(
        outcome=verification.outcome,
        original=verification.original,
        mode=verification.mode,
        started=escape_name(verification.started),
        image=verification.digest,
        commands=len(commands),
        failed=sum(case.outcome != "passed" for case in commands),
        missing=len(verification.missing),
        rounds=len(verification.rounds),
    )
    return {"verification": {**told, "runs": [to_json(trace) for trace in verification.traces]}}


def _scanned(plan: Plan, cves: Cves | None) -> dict[str, Any]:
    if cves is None:
        return {}
    require_of(plan, cves.plan, "the list of CVEs")
    return {
        "cves": {
            "projected": cves.projected,
            "scans": [to_json(scan) for scan in cves.scans],
            "counts": [to_json(count) for count in cves.counts],
            "hidden": len(cves.hidden),
        }
    }


def _documents(documents: Mapping[str, str]) -> Iterator[dict[str, str]]:
    for name, text in sorted(documents.items()):
        yield {"name": name, "sha256": hashlib.sha256(text.encode()).hexdigest()}


def _only(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
