"""What every process shares before it does anything: settings, logging, the Celery configuration, the metrics."""
