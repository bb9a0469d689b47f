"""The machinery that does what `tasks` says: the Dataverse client, the store, the poller, the worker, the commands."""
