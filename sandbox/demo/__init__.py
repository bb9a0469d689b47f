"""The whole service on one machine: embedded Redis, the sandbox, a poller, two workers, and jobs for them to end."""
