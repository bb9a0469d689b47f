"""From which instant the poller asks: the last one asked about, less an overlap, on a grid.

Rows are committed late and dates are whole seconds, so the same stretch is asked about again. The grid keeps the lower
bound still for a while, so that what was counted from it can be compared with what is counted from it the next time.
"""

from datetime import UTC, datetime, timedelta


class Window:
    """The lower bound of what a question asks about."""

    def __init__(self, overlap: timedelta) -> None:
        self._overlap = overlap
        self._asked_up_to: datetime | None = None

    def start(self, now: datetime) -> datetime:
        """Give the lower bound.

        Args:
            now: Dataverse's clock, for a question that was never asked before: the sweep covers what was earlier.
        """
        step = self._overlap.total_seconds()
        earliest = (self._asked_up_to or now).timestamp() - step
        return datetime.fromtimestamp(max(0.0, earliest // step * step), UTC)

    def asked_up_to(self, instant: datetime) -> None:
        """Note that everything committed before this instant has been asked about."""
        self._asked_up_to = instant
