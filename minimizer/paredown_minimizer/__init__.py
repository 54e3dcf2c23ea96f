"""The minimizer: maps traces to packages, decides what stays, and writes the slim image."""
