"""What is injected and when, as data."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any


class Disturbance(Enum):
    """Something done to the service's processes, again and again."""

    KILL_CHILD = auto()  # SIGKILL to one prefork child of a worker: an out-of-memory kill
    KILL_WORKER = auto()  # SIGKILL to a whole worker: a machine that loses power
    TERMINATE_WORKER = auto()  # SIGTERM to a worker: a deployment
    KILL_POLLER = auto()  # SIGKILL to the poller that leads or stands by
    WIPE_REDIS = auto()  # FLUSHALL
    RESTART_REDIS = auto()  # SIGKILL, then started again, empty
    FREEZE_REDIS = auto()  # SIGSTOP for some seconds
    NEIGHBOUR_EDITS = auto()  # another client changes a column of jobs in Processing


@dataclass(frozen=True, slots=True)
class Scenario:
    """One way of breaking things.

    Attributes:
        name: What it is called in reports.
        disturbances: What is done to processes, with the seconds between two times.
        faults: Rules for the sandbox, as ``POST /sandbox/faults`` takes them.
        clock_ahead: Seconds by which Dataverse's clock is ahead of this machine's.
        limits: Service protection limits, as ``POST /sandbox/limits`` takes them.
        settings: Settings of the service that the scenario needs.
        laborious: Whether handlers work for a while, fail now and then, and sometimes kill their process.
    """

    name: str
    disturbances: Mapping[Disturbance, float] = field(default_factory=dict)
    faults: tuple[Mapping[str, Any], ...] = ()
    clock_ahead: float = 0.0
    limits: Mapping[str, Any] | None = None
    settings: Mapping[str, str] = field(default_factory=dict)
    laborious: bool = False


def rule(kind: str, share: float, **more: Any) -> dict[str, Any]:
    """Make a rule of the sandbox: a share of requests, 0 to 1, fails so."""
    return {"kind": kind, "share": share, **more}


SCENARIOS = (
    Scenario("children killed every second", {Disturbance.KILL_CHILD: 1.0}),
    Scenario("workers killed", {Disturbance.KILL_WORKER: 4.0}),
    Scenario("workers deployed anew", {Disturbance.TERMINATE_WORKER: 4.0}),
    Scenario("pollers killed", {Disturbance.KILL_POLLER: 3.0}),
    Scenario("Redis wiped", {Disturbance.WIPE_REDIS: 1.5}),
    Scenario("Redis restarted empty", {Disturbance.RESTART_REDIS: 5.0}),
    Scenario("Redis frozen", {Disturbance.FREEZE_REDIS: 6.0}),
    Scenario("throttled", faults=(rule("throttle", 0.1, seconds=1),)),
    Scenario("server errors", faults=(rule("server_error", 0.2, status=503), rule("server_error", 0.05, status=500))),
    Scenario("connections reset before the write", faults=(rule("reset_before", 0.2),)),
    Scenario("connections reset after the write", faults=(rule("reset_after", 0.2),)),
    Scenario("bodies truncated", faults=(rule("truncate", 0.2),)),
    Scenario(
        "answers slower than the client waits",
        faults=(rule("latency", 0.1, seconds=3),),
        settings={"JOBWORKER_DATAVERSE__TIMEOUT": "2s"},
    ),
    Scenario("tokens refused", faults=(rule("expired_token", 0.1),)),
    Scenario("a clock ten minutes off", clock_ahead=600.0, disturbances={Disturbance.KILL_CHILD: 3.0}),
    Scenario("handlers that work, fail and die", laborious=True),
    Scenario("a neighbour who edits", {Disturbance.NEIGHBOUR_EDITS: 0.2}, faults=(rule("latency", 0.5, seconds=0.3),)),
)

EVERYTHING = Scenario(
    "everything together",
    disturbances={
        Disturbance.KILL_CHILD: 5.0,
        Disturbance.KILL_WORKER: 17.0,
        Disturbance.TERMINATE_WORKER: 29.0,
        Disturbance.KILL_POLLER: 13.0,
        Disturbance.WIPE_REDIS: 11.0,
        Disturbance.RESTART_REDIS: 37.0,
        Disturbance.FREEZE_REDIS: 23.0,
        Disturbance.NEIGHBOUR_EDITS: 1.0,
    },
    faults=(
        rule("throttle", 0.01, seconds=1),
        rule("server_error", 0.03, status=503),
        rule("reset_before", 0.03),
        rule("reset_after", 0.03),
        rule("truncate", 0.03),
        rule("latency", 0.03, seconds=1),
        rule("expired_token", 0.01),
    ),
    clock_ahead=600.0,
    laborious=True,
)
