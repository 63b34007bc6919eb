"""Every parameter of every strategy can be given by an option; one that does not belong to the strategy is refused."""

import json
import re
from typing import Any

import pytest

from starter.cli.deploy import deploy
from starter.cli.stages import split_stages
from starter.cli.strategy import Parameter, parsed
from tests.starter.cli.conftest import Vulnzero
from workflows.contracts import AllAtOnce, Canary, Rolling
from workflows.contracts.errors import InvalidRequest
from workflows.contracts.strategies import StrategyParams

MODELS: dict[str, type[StrategyParams]] = {"all-at-once": AllAtOnce, "rolling": Rolling, "canary": Canary}
PARAMETERS = {one.name: one for one in deploy.params if isinstance(one, Parameter)}
ALL = ("acme-1.0.1", "--to", "all")


def read(*options: str) -> StrategyParams:
    with deploy.make_context("deploy", [*ALL, *options]) as context:
        given = {name: value for name, value in context.params.items() if name in PARAMETERS}
        return parsed(context.params["strategy"], given)


@pytest.mark.parametrize("strategy", MODELS)
def test_each_strategy_has_an_option_for_each_of_its_parameters_and_for_no_other(strategy: str) -> None:
    options = {name for name, one in PARAMETERS.items() if one.of in ("", strategy)}
    assert options == set(MODELS[strategy].model_fields)


@pytest.mark.parametrize(
    ("options", "meant"),
    [
        ((), Rolling()),
        (("--strategy", "all-at-once", "--on-failure", "stop"), AllAtOnce(on_failure="stop")),
        (("--strategy", "canary"), Canary()),
        (("--continue-on-error", "--batch-size", "0.5"), Rolling(continue_on_error=True, batch_size=0.5)),
        (("--strategy", "canary", "--stages", "10%,50%,1"), Canary(stages=["10%", "50%", 1])),
        (("--strategy", "canary", "--stages", "ring=0", "--stages", "0.5,1"), Canary(stages=["ring=0", 0.5, 1])),
        (
            ("--strategy", "canary", "--no-auto-promote", "--monitoring-duration", "0"),
            Canary(auto_promote=False, monitoring_duration=0),
        ),
        (("--strategy", "canary", "--no-rollback-on-failure"), Canary(rollback_on_failure=False)),
        (("--strategy", "canary", "--rollback-on-failure"), Canary(rollback_on_failure=True)),
    ],
)
def test_options_mean_what_the_library_means_by_the_same_names(options: tuple[str, ...], meant: StrategyParams) -> None:
    found = read(*options)
    assert found == meant
    assert found.model_fields_set == meant.model_fields_set


@pytest.mark.parametrize(
    ("values", "stages"),
    [
        (["10%,50%,1"], ["10%", "50%", 1]),
        (["0.1, 0.5, 1.0"], [0.1, 0.5, 1.0]),
        (["ring in (0,1),50%,1"], ["ring in (0,1)", "50%", 1]),
        (["zone notin (a,b)", "1"], ["zone notin (a,b)", 1]),
        (["ring=0", "ring=1", "1"], ["ring=0", "ring=1", 1]),
        (["id=1,2,3,50%,1"], ["id=1,2,3", "50%", 1]),
        (["1 host,50 hosts"], ["1 host", "50 hosts"]),
        (["env=prod,ring=0", "1"], ["env=prod,ring=0", 1]),
    ],
)
def test_commas_part_stages_but_not_selectors(values: list[str], stages: list[Any]) -> None:
    assert split_stages(values) == stages


def test_two_selectors_in_a_row_are_not_guessed_at() -> None:
    with pytest.raises(InvalidRequest, match=r"'env=prod,ring=0' may be one stage or two; write --stages once for"):
        split_stages(["env=prod,ring=0,1"])


@pytest.mark.parametrize("command", [("plan",), ("deploy", "--yes")])
@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--stages", "10%"), "--stages is a parameter of canary; --strategy is rolling"),
        (("--no-auto-promote",), "--auto-promote is a parameter of canary; --strategy is rolling"),
        (("--strategy", "all-at-once", "--wait-seconds", "0"), "parameter of rolling; --strategy is all-at-once"),
        (("--strategy", "canary", "--batch-size", "20%"), "--batch-size is a parameter of rolling"),
        (("--strategy", "canary", "--stages", "10%,2"), "2 is no fraction: write"),
        (("--strategy", "canary", "--stages", "10%,,1"), "stages: '': write a fraction"),
        (
            ("--strategy", "canary", "--rollback-on-failure", "--on-failure", "stop"),
            "rollback_on_failure True means on_failure rollback, but on_failure is stop: give one of the two",
        ),
        (("--strategy", "blue-green"), "'blue-green' is not one of 'all-at-once', 'rolling', 'canary'"),
    ],
)  # fmt: skip
def test_what_does_not_fit_the_strategy_is_refused_before_anything_is_asked_of_a_server(
    vulnzero: Vulnzero, command: tuple[str, ...], options: tuple[str, ...], words: str
) -> None:
    code, out, err = vulnzero(*command, *ALL, *options, "--database-url", "postgresql://postgres@127.0.0.1:1/none")
    assert (code, out) == (2, "")
    assert re.fullmatch(r"error: [^\n]+\n", err)
    assert words in err


def test_a_stage_whose_selector_cannot_be_read_is_quoted(stocked: Vulnzero) -> None:
    code, _, err = stocked("plan", *ALL, "--strategy", "canary", "--stages", "ring in (0")
    assert code == 2
    assert "cannot read 'ring in (0'" in err


def test_help_keeps_its_columns_at_80_and_tells_units_and_owners(vulnzero: Vulnzero) -> None:
    out = vulnzero("deploy", "--help")[1]
    assert max(len(line) for line in out.splitlines()) <= 80
    sections = dict(re.findall(r"^Parameters of ([\w ]+):\n((?:  .*\n)+)", out, re.MULTILINE))
    assert list(sections) == ["every strategy", "rolling", "canary"]
    starts = {match.end() for line in out.splitlines() if (match := re.match(r"  -\S+(?: \S+)*  +(?=\S)", line))}
    assert len(starts) == 1
    assert "--monitoring-duration SECONDS" in sections["canary"]
    assert "--[no-]auto-promote" in sections["canary"]
    assert "--batch-size SIZE" in sections["rolling"]


def test_the_defaults_that_help_tells_are_those_that_hold() -> None:
    told = {name: re.findall(r"\[default: (.*?)\]", one.help or "") for name, one in PARAMETERS.items()}
    assert all(len(found) == 1 for found in told.values()), told
    rolling, canary, plain = Rolling(), Canary(), AllAtOnce()
    assert told["batch_size"] == [str(rolling.batch_size)]
    assert told["wait_seconds"] == [f"{rolling.wait_seconds:g}"]
    assert told["max_failures"] == [f"{plain.max_failures}; rolling: {rolling.max_failures}"]
    assert canary.max_failures == plain.max_failures
    assert told["max_concurrency"] == [str(plain.max_concurrency)]
    assert told["host_timeout"] == [str(plain.host_timeout)]
    assert told["monitoring_duration"] == [f"{canary.monitoring_duration:g}"]
    assert told["on_failure"] == [f"{plain.after_failure}; canary: {canary.after_failure}"]
    assert rolling.after_failure == plain.after_failure
    assert Canary(stages=split_stages(told["stages"])) == Canary()
    assert (rolling.continue_on_error, canary.auto_promote) == (False, True)


def test_a_canary_plan_tells_stages_monitoring_promotion_and_what_a_failure_brings(stocked: Vulnzero) -> None:
    code, out, _ = stocked("plan", *ALL, "--strategy", "canary", "--stages", "1 host,50%,1", "--no-auto-promote")
    assert code == 0
    head = out.partition("hash ")[0]
    assert "strategy  canary\n" in head
    assert "stages    1 host, 50%, 100%; 1 adds no host\n" in head
    assert "watched   15 min after each stage but the last (default): 15 min of monitoring\n" in head
    assert "promote   by a person, after each stage but the last\n" in head
    assert "then      rollback: every changed host goes back (default)\n" in head
    assert max(len(line) for line in head.splitlines()) <= 80
    found = json.loads(stocked("plan", *ALL, "--strategy", "canary", "--no-auto-promote", "-o", "json")[1])
    assert (found["strategy"], found["monitoring"], found["auto_promote"]) == ("CanaryDeployment", 900.0, False)


def test_an_all_at_once_plan_is_one_wave(stocked: Vulnzero) -> None:
    out = stocked("plan", *ALL, "--strategy", "all-at-once", "--on-failure", "pause")[1]
    assert "waves     1: every host as soon as there is a place for it" in out
    assert "then      pause: a person decides: rollback or cancel\n" in out
