"""What every test shares: how hypothesis runs."""

from hypothesis import HealthCheck, settings

settings.register_profile("suite", max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")
