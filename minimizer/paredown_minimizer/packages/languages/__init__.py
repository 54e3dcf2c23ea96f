"""Packages that languages' own managers installed, one file each."""
