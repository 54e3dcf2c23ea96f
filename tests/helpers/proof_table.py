"""All proofs of the knowledge base's rules, and the rules that still lack one."""

from __future__ import annotations

import proofs_languages
import proofs_system

ALL = proofs_system.PROOFS + proofs_languages.PROOFS
# Take a rule out of here by adding its proof.
OWED = {
    *("openssl/configuration-of-old", "time-zone/ruby"),
}
