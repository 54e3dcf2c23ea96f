"""What a reader sees of HTML: tags, the cells' texts, and all of the text."""

from __future__ import annotations

from html.parser import HTMLParser

_BLOCKS = ("p", "li", "tr", "div", "h1", "h2", "h3", "h4", "pre", "summary", "section", "dd")
_UNSEEN = ("style", "script", "title")


class Shown(HTMLParser):
    """Reads HTML; ``plain`` is the text that stands outside of <code>."""

    def __init__(self, html: str) -> None:
        """Read ``html``."""
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.rows: list[list[str]] = []
        self.plain = ""
        self.text = ""
        self._code = 0
        self._cell = False
        self._unseen = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note the tag, and where it is a row or cell, begin one."""
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self._code += tag == "code"
        self._unseen = tag in _UNSEEN
        self.text += "\n" if tag in _BLOCKS else " " if tag in ("td", "th") else ""
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
            self._cell = True

    def handle_endtag(self, tag: str) -> None:
        """End what began."""
        self._code -= tag == "code"
        self._cell = self._cell and tag not in ("td", "th")
        self._unseen = False

    def handle_data(self, data: str) -> None:
        """Collect the text."""
        if self._cell:
            self.rows[-1][-1] += data
        if not self._code:
            self.plain += data
        if not self._unseen:
            self.text += data

    def handle_comment(self, data: str) -> None:
        """No comment is ever written."""
        raise AssertionError(data)


def read_text(html: str) -> str:
    """Return the text of HTML with its white space folded."""
    return " ".join(Shown(html).text.split())
