"""``python -m paredown_minimizer`` is ``paredown``."""

import sys

from paredown_minimizer.cli import main

sys.exit(main())
