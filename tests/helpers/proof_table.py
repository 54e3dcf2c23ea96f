"""All proofs of the knowledge base's rules."""

from __future__ import annotations

import proofs_languages
import proofs_system

ALL = proofs_system.PROOFS + proofs_languages.PROOFS
