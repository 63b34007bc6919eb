"""Every setting has a name in the environment, and a bad value is told under that name."""

from pathlib import Path

import pytest

from workers.settings import _NAMES, Settings
from workflows.contracts.errors import InvalidRequest
from workflows.contracts.names import Queue
from workflows.contracts.strategies import Rolling

GOOD = {
    "DATABASE_URL": ("postgresql://vulnzero@db/vulnzero", "postgresql://vulnzero@db/vulnzero"),
    "MAX_CONCURRENT_DEPLOYMENTS": ("7", 7),
    "DEFAULT_BATCH_SIZE": ("25%", "25%"),
    "DEFAULT_WAIT_TIME": ("0", 0.0),
    "ANSIBLE_TIMEOUT": ("900", 900),
    "ANSIBLE_HOST_KEY_CHECKING": ("True", True),
    "VULNZERO_RUN_DIR": ("/srv/run", Path("/srv/run")),
    "VULNZERO_ANSIBLE_SLOTS": ("9", 9),
    "VULNZERO_CONTROL_SLOTS": ("11", 11),
    "VULNZERO_DRAIN_SECONDS": ("1.5", 1.5),
}
BAD = {
    "MAX_CONCURRENT_DEPLOYMENTS": "0",
    "DEFAULT_BATCH_SIZE": "a few",
    "DEFAULT_WAIT_TIME": "-1",
    "ANSIBLE_TIMEOUT": "soon",
    "ANSIBLE_HOST_KEY_CHECKING": "maybe",
    "VULNZERO_ANSIBLE_SLOTS": "none",
    "VULNZERO_CONTROL_SLOTS": "1.5",
    "VULNZERO_DRAIN_SECONDS": "-3",
}


def test_each_variable_is_tried_here() -> None:
    assert GOOD.keys() == _NAMES.keys()
    assert BAD.keys() == _NAMES.keys() - {"DATABASE_URL", "VULNZERO_RUN_DIR"}  # which take any text


@pytest.mark.parametrize("name", GOOD)
def test_a_variable_sets_its_setting(name: str) -> None:
    text, value = GOOD[name]
    assert getattr(Settings.load({name: text}), _NAMES[name]) == value


@pytest.mark.parametrize("name", BAD)
def test_a_bad_value_is_refused_under_the_name_of_its_variable(name: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        Settings.load({name: BAD[name]})
    assert str(raised.value).startswith(f"{name}: ")
    assert str(raised.value).count(name) == 1
    assert repr(BAD[name]) in str(raised.value)


@pytest.mark.parametrize("word", ["False", "false", "0", "no", "off"])
def test_host_key_checking_cannot_be_switched_off(word: str) -> None:
    with pytest.raises(InvalidRequest, match=r"ANSIBLE_HOST_KEY_CHECKING: host keys are pinned .* always checked"):
        Settings.load({"ANSIBLE_HOST_KEY_CHECKING": word})


@pytest.mark.parametrize("word", ["True", "true", "1", "yes", "ON"])
def test_host_key_checking_may_be_said_to_be_on(word: str) -> None:
    assert Settings.load({"ANSIBLE_HOST_KEY_CHECKING": word}).host_key_checking is True


def test_an_empty_environment_gives_the_defaults_that_the_manual_tells() -> None:
    settings = Settings.load({})
    assert settings == Settings()
    assert (settings.max_concurrent_deployments, settings.ansible_timeout) == (5, 300)
    assert settings.strategy_defaults == {"batch_size": 0.2, "wait_seconds": 60, "host_timeout": 300}
    assert settings.queues == tuple(Queue)


def test_an_empty_variable_is_as_good_as_none() -> None:
    assert Settings.load(dict.fromkeys(GOOD, "")) == Settings()


def test_what_is_given_beats_the_environment_and_none_is_not_given() -> None:
    environ = {"ANSIBLE_TIMEOUT": "100", "VULNZERO_ANSIBLE_SLOTS": "3"}
    settings = Settings.load(environ, ansible_timeout=200, ansible_slots=None)
    assert (settings.ansible_timeout, settings.ansible_slots) == (200, 3)


def test_what_nobody_asked_for_in_the_environment_is_no_fault() -> None:
    assert Settings.load({"ANSIBLE_TIMEOUTS": "x", "VULNZERO_UNKNOWN": "y"}) == Settings()


@pytest.mark.parametrize(("text", "hosts"), [("0.3", 30), ("30%", 30), ("4 hosts", 4), ("100%", 100)])
def test_the_default_batch_size_is_a_share_or_a_count(text: str, hosts: int) -> None:
    defaults = Settings.load({"DEFAULT_BATCH_SIZE": text}).strategy_defaults
    assert Rolling.read(defaults).batch_size.floored(100) == hosts


@pytest.mark.parametrize("text", ["1", "1.0"])
def test_rule_2_a_bare_one_is_ambiguous_as_the_default_batch_size_too(text: str) -> None:
    with pytest.raises(InvalidRequest, match="DEFAULT_BATCH_SIZE: 1 is ambiguous"):
        Settings.load({"DEFAULT_BATCH_SIZE": text})


@pytest.mark.parametrize("text", ["nan", "inf"])
def test_a_wait_that_is_no_number_of_seconds_is_refused(text: str) -> None:
    for name in ("DEFAULT_WAIT_TIME", "VULNZERO_DRAIN_SECONDS"):
        with pytest.raises(InvalidRequest, match=name):
            Settings.load({name: text})
