"""Which devices a job watches."""

import pytest

from automation.sources import devices_of
from platforms.models import Platform
from tests.factories import make_device, make_job

pytestmark = [pytest.mark.django_db, pytest.mark.databases]


@pytest.mark.parametrize("value", ["A", "зал 1", "1", "true", 'quote " and \\ slash', "{}"])
def test_labels_narrow_the_set_to_devices_that_have_them_all(north: Platform, value: str) -> None:
    job = make_job(north, labels={"hall": value, "floor__x": "2"})
    wanted = make_device(north, labels={"hall": value, "floor__x": "2", "more": "x"})
    for labels in ({}, {"hall": value}, {"hall": "other", "floor__x": "2"}):
        make_device(north, labels=labels)

    assert list(devices_of(job)) == [wanted]
