"""PromQL in the words of the dashboard's rows: per minute, quantiles, per settled job, as the leader sees it."""

from collections.abc import Sequence

from deploy.grafana.panels import Query

PROCESSES = 'up{job=~"jobworker-(poller|worker)"}'

LEADING = "and on (job, instance) jobworker_poll_leader == 1"
"""Takes a figure from the poller that leads: the one that stands by keeps what it last saw when it led."""
JOBS_PER_MINUTE = "count:jobs/min"
REQUESTS_PER_MINUTE = "count:req/min"


def per_minute(metric: str, by: str) -> str:
    """How much a counter grows in a minute, by a label."""
    return f"60 * sum by ({by}) (rate({metric}[$__rate_interval]))"


def quantile(share: float, histogram: str, by: str = "", only: str = "") -> str:
    """A quantile of what a histogram saw lately, by one more label if any, of certain series only if any."""
    labels = f"le, {by}" if by else "le"
    return f"histogram_quantile({share}, sum by ({labels}) (rate({histogram}_bucket{only}[$__rate_interval])))"


def quantiles(histogram: str, only: str = "") -> Sequence[Query]:
    """The middle, the slow and the slowest of what a histogram saw lately."""
    return [Query(quantile(share, histogram, only=only), f"{share:.0%}") for share in (0.5, 0.95, 0.99)]


def per_settled_job(counter: str) -> str:
    """How much a counter grows for each job that is settled; nothing where none is."""
    return f"sum(rate({counter}[15m])) / (sum(rate(jobworker_jobs_settled_total[15m])) > 0)"


def or_never(expr: str, label: str) -> str:
    """Show a line at zero, called never, where nothing ever happened: an empty panel looks broken."""
    return f'{expr} or on () label_replace(vector(0), "{label}", "never", "", "")'
