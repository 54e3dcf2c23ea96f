"""Run one fuzzer: ``run.py NAME [libFuzzer's options and corpus directories]``.

Coverage-guided by atheris over everything of Paredown that the target imports.
"""

from __future__ import annotations

import importlib
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

import atheris

HERE = Path(__file__).parent


def main(name: str, options: list[str]) -> None:
    """Fuzz a target until libFuzzer has enough, then end the process as it does."""
    sys.path[:0] = [str(HERE), str(HERE.parent / "helpers")]
    with atheris.instrument_imports(
        include=["paredown_minimizer", "paredown_schemas", f"fuzz_{name}"]
    ):
        target = importlib.import_module(f"fuzz_{name}")
    with tempfile.TemporaryDirectory(prefix="paredown-fuzz-") as place:
        seeds = _write_seeds(Path(place) / "seeds", target.seeds())
        words = Path(place) / "words"
        words.write_text("".join(f'"{_escaped(word)}"\n' for word in target.DICTIONARY))
        # The first directory takes what is new.
        corpora = [option for option in options if not option.startswith("-")]
        options = [option for option in options if option.startswith("-")]
        limits = ["-timeout=60", "-rss_limit_mb=1500", "-max_len=65536", f"-dict={words}"]
        atheris.Setup([sys.argv[0], *limits, *options, *corpora, str(seeds)], target.one_input)
        atheris.Fuzz()


def _write_seeds(place: Path, seeds: Iterable[bytes]) -> Path:
    place.mkdir()
    for number, seed in enumerate(seeds):
        (place / f"{number:04d}").write_bytes(seed)
    return place


def _escaped(word: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in word)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
