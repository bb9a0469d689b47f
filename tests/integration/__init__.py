"""The service as real processes against the sandbox."""
