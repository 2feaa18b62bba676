"""A person of one platform finds nothing of another: in no route, with no verb, by no number.

The sweep is generated from Django's resolver, the API's view sets and the console's registry, so a
new route is asked as soon as it exists; one that the sweep cannot ask fails here until it has a row.
"""

import logging
from collections.abc import Callable, Iterator

import pytest

from platforms.models import User
from tests.isolation import sweep
from tests.isolation.callers import Web, all_callers
from tests.isolation.routes import all_routes, without_row
from tests.isolation.world import World, build_two, has_free_text, is_marked, tenant_models

pytestmark = pytest.mark.django_db

Worlds = tuple[World, World, User]
SHORT_API, SHORT_PAGES = 12, 150  # `make test` asks one in so many; `make soak` asks all


@pytest.fixture
def worlds(monkeypatch: pytest.MonkeyPatch) -> Iterator[Worlds]:
    """South, north and the superadmin; no throttle, whose 429 would hide what is behind it."""
    monkeypatch.setattr("rest_framework.views.APIView.throttle_classes", [])
    logging.disable(logging.CRITICAL)  # ten thousands of refusals are what is asked for
    south, north = build_two()
    yield south, north, User.objects.create_superuser("zqroot", email="root@example.org", password=None)
    logging.disable(logging.NOTSET)


def test_every_route_has_a_row() -> None:
    assert without_row(all_routes()) == []


def test_every_action_of_the_api_has_its_body() -> None:
    assert sweep.unlisted_bodies(all_routes()) == []


def test_every_tenant_model_has_something_to_leak(worlds: Worlds) -> None:
    south, north, _root = worlds

    bare = [
        model._meta.label for model in tenant_models() if model not in south.first or model not in north.first
    ]
    unmarked = [
        model._meta.label for model in tenant_models() if has_free_text(model) and not is_marked(model, north)
    ]

    assert (bare, unmarked) == ([], [])


def test_the_long_form_asks_enough(worlds: Worlds, figure: Callable[[str, str], None]) -> None:
    south, north, root = worlds

    number = sweep.count(all_routes(), all_callers(south, north, root))

    figure("isolation, long form", f"{number} combinations and the forms of the console, in `make soak`")
    assert number >= 20_000


@pytest.mark.timeout(600)
def test_nobody_finds_anything_of_another_platform_in_a_sample(
    worlds: Worlds, figure: Callable[[str, str], None]
) -> None:
    south, north, root = worlds
    routes, web, judge = all_routes(), Web(), sweep.Judge(south, north)
    sample = sweep.Sample(of_api=SHORT_API, of_pages=SHORT_PAGES, guide="south admin")

    for caller in all_callers(south, north, root):
        sweep.run(web, judge, caller, routes, sample)

    found = judge.findings
    figure("isolation", f"{found.asked} combinations, {len(found.leaks)} leaks")
    assert found.asked >= 1500
    assert not found.leaks + found.faults, found.report()


@pytest.mark.soak  # some minutes
@pytest.mark.timeout(3600)
def test_nobody_finds_anything_of_another_platform(
    worlds: Worlds, figure: Callable[[str, str], None]
) -> None:
    south, north, root = worlds
    routes, web, judge = all_routes(), Web(), sweep.Judge(south, north)

    for caller in all_callers(south, north, root):
        sweep.run(web, judge, caller, routes)

    found = judge.findings
    figure("isolation", f"{found.asked} combinations, {len(found.leaks)} leaks")
    assert not found.leaks + found.faults, found.report()
