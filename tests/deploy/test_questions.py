"""Dashboards, alerts and the scaler ask only for what `config.metrics` declares: names, labels, and label values."""

import re
from collections.abc import Iterator

import promql_parser
import pytest
from promql_parser import AggregateExpr, BinaryExpr, Expr, Matcher, MatchOp, MatrixSelector, VectorSelector

from config import metrics
from config.metrics import describe
from tests.deploy.questions import Question, questions

TARGET_LABELS = {"job", "instance"}
"""What Prometheus adds to every series it scrapes."""

SUFFIXES = {"counter": [""], "gauge": [""], "histogram": ["_bucket", "_sum", "_count"]}

JOB_NAMES = ("jobworker-poller", "jobworker-worker")

# Prometheus' own.
LABELS = {"up": set(TARGET_LABELS), "ALERTS": {"alertname", "alertstate", "severity", "limit"} | TARGET_LABELS}
for described in describe():
    for suffix in SUFFIXES[described.kind]:
        own = {*described.labels, "le"} if suffix == "_bucket" else set(described.labels)
        LABELS[described.name + suffix] = own | TARGET_LABELS

VALUES = {
    ("jobworker_jobs_settled_total", "status"): metrics.FINAL_STATUSES,
    ("jobworker_job_duration_seconds_bucket", "status"): metrics.FINAL_STATUSES,
    ("jobworker_job_wait_seconds_bucket", "status"): metrics.FINAL_STATUSES,
    ("jobworker_jobs_open", "status"): metrics.STATUSES,
    ("jobworker_claims_total", "outcome"): metrics.CLAIM_OUTCOMES,
    ("jobworker_rescued_total", "outcome"): metrics.RESCUE_OUTCOMES,
    ("jobworker_poll_ticks_total", "outcome"): metrics.TICK_OUTCOMES,
    ("jobworker_poll_found_total", "source"): metrics.POLL_SOURCES,
    ("jobworker_dataverse_requests_total", "status"): ("200", "204", "401", "403", "429", "503", "none"),
    ("up", "job"): JOB_NAMES,
    ("ALERTS", "alertstate"): ("pending", "firing"),
    ("ALERTS", "alertname"): ("JobworkerDown",),
}
"""Which values a label may have, where a question names one."""

ALL = [pytest.param(question, id=question.place) for question in questions()]


@pytest.mark.parametrize("question", ALL)
def test_every_question_is_valid_promql(question: Question) -> None:
    assert list(selectors(parsed(question)))


@pytest.mark.parametrize("question", ALL)
def test_every_metric_asked_for_is_declared(question: Question) -> None:
    for selector in selectors(parsed(question)):
        assert selector.name in LABELS, f"config.metrics declares no {selector.name}"


@pytest.mark.parametrize("question", ALL)
def test_every_label_asked_for_is_one_of_the_metric(question: Question) -> None:
    for selector in selectors(parsed(question)):
        for matcher in selector.matchers.matchers:
            assert matcher.name in LABELS[selector.name or ""]
            assert_possible(selector.name or "", matcher)


@pytest.mark.parametrize("question", ALL)
def test_every_grouping_is_by_labels_that_the_metrics_have(question: Question) -> None:
    for node in nodes(parsed(question)):
        known = set[str]().union(*(LABELS[selector.name or ""] for selector in selectors(node)))
        assert set(grouped_by(node)) <= known


def test_every_declared_metric_is_asked_for_somewhere() -> None:
    asked = {selector.name for question in questions() for selector in selectors(parsed(question))}
    unseen = [m.name for m in describe() if not asked & {m.name + suffix for suffix in SUFFIXES[m.kind]}]
    assert not unseen, "nobody would ever look at these"


def assert_possible(metric: str, matcher: Matcher) -> None:
    """Fail unless a label value that is asked for can occur, each alternative of a pattern by itself."""
    possible = VALUES[metric, matcher.name]
    is_pattern = matcher.op in (MatchOp.Re, MatchOp.NotRe)
    prefix, _, alternatives = matcher.value.rpartition("(")
    for alternative in alternatives.rstrip(")").split("|") if is_pattern else [matcher.value]:
        pattern = prefix + alternative if is_pattern else re.escape(alternative)
        assert any(re.fullmatch(pattern, value) for value in possible), f"{metric} has no {matcher.name} {pattern}"


def parsed(question: Question) -> Expr:
    return promql_parser.parse(question.with_windows("1m", "6h"))


def nodes(expr: Expr) -> list[Expr]:
    found: list[Expr] = []
    promql_parser.walk(expr, found.append)
    return found


def selectors(expr: Expr) -> Iterator[VectorSelector]:
    for node in nodes(expr):
        if isinstance(node, VectorSelector):
            yield node
        elif isinstance(node, MatrixSelector):
            yield node.vector_selector


def grouped_by(node: Expr) -> list[str]:
    if isinstance(node, AggregateExpr) and node.modifier:
        return list(node.modifier.labels)
    if isinstance(node, BinaryExpr) and node.modifier and node.modifier.matching:
        return list(node.modifier.matching.labels)
    return []
