"""One module per command of ``paredown``; see cli.py."""
