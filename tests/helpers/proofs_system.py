"""The proofs of the rules about the system: accounts, names, locales, the shell and the like."""

from __future__ import annotations

import apk_tree
from proofs import Proof

_HOSTNAME = "probe.example"

# Of /etc stays what is used: Debian's scripts make most of it, and no package owns that.
_ETC = "version: 1\nunowned:\n- {path: /etc, reason: r}\n"

PROOFS = (
    Proof(
        "accounts/accounts",
        train=("true",),
        judge=("true",),
        user="prometheus",
        policy=_ETC,
    ),
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
        "licences/copyright",
        train=("sed", "--version"),
        judge=("sed", "-n", "/GPL/p", "/usr/share/doc/sed/copyright"),
        shows="GPL",
    ),
    Proof(
        "release/release",
        train=("sed", "--version"),
        judge=("sed", "-n", "/^ID=/p", "/etc/os-release"),
        shows="ID=debian",
    ),
    Proof(
        "pam/services",
        train=("sh", "-c", "su --version"),
        judge=("su", "-s", "/bin/sh", "-c", "echo done"),
        shows="done",
    ),
    Proof(
        "pam/helper",
        train=("pamtester", "su", "root", "acct_mgmt"),
        judge=("pamtester", "su", "prometheus", "acct_mgmt"),
        user="prometheus",
    ),
    Proof(
        "pam/settings",
        train=("sh", "-c", "su --version"),
        judge=("su", "-s", "/bin/sh", "-c", "echo $KNOWN"),
        shows="by pam_env",
    ),
    Proof(
        "perl/standard-library",
        train=("perl", "-e", "1"),
        judge=("perl", "-MEncode", "-e", 'print lc decode(\'koi8-r\', "\\xe1") eq "\\x{430}"'),
        shows="1",
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
        "directories/mounted",
        train=("true",),
        judge=("true",),
        tree=apk_tree.server_tree,
    ),
    Proof(
        "directories/temporary",
        train=("true",),
        judge=("mktemp", "/var/tmp/XXXXXX"),
        shows="/var/tmp/",
        tree=apk_tree.server_tree,
    ),
)
