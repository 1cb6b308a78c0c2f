"""What a visitor may send as sampling parameters."""

import math
from typing import Any

import pytest

from streamspace.errors import BadRequest
from streamspace.sampling import PARAMETERS, Settings, check_settings, in_range


def check(**given: Any) -> Settings:
    return check_settings(given, Settings(), 2048)


def test_what_is_missing_comes_from_the_fallback() -> None:
    fallback = Settings(temperature=0.5, seed=None)
    assert check_settings({"top_p": None}, fallback, 2048) == fallback


def test_the_defaults_are_those_of_the_streaming_example() -> None:
    assert (check().max_tokens, check().temperature, check().top_p, check().seed) == (100, 0.8, 0.95, 42)


@pytest.mark.parametrize("name", ["max_tokens", "top_k", "seed"])
def test_a_whole_float_becomes_an_int_because_a_float_would_hang_the_engine(name: str) -> None:
    value = getattr(check(**{name: 7.0}), name)
    assert value == 7 and type(value) is int


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("max_tokens", 2.5, "max_tokens is 2.5; allowed is a whole number from 1 to 2147483647."),
        ("max_tokens", 0, "max_tokens is 0; allowed is a whole number from 1 to 2147483647."),
        ("temperature", -1, "temperature is -1; allowed is a number from 0 to 2."),
        ("temperature", "hot", "temperature is 'hot'; allowed is a number from 0 to 2."),
        ("temperature", math.nan, "temperature is nan; allowed is a number from 0 to 2."),
        ("top_p", 10**400, f"top_p is 1{'0' * 56}...; allowed is a number from 0.01 to 1."),
        ("seed", -(10**400), f"seed is -1{'0' * 55}...; allowed is a whole number from 0 to 9223372036854775807."),
        ("top_p", 0, "top_p is 0; allowed is a number from 0.01 to 1."),
        ("min_p", math.inf, "min_p is inf; allowed is a number from 0 to 1."),
        ("top_k", True, "top_k is True; allowed is a whole number from 0 to 1000."),
        ("seed", "7", "seed is '7'; allowed is a whole number from 0 to 9223372036854775807."),
        ("seed", 2.0**64, "seed is 1.8446744073709552e+19; allowed is a whole number from 0 to 9223372036854775807."),
        ("repetition_penalty", [], "repetition_penalty is []; allowed is a number from 0.1 to 2."),
        ("stop", 3, "stop is 3; allowed is a list of strings."),
        ("stop", ["a", 1], "stop is ['a', 1]; allowed is a list of strings."),
        ("stop", ["x"] * 17, "stop has 17 strings; allowed are 16."),
        ("enable_thinking", 1, "enable_thinking is 1; allowed is true or false."),
        ("adapter", 1, "adapter is 1; allowed is the name of one, or nothing."),
    ],
)
def test_a_refusal_names_parameter_value_and_what_is_allowed(name: str, value: Any, sentence: str) -> None:
    with pytest.raises(BadRequest) as refused:
        check(**{name: value})
    assert str(refused.value) == sentence


def test_both_ends_of_a_range_and_the_most_stop_strings_are_allowed() -> None:
    for ends in ({"temperature": 0, "max_tokens": 1}, {"temperature": 2, "max_tokens": 2048}):
        given = check(**ends)
        assert {"temperature": given.temperature, "max_tokens": given.max_tokens} == ends
    assert check(stop=["x"] * 16).stop == ("x",) * 16


def test_a_stop_string_has_at_most_so_many_characters() -> None:
    assert check(stop=["y", "x" * 256]).stop == ("y", "x" * 256)
    with pytest.raises(BadRequest) as refused:
        check(stop=["y", "x" * 257])
    assert str(refused.value) == "A stop string has 257 characters; allowed are 256."


def test_an_unknown_parameter_is_refused_by_name() -> None:
    with pytest.raises(BadRequest) as refused:
        check(top_q=1)
    assert str(refused.value) == f"There is no sampling parameter 'top_q'; there are {', '.join(sorted(PARAMETERS))}."


def test_a_long_value_is_cut_in_the_refusal() -> None:
    with pytest.raises(BadRequest) as refused:
        check(temperature="x" * 10_000)
    assert len(str(refused.value)) < 200


def test_empty_stop_strings_are_left_out_and_a_single_one_will_do() -> None:
    assert check(stop=["", "END"]).stop == ("END",)
    assert check(stop="END").stop == ("END",)


def test_a_switch_and_an_adapter_pass_and_an_empty_name_is_no_adapter() -> None:
    given = check(enable_thinking=False, adapter="pirate")
    assert given.enable_thinking is False and given.adapter == "pirate"
    assert check_settings({"adapter": ""}, Settings(adapter="pirate"), 2048).adapter is None


def test_more_tokens_than_are_allowed_become_that_many() -> None:
    assert [check(max_tokens=number).max_tokens for number in (2047, 2048, 4096.0, 2**31 - 1)] == [2047, *[2048] * 3]


def test_what_a_model_recommends_beyond_the_ranges_is_brought_into_them() -> None:
    recommended = Settings(temperature=2.5, top_p=0.001, top_k=-1, min_p=2, repetition_penalty=0, max_tokens=0)
    settings = check_settings({}, recommended, 2048)
    given = {name: value for name, value in vars(settings).items() if name in PARAMETERS}
    assert check_settings(given, Settings(), 2048) == settings  # nothing that is filled in is refused
    assert (settings.temperature, settings.top_p, settings.top_k, settings.min_p) == (2, 0.01, 0, 1)
    assert (settings.repetition_penalty, settings.max_tokens) == (0.1, 1)
    assert check_settings({}, Settings(top_k=5000), 2048).top_k == 1000
    assert in_range({"top_k": 50.0, "typical_p": 3, "seed": None}, 2048) == {"top_k": 50}


def test_the_fallback_itself_is_kept_within_the_operators_limit() -> None:
    assert check_settings({}, Settings(max_tokens=1024), 64).max_tokens == 64
