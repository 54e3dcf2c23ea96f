"""What apk and the scripts of Alpine's packages make.

Each row of the tables says who makes the files.
"""

from __future__ import annotations

import re

from paredown_minimizer.packages.derived import Made, Makers

_MADE: Made = (
    (r"/var/log/apk\.log|/var/cache/apk/.+|(/usr)?/lib/apk/exec/.+", ("apk-tools",)),
    # update-ca-certificates, by a trigger; the single links are derived from their targets below
    (r"/etc/ssl/certs/ca-certificates\.crt", ("ca-certificates", "ca-certificates-bundle")),
    (r"/etc/ssl/certs/java/cacerts", ("java-cacerts",)),
    # ldconfig's cache, where apk's distribution has glibc (Wolfi); see dpkg_derived.py
    (r"/etc/ld\.so\.cache", ("glibc",)),
    (r"(/usr)?/lib/modules/[^/]+/modules\..+", ("kmod", "busybox")),  # depmod, by their triggers
)
MAKERS = Makers(
    made=_MADE,
    # busybox --install and what its trigger does for bbsuid and busybox-extras; rc-update's links;
    # c_rehash's and update-ca-certificates'
    links=re.compile(r"(/usr)?/s?bin/.+|/etc/runlevels/.+|/etc/ssl/certs/.+"),
)
