"""Trials: an image is started as its user starts it, under the agent, and tests run against it."""

from paredown_minimizer.trial.model import Launch, Suite, TestCommand, Trial
from paredown_minimizer.trial.run import run_trial

__all__ = ["Launch", "Suite", "TestCommand", "Trial", "run_trial"]
