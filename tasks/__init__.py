"""What is done to a job: the domain, its rules, and the use case that carries a job to its end. No HTTP, no Redis."""
