"""Scenarios: jobs and packets of known kinds, each with the end that the rules allow it."""
