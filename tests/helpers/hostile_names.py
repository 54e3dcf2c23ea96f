"""Names that want to be markup, to somebody."""

from __future__ import annotations

HOSTILE = (
    "a|b`c<script>alert(1)</script>",
    "[x](javascript:alert(1))![y](http://z)",
    "line\nbreak\r\n\n# heading\n- item",
    "@everyone #1 !2 ~bug GH-3 :tada: www.example.org https://example.org",
    "**bold** __bold__ ~~gone~~ \\` &lt; &#64;x <!-- --> </details>",
    "\u202egnp.exe\u2066\x1b[31m",
    "*" * 5000,
)
