"""The two tables behind the ports of `tasks` and of the poller: what a question or a write costs is decided here."""
