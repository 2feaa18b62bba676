"""The benchmarks' own arithmetic and the lines that they print."""

from bench.__main__ import line_of, names
from bench.harness import Goal, alternate, exponent


def test_a_goal_is_a_ceiling_or_a_floor():
    assert Goal(1.5, at_most=True).is_met(1.5)
    assert not Goal(1.5, at_most=True).is_met(1.51)
    assert Goal(0.5, at_most=False).is_met(0.5)
    assert not Goal(0.5, at_most=False).is_met(0.49)


def test_a_line_says_the_ratio_the_goal_and_the_verdict():
    row = {"ratio": 0.9, "goal": str(Goal(1.5, at_most=True)), "met": True, "broken": ""}

    assert line_of("U1", row) == "U1 0.90 goal <=1.5 met"
    assert (
        line_of("U1", row | {"met": False, "broken": "queries grow"})
        == "U1 0.90 goal <=1.5 missed (queries grow)"
    )
    assert line_of("U1", {"not_run": "no PostgreSQL"}) == "U1 not run: no PostgreSQL"


def test_both_sides_run_in_turns():
    order: list[str] = []

    alternate(lambda: order.append("ours"), lambda: order.append("peer"), repeats=2, warm_up=1)

    assert order == ["ours", "peer"] * 3


def test_a_cost_that_grows_with_the_size_has_exponent_one():
    assert exponent(2.0, 20.0, growth=10) == 1


def test_every_benchmark_is_found_by_its_id():
    assert "U1" in names()
