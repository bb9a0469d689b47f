"""One token serves until shortly before its end, whoever asks, and a failure is not asked about again and again."""

import threading
from collections.abc import Callable

import pytest

from worker.dataverse.errors import DataverseError, NeverSentError, SignInError
from worker.dataverse.signin.tokens import ASK_AGAIN_SECONDS, REFRESH_BEFORE_SECONDS, Issued, Tokens


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


class SignInService:
    """Issues numbered tokens, or raises what it is told to."""

    def __init__(self, lasts: float = 3600) -> None:
        self.lasts = lasts
        self.asked = 0
        self.error: DataverseError | None = None

    def __call__(self) -> Issued:
        self.asked += 1
        if self.error is not None:
            raise self.error
        return Issued(f"token-{self.asked}", self.lasts)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def service() -> SignInService:
    return SignInService()


@pytest.fixture
def tokens(service: SignInService, clock: Clock) -> Tokens:
    return Tokens(service, clock)


def test_one_token_serves_until_shortly_before_its_end(tokens: Tokens, clock: Clock, service: SignInService) -> None:
    assert tokens.token() == "token-1"
    clock.now += 3600 - REFRESH_BEFORE_SECONDS - 1
    assert tokens.token() == "token-1"
    clock.now += 1
    assert tokens.token() == "token-2"
    assert service.asked == 2


def test_a_short_lived_token_serves_half_its_life(clock: Clock) -> None:
    tokens = Tokens(SignInService(lasts=60), clock)
    assert tokens.token() == "token-1"
    clock.now += 29
    assert tokens.token() == "token-1"
    clock.now += 1
    assert tokens.token() == "token-2"


def test_a_refused_token_is_forgotten(tokens: Tokens) -> None:
    tokens.drop(tokens.token())
    assert tokens.token() == "token-2"


def test_a_token_that_was_replaced_meanwhile_is_not_forgotten(tokens: Tokens) -> None:
    first = tokens.token()
    tokens.drop(first)
    assert tokens.token() == "token-2"
    tokens.drop(first)
    assert tokens.token() == "token-2"


@pytest.mark.parametrize("error", [NeverSentError("away"), SignInError("refused")], ids=["away", "refused"])
def test_the_old_token_serves_to_its_end_when_there_is_no_new_one(
    tokens: Tokens, clock: Clock, service: SignInService, error: DataverseError
) -> None:
    tokens.token()
    service.error = error
    clock.now += 3600 - REFRESH_BEFORE_SECONDS
    assert tokens.token() == "token-1"
    assert tokens.token() == "token-1"
    assert service.asked == 2
    clock.now += ASK_AGAIN_SECONDS
    assert tokens.token() == "token-1"
    assert service.asked == 3
    clock.now += REFRESH_BEFORE_SECONDS
    with pytest.raises(type(error)):
        tokens.token()


def test_a_refusal_is_remembered_for_a_while(tokens: Tokens, clock: Clock, service: SignInService) -> None:
    service.error = SignInError("wrong", code="AADSTS7000215")
    for _ in range(3):
        with pytest.raises(SignInError, match="wrong") as caught:
            tokens.token()
        assert caught.value.code == "AADSTS7000215"
    assert service.asked == 1
    clock.now += ASK_AGAIN_SECONDS
    service.error = None
    assert tokens.token() == "token-2"


def test_a_service_that_was_away_is_asked_again_at_once(tokens: Tokens, service: SignInService) -> None:
    service.error = NeverSentError("away")
    with pytest.raises(NeverSentError):
        tokens.token()
    service.error = None
    assert tokens.token() == "token-2"


def test_many_threads_sign_in_once(service: SignInService, clock: Clock) -> None:
    all_there = threading.Barrier(8)

    def slowly() -> Issued:
        issued = service()
        all_asked.wait(0.05)
        return issued

    all_asked = threading.Event()
    tokens = Tokens(slowly, clock)
    given: list[str] = []

    def ask() -> None:
        all_there.wait()
        given.append(tokens.token())

    run_together(ask, 8)
    assert given == ["token-1"] * 8
    assert service.asked == 1


def run_together(action: Callable[[], None], number: int) -> None:
    threads = [threading.Thread(target=action) for _ in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_no_token_shows_in_a_representation(tokens: Tokens) -> None:
    token = tokens.token()
    assert token not in repr(tokens)
    assert token not in repr(vars(tokens))
    assert token not in repr(Issued(token, 1))
