"""All proofs of the knowledge base's rules, and the rules that still lack one."""

from __future__ import annotations

import proofs_languages
import proofs_system

ALL = proofs_system.PROOFS + proofs_languages.PROOFS
# Take a rule out of here by adding its proof.
OWED = {
    *("accounts/accounts", "directories/mounted", "licences/copyright", "release/release"),
    *("name-service/go-hosts", "name-service/go-services"),
    *("php/sessions", "shell/node", "shell/python", "shell/ruby"),
    *("python/distribution", "python/find-library", "python/mime-types"),
    *("python/standard-library", "time-zone/go", "time-zone/go-local-time"),
    *("time-zone/local-time", "time-zone/python", "tls/go", "tls/openssl"),
    *("tls/openssl-of-old", "tls/roots"),
}
