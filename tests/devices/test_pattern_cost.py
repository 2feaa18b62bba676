"""The price of a regular expression, told before it runs."""

import random
import re
import time

import pytest

from devices.pattern_cost import ENDLESS, PatternError, cost_of
from devices.replies import MAX_COST, MAX_TEXT


@pytest.mark.parametrize(
    ("pattern", "cost"),
    [
        ("", 1),
        ("abc", 1),
        ("a?", 2),
        ("a|b|c", 3),
        ("a{2,5}", 4),
        ("a{3}", 1),
        ("a{,3}", 4),
        ("a*", 101),
        ("a+?", 100),
        ("a*b*", 101 * 101),
        ("(?:a|b){3}", 8),
        ("(?P<x>a?)(b?)", 4),
        (r"[^\]\n)]{0,9}", 10),
        (r"[])]?\)?\(", 4),
        ("a{,x}", 1),
    ],
)
def test_cost_is_the_number_of_ways_to_match(pattern, cost):
    assert cost_of(pattern, longest=100) == cost


@pytest.mark.parametrize(
    "pattern", ["(a+)+", "(?:a*)*b", "(a|aa)*", "((a{0,9}){0,9}){0,9}", "(?:a?){60}a{60}"]
)
def test_a_nested_repeat_has_no_price(pattern):
    assert cost_of(pattern, longest=MAX_TEXT) > MAX_COST
    assert cost_of(pattern, longest=MAX_TEXT) <= ENDLESS


@pytest.mark.parametrize(
    "pattern", [r"(a)\1", "(?=a)b", "(?!a)b", "(?<=a)b", "(?i)a", "(?P<x>a)(?P=x)", "a*+", "(?>a)"]
)
def test_syntax_that_cannot_be_priced_is_refused(pattern):
    with pytest.raises(PatternError):
        cost_of(pattern, longest=MAX_TEXT)


def test_whatever_is_cheap_enough_runs_fast_on_the_worst_text():
    rng = random.Random(7)
    atoms = [
        "a",
        ".",
        "[ab]",
        "a?",
        "a*",
        ".*",
        "[ab]+",
        "a{0,20}",
        "(?:a|b)",
        "(?:a|.)?",
        "(?:aa|a){1,9}",
        "(a*)",
    ]
    atoms += ["(?:a?b?){0,8}", "(?:a{0,3}){0,5}", "(?:.|a){0,18}", r"\w*?"]
    tried, slowest = 0, 0.0

    while tried < 60:
        pattern = "".join(rng.choices(atoms, k=rng.randrange(2, 7))) + "!"
        if not 100_000 < cost_of(pattern, longest=MAX_TEXT) <= MAX_COST:
            continue
        tried += 1
        started = time.perf_counter()
        assert re.fullmatch(pattern, "a" * MAX_TEXT) is None
        slowest = max(slowest, time.perf_counter() - started)

    assert slowest < 2
