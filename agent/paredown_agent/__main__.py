"""``python3 -m paredown_agent``."""

import sys

from paredown_agent.cli import main

sys.exit(main())
