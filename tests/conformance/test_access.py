"""What every access policy promises, whoever it trusts and why."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mirror.ports.access import Action, Identity
from tests.conformance.access import WORLDS, World

each_action = pytest.mark.parametrize("action", Action, ids=lambda action: action.value)
REFUSED = [action for action in Action if action is not Action.PULL]
each_refused = pytest.mark.parametrize("action", REFUSED, ids=lambda action: action.value)


@pytest.fixture(params=WORLDS)
def access(request: pytest.FixtureRequest) -> World:
    return WORLDS[request.param]()


@each_action
def test_who_is_trusted_may_do_everything(access: World, action: Action) -> None:
    assert access.policy.allows(access.administrator, action)


@each_refused
def test_who_is_not_known_may_change_nothing(access: World, action: Action) -> None:
    assert not access.policy.allows(access.stranger, action)
    assert not access.policy.allows(access.nobody, action)


@each_action
def test_the_same_question_has_the_same_answer(access: World, action: Action) -> None:
    for identity in (access.administrator, access.stranger, access.nobody):
        answers = {access.policy.allows(identity, action) for _ in range(3)}
        assert len(answers) == 1
        assert len({access.policy.advice(identity, action) for _ in range(3)}) == 1


@each_refused
def test_who_is_refused_is_told_in_one_line(access: World, action: Action) -> None:
    for identity in (access.stranger, access.nobody):
        advice = access.policy.advice(identity, action)
        assert advice
        assert advice.isprintable()


@each_refused
def test_what_is_advised_allows_it_and_takes_nothing_from_others(
    access: World, action: Action
) -> None:
    policy = access.configured(access.policy.advice(access.stranger, action))
    assert policy.allows(access.stranger, action)
    assert not policy.allows(access.nobody, action)
    assert all(policy.allows(access.administrator, each) for each in Action)


@each_refused
@given(address=st.text(max_size=60))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_an_address_that_is_none_is_nobody(access: World, action: Action, address: str) -> None:
    """It comes from a socket, or from whatever is in its place."""
    identity = Identity(f"no address: {address}")
    assert not access.policy.allows(identity, action)
    assert access.policy.advice(identity, action).isprintable()
