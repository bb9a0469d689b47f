"""Dataverse on a laptop: an emulator of the Web API around the integration jobs, with sign-in, limits and failures.

It imports nothing of the worker, so that neither can hide the other's mistake.
"""
