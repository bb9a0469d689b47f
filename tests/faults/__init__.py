"""What can break is broken on purpose, over hundreds of jobs with real processes; the sandbox's audit judges."""
