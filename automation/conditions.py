"""Conditions of jobs: checked when they are saved, compared when they are judged. Pure.

A PromQL condition of a platform must not see another platform: every selector in it carries
``platform_id="<own>"`` as an equality, and no function may write an identity label.
"""

import math
import operator
from collections.abc import Callable
from typing import Any

import promql_parser
from django.utils.translation import gettext as _

IDENTITY_LABELS = frozenset({"platform_id", "exported_platform_id", "exporter_id", "mac", "device_id"})
LABEL_WRITERS = frozenset({"label_replace", "label_join"})
UNSEEN_SELECTORS = frozenset({"info"})  # functions that read series which the query does not name
MAX_QUERY = 4000  # characters

COMPARE: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
    ">=": operator.ge,
    ">": operator.gt,
}


# every kind of node, and where its children are
CHILDREN: dict[type, tuple[str, ...]] = {
    promql_parser.AggregateExpr: ("expr", "param"),
    promql_parser.BinaryExpr: ("lhs", "rhs"),
    promql_parser.Call: ("args",),
    promql_parser.MatrixSelector: ("vector_selector",),
    promql_parser.NumberLiteral: (),
    promql_parser.ParenExpr: ("expr",),
    promql_parser.StringLiteral: (),
    promql_parser.SubqueryExpr: ("expr",),
    promql_parser.UnaryExpr: ("expr",),
    promql_parser.VectorSelector: (),
}


# what a kind of value may be compared by; only numbers have a second threshold
OPERATORS: dict[str, tuple[str, ...]] = {"number": tuple(COMPARE), "state": ("==",)}
UPWARDS, DOWNWARDS = (">", ">="), ("<", "<=")


class ConditionError(ValueError):
    """The condition cannot be used; the text says what to change, ``field`` where."""

    def __init__(self, sentence: str, *, field: str = "promql") -> None:
        super().__init__(sentence)
        self.field = field


def holds(value: float, op: str, threshold: float) -> bool | None:
    """Whether ``value op threshold``; None for NaN, which says nothing."""
    if math.isnan(value):
        return None
    return COMPARE[op](value, threshold)


def lingers(value: float, op: str, clear: float | None) -> bool:
    """Whether a value that is not bad (any more) has not come past the clear threshold yet."""
    if clear is None or math.isnan(value):
        return False
    return value > clear if op in UPWARDS else value < clear


def check_comparison(kind: str, op: str, threshold: float, clear: float | None) -> None:
    """Raise ConditionError unless a value of ``kind`` ("number", "state") can be compared like this."""
    if op not in OPERATORS[kind]:
        raise ConditionError(_("This source has no numbers: it can only be “=”."), field="operator")
    for field, number in (("threshold", threshold), ("clear_threshold", clear)):
        if number is not None and not math.isfinite(number):
            raise ConditionError(_("Write a number."), field=field)
    if clear is None:
        return
    if kind != "number" or op not in (*UPWARDS, *DOWNWARDS):
        raise ConditionError(
            _("A second threshold makes sense for <, ≤, > and ≥ only."), field="clear_threshold"
        )
    if (clear > threshold) if op in UPWARDS else (clear < threshold):
        raise ConditionError(
            _("The condition must be over at a value on the good side of the threshold."), field="clear_threshold"
        )  # fmt: skip


def check_promql(query: str, *, platform_id: int) -> None:
    """Raise ConditionError unless ``query`` parses, returns an instant vector and stays in its platform."""
    text = query.strip()
    if not text:
        raise ConditionError(_("Write a query."))
    if len(text) > MAX_QUERY:
        raise ConditionError(_("The query is longer than %(max)s characters.") % {"max": MAX_QUERY})
    try:
        tree = promql_parser.parse(text)
    except ValueError as exc:
        raise ConditionError(_("This is not PromQL: %(why)s") % {"why": str(exc)[:200]}) from exc
    nodes = _nodes(tree)
    selectors = [node for node in nodes if isinstance(node, promql_parser.VectorSelector)]
    if not selectors:
        raise ConditionError(_("The query names no metric."))
    for selector in selectors:
        _check_selector(selector, platform_id)
    for node in nodes:
        _check_call(node)
    while isinstance(tree, promql_parser.ParenExpr):
        tree = tree.expr
    if isinstance(tree, promql_parser.MatrixSelector | promql_parser.SubqueryExpr):
        raise ConditionError(_("The query returns a range. Use a function such as max_over_time()."))


def _check_selector(selector: Any, platform_id: int) -> None:
    matchers = selector.matchers
    if matchers.or_matchers:
        raise ConditionError(_("“or” between label matchers cannot be used here."))
    own = [
        matcher
        for matcher in matchers.matchers
        if matcher.name == "platform_id"
        and matcher.op == promql_parser.MatchOp.Equal
        and matcher.value == str(platform_id)
    ]
    if not own:
        raise ConditionError(
            _('Add platform_id="%(id)s" to each metric of the query (missing at %(name)s).')
            % {"id": platform_id, "name": selector.name or "{…}"}
        )


def _check_call(node: Any) -> None:
    if isinstance(node, promql_parser.AggregateExpr) and str(node.op) == "count_values":
        raise ConditionError(_("count_values cannot be used here."))
    if not isinstance(node, promql_parser.Call):
        return
    if node.func.name in UNSEEN_SELECTORS:
        raise ConditionError(_("%(function)s cannot be used here.") % {"function": node.func.name})
    if node.func.name not in LABEL_WRITERS:
        return
    target = node.args[1] if len(node.args) > 1 else None
    if not isinstance(target, promql_parser.StringLiteral) or target.val in IDENTITY_LABELS:
        raise ConditionError(
            _("%(function)s may not write the labels that tell devices apart.") % {"function": node.func.name}
        )


def _nodes(tree: Any) -> list[Any]:
    """The tree's nodes. ConditionError for a kind of node that this check does not know: it could hide a selector."""
    found, waiting = [], [tree]
    while waiting:
        node = waiting.pop()
        children = CHILDREN.get(type(node))
        if children is None:
            raise ConditionError(_("%(kind)s cannot be used here.") % {"kind": type(node).__name__})
        found.append(node)
        for name in children:
            child = getattr(node, name)
            waiting += child if isinstance(child, list) else [child] if child is not None else []
    return found
