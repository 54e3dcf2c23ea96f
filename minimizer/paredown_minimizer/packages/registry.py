"""The package managers that are known."""

from __future__ import annotations

from paredown_minimizer.image.model import Image
from paredown_minimizer.packages.apk import Apk
from paredown_minimizer.packages.base import PackageManager
from paredown_minimizer.packages.dpkg import Dpkg
from paredown_minimizer.packages.rpm import Rpm

MANAGERS: tuple[PackageManager, ...] = (Dpkg(), Apk(), Rpm())


def find_manager(image: Image) -> PackageManager | None:
    """Return the manager whose database the image holds, None where there is none."""
    return next((manager for manager in MANAGERS if manager.detect(image)), None)
