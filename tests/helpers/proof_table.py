"""All proofs of the knowledge base's rules, and the rules that still lack one."""

from __future__ import annotations

import proofs_languages
import proofs_system

ALL = proofs_system.PROOFS + proofs_languages.PROOFS
# Take a rule out of here by adding its proof.
OWED = {
    *("name-service/go-hosts", "name-service/go-services"),
    *("openssl/configuration-of-old", "openssl/configured"),
    *("time-zone/go", "time-zone/go-local-time", "time-zone/postgresql"),
    *("time-zone/python-package", "time-zone/ruby", "tls/go", "tls/nss"),
}
