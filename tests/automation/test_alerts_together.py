"""The same alerts posted by many at once: one row, one change, nobody fails."""

import pytest

from automation.models import Alert, AlertChange, AlertMapping
from automation.services import intake
from tests.automation.alerts import body_of, item, make_source
from tests.factories import NOW, make_device, make_platform
from tests.together import together

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.databases, pytest.mark.timeout(300)]


def test_many_deliveries_of_the_same_alerts() -> None:
    platform = make_platform()
    source = make_source(platform)
    AlertMapping.objects.create(source=source, by="mac", template="{mac}")
    players = [make_device(platform) for _player in range(10)]
    labels = [{"alertname": "A", "mac": player.mac} for player in players]
    firing = [item(each, at=NOW) for each in labels]
    resolved = [item(each, at=NOW, state="resolved", ends=NOW) for each in labels]
    bodies = [body_of(*firing), body_of(*reversed(firing)), body_of(*resolved), body_of(*firing, *resolved)]

    taken = together(
        16, lambda number: intake.take(source, bodies[number % 4], stamp=str(number // 8), now=NOW)
    )

    assert [each for each in taken if isinstance(each, Exception)] == []
    assert sum(not each.duplicate for each in taken) == 8, "each body once per stamp"
    assert Alert.objects.count() == 10
    assert {alert.state for alert in Alert.objects.all()} == {"resolved"}
    states = list(AlertChange.objects.values_list("alert", "state"))
    assert len(states) == len(set(states))
    assert states.count((Alert.objects.first().pk, "resolved")) == 1
