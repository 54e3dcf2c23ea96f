"""Documents for others, made of a plan and what it led to: SBOM, VEX, in-toto statement."""
