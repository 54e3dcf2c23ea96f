"""The proofs of the rules about the system: accounts, names, locales, the shell and the like."""

from __future__ import annotations

import apk_tree
from proofs import Proof

_HOSTNAME = "probe.example"

PROOFS = (
    Proof(
        "accounts/look-up",
        train=("id", "--version"),
        judge=("id", "extra"),
        shows="uid=4242(extra)",
    ),
    Proof(
        "gconv/iconv",
        train=("iconv", "--version"),
        judge=("iconv", "-f", "ISO-8859-15", "-t", "UTF-8", "/etc/hostname"),
    ),
    Proof(
        "libgcc/unwinder",
        train=("mbuffer", "--version"),
        judge=("mbuffer", "-q", "-i", "/etc/hosts"),
        shows=_HOSTNAME,
    ),
    Proof(
        "locale/locale",
        train=("sed", "", "/etc/hostname"),
        judge=("sed", "s/^.$/one letter/", "/srv/letter"),
        shows="one letter",
        environment={"LANG": "C.UTF-8"},
    ),
    Proof(
        "name-service/hosts",
        train=("hostname",),
        judge=("hostname", "-i"),  # which libnss_myhostname knows alone
        shows="127.0.0.2",
    ),
    Proof(
        "name-service/services",
        train=("getent", "--version"),
        judge=("getent", "services", "rsync"),
        shows="873/tcp",
    ),
    Proof(
        "shell/system",
        train=("mawk", "BEGIN {}"),
        judge=("mawk", 'BEGIN { system("echo done") }'),
        shows="done",
    ),
    Proof(
        "shell/perl",
        train=("perl", "-e", "1"),
        judge=("perl", "-e", "print `echo done; :`"),
        shows="done",
    ),
    Proof(
        "directories/temporary",
        train=("true",),
        judge=("mktemp", "/var/tmp/XXXXXX"),
        shows="/var/tmp/",
        tree=apk_tree.server_tree,
    ),
)
