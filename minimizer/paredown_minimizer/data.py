"""The data files that come with the program: the knowledge base and its like, in YAML."""

from __future__ import annotations

import importlib.resources
from typing import Any


def read_data(*names: str) -> Any:
    """Return what a YAML file of this package holds, ``names`` leading to it.

    Raises:
        yaml.YAMLError: it is no YAML.
    """
    import yaml  # noqa: PLC0415 - late, for those who need some

    # libyaml's parser is some ten times faster, and not in every build of PyYAML.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    text = importlib.resources.files("paredown_minimizer").joinpath(*names).read_text("utf-8")
    return yaml.load(text, Loader=loader)  # noqa: S506 - a safe one
