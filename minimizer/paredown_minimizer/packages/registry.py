"""The package managers that are known."""

from __future__ import annotations

from paredown_minimizer.image.model import Image
from paredown_minimizer.packages.apk import Apk
from paredown_minimizer.packages.base import PackageManager
from paredown_minimizer.packages.combined import Combined
from paredown_minimizer.packages.dpkg import Dpkg
from paredown_minimizer.packages.languages.base import LanguagePackages
from paredown_minimizer.packages.languages.composer import Composer
from paredown_minimizer.packages.languages.gem import Gem
from paredown_minimizer.packages.languages.java import Java
from paredown_minimizer.packages.languages.npm import Npm
from paredown_minimizer.packages.languages.python import Python
from paredown_minimizer.packages.rpm import Rpm

MANAGERS: tuple[PackageManager, ...] = (Dpkg(), Apk(), Rpm())
LANGUAGES: tuple[LanguagePackages, ...] = (Python(), Npm(), Gem(), Java(), Composer())


def find_manager(image: Image) -> PackageManager | None:
    """Return the manager whose database the image holds, None where there is none."""
    return next((manager for manager in MANAGERS if manager.detect(image)), None)


def find_managers(image: Image) -> Combined:
    """Return the system's manager and the languages' as one."""
    return Combined(find_manager(image), LANGUAGES)
