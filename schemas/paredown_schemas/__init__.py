"""The contract between the agent and the minimizer: trace files, plans, and image identity."""

__version__ = "0.1.0"
