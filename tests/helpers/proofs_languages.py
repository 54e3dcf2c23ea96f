"""The proofs of the rules about languages' runtimes, TLS and time zones."""

from __future__ import annotations

from proofs import Proof

PROOFS: tuple[Proof, ...] = ()
