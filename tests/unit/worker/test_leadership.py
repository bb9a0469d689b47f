"""Which of the pollers leads, over a real server whose lock is left to expire, taken away and lost."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from redis import Redis
from redis.exceptions import RedisError
from structlog.testing import capture_logs

from config.sources import Settings
from sandbox.redis_server import RedisServer
from tests.unit.worker.conftest import away, refusing
from worker.leadership import RENEW_SECONDS, Leadership
from worker.redis_client import connect
from worker.redis_keys import LEADER, LEADER_TTL

TTL_MS = LEADER_TTL.total_seconds() * 1000


@pytest.fixture
def one(client: Redis) -> Leadership:
    """A process that is asked first in most tests."""
    return Leadership(client)


@pytest.fixture
def other(settings: Settings, client: Redis) -> Iterator[Leadership]:
    """Another process, with a connection of its own."""
    with connect(settings.redis) as connected:
        yield Leadership(connected)


def expire(client: Redis) -> None:
    """Let the lock expire now."""
    assert client.pexpireat(LEADER, 1)


def take_away(client: Redis) -> str:
    """Have a stranger hold the lock."""
    client.set(LEADER, "a stranger", px=int(TTL_MS))
    return "a stranger"


# Leading and standing by


def test_nobody_leads_before_being_asked(one: Leadership, client: Redis) -> None:
    assert (one.leads, one.term) == (False, 0)
    assert not client.exists(LEADER)


def test_one_leads_and_the_other_stands_by(one: Leadership, other: Leadership) -> None:
    assert one.confirm()
    assert not other.confirm()
    assert one.confirm()
    assert not other.confirm()

    assert (one.leads, other.leads) == (True, False)
    assert (one.term, other.term) == (1, 0)


def test_the_standby_takes_over_when_the_lock_has_expired(one: Leadership, other: Leadership, client: Redis) -> None:
    one.confirm()
    other.confirm()
    expire(client)

    assert other.confirm()
    assert not one.confirm()

    assert (one.leads, other.leads) == (False, True)


def test_a_leader_that_dies_is_followed_within_the_locks_time(one: Leadership, client: Redis) -> None:
    one.confirm()

    assert 0 < client.pttl(LEADER) <= TTL_MS


def test_each_confirmation_gives_the_lock_its_full_time_and_no_more(one: Leadership, client: Redis) -> None:
    one.confirm()
    client.pexpire(LEADER, 1000)
    for _ in range(3):
        assert one.confirm()
        assert TTL_MS - 1000 < client.pttl(LEADER) <= TTL_MS


def test_a_standby_does_not_prolong_the_leaders_lock(one: Leadership, other: Leadership, client: Redis) -> None:
    one.confirm()
    client.pexpire(LEADER, 1000)
    other.confirm()

    assert client.pttl(LEADER) <= 1000


def test_a_leader_may_miss_two_renewals_and_lead_still() -> None:
    assert LEADER_TTL.total_seconds() > 3 * RENEW_SECONDS


# Terms


def test_a_term_goes_on_while_the_lead_is_renewed(one: Leadership) -> None:
    for _ in range(4):
        one.confirm()

    assert one.term == 1


def test_each_new_lead_is_a_new_term(one: Leadership, other: Leadership, client: Redis) -> None:
    one.confirm()
    expire(client)
    other.confirm()
    one.confirm()
    expire(client)

    assert one.confirm()
    assert (one.term, other.term) == (2, 1)


def test_a_lead_that_lapsed_is_a_new_term_even_when_nobody_took_it(one: Leadership, client: Redis) -> None:
    one.confirm()
    expire(client)

    with capture_logs() as logged:
        assert one.confirm()

    assert one.term == 2
    assert [(event["event"], event["term"]) for event in logged] == [("leadership_taken", 2)]


# A lock that another holds


def test_a_leader_whose_lock_another_took_no_longer_leads_and_says_so(one: Leadership, client: Redis) -> None:
    one.confirm()
    stranger = take_away(client)

    with capture_logs() as logged:
        assert not one.confirm()
        assert not one.confirm()

    assert not one.leads
    assert one.term == 1
    assert [event["event"] for event in logged] == ["leadership_lost"]
    assert client.get(LEADER) == stranger


def test_a_leader_cannot_release_anothers_lock(one: Leadership, other: Leadership, client: Redis) -> None:
    one.confirm()
    expire(client)
    other.confirm()
    held = client.get(LEADER)

    with capture_logs() as logged:
        one.resign()

    assert not one.leads
    assert client.get(LEADER) == held
    assert other.confirm()
    assert other.term == 1
    assert [event["event"] for event in logged] == ["leadership_already_taken"]


def test_a_former_leader_cannot_prolong_anothers_lock(one: Leadership, client: Redis) -> None:
    one.confirm()
    take_away(client)
    client.pexpire(LEADER, 1000)
    one.confirm()

    assert client.pttl(LEADER) <= 1000


# Giving the lead away


def test_the_standby_takes_over_at_once_from_who_resigns(one: Leadership, other: Leadership, client: Redis) -> None:
    one.confirm()
    one.resign()

    assert not one.leads
    assert not client.exists(LEADER)
    assert other.confirm()
    assert not one.confirm()


def test_a_standby_that_resigns_takes_nothing_from_the_leader(one: Leadership, other: Leadership) -> None:
    one.confirm()
    other.confirm()
    other.resign()

    assert not other.confirm()
    assert one.confirm()
    assert one.term == 1


def test_who_resigned_may_lead_again(one: Leadership) -> None:
    one.confirm()
    one.resign()
    one.resign()

    assert one.confirm()
    assert one.term == 2


def test_any_thread_may_renew_the_lead_and_give_it_away(one: Leadership, client: Redis) -> None:
    one.confirm()

    with ThreadPoolExecutor(1) as thread:
        assert thread.submit(one.confirm).result()
        assert one.term == 1
        thread.submit(one.resign).result()

    assert not client.exists(LEADER)


# Redis away


def test_without_redis_nobody_leads(one: Leadership, other: Leadership, redis_server: RedisServer) -> None:
    one.confirm()

    with away(redis_server):
        for each in (one, other):
            with pytest.raises(RedisError):
                each.confirm()
        assert (one.leads, other.leads) == (False, False)

    assert other.confirm()
    assert not one.confirm()


def test_a_lead_that_cannot_be_renewed_is_not_claimed_though_the_lock_stands(one: Leadership, client: Redis) -> None:
    one.confirm()

    with refusing(client, "evalsha"), refusing(client, "set"), pytest.raises(RedisError):
        one.confirm()

    assert client.exists(LEADER)
    assert not one.leads


def test_a_lead_that_could_not_be_renewed_once_goes_on_while_the_lock_stands(one: Leadership, client: Redis) -> None:
    one.confirm()
    with refusing(client, "evalsha"), pytest.raises(RedisError):
        one.confirm()

    assert one.confirm()
    assert one.term == 1


def test_who_could_not_renew_the_lead_may_still_give_it_away(one: Leadership, other: Leadership, client: Redis) -> None:
    one.confirm()
    with refusing(client, "evalsha"), pytest.raises(RedisError):
        one.confirm()
    one.resign()

    assert other.confirm()


def test_the_lead_after_redis_was_wiped_is_a_new_term(one: Leadership, redis_server: RedisServer) -> None:
    one.confirm()
    with away(redis_server), pytest.raises(RedisError):
        one.confirm()

    assert one.confirm()
    assert one.term == 2


def test_who_resigns_without_redis_leads_no_more(one: Leadership, redis_server: RedisServer) -> None:
    one.confirm()

    with away(redis_server):
        with pytest.raises(RedisError):
            one.resign()
        one.resign()  # there is nothing left to give away

    assert not one.leads
