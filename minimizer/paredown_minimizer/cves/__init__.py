"""CVEs before and after: scanners' reports and OSV records, and what a plan makes of them."""
