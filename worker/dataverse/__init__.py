"""A client for the Dataverse Web API: sign-in, transport, retries, queries, $batch, errors, throttling; no jobs."""
