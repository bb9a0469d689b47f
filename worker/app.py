"""The Celery application: configured, with the tasks registered, and nothing connected yet."""

from celery import Celery, signals

from config.celery import celery_configuration
from config.sources import Settings


def make_app(settings: Settings) -> Celery:
    """Make the application that both the poller (to publish) and the workers (to consume) use.

    Args:
        settings: The settings in force.
    """
    app = Celery("jobworker", include=["tasks.celery_tasks"], set_as_current=True)
    app.conf.update(celery_configuration(settings))
    # Logging is configured already; without a receiver Celery would configure it its own way.
    signals.setup_logging.connect(_keep_logging, weak=False)
    return app


def _keep_logging(**_: object) -> None:
    """Leave the logging as `config.logging` set it up."""
