"""Faults are changed as a whole, and only to what exists."""

import pytest

from remosa.simulator.faults import NO_FAULTS, BadWish, Faults

SITES = {"severny", "ural"}


def test_changed_cms_sets_both_cms():
    faults = NO_FAULTS.changed({"cms": "500"}, sites=SITES)

    assert (faults.cubic, faults.addreality, faults.sms) == ("500", "500", "ok")


def test_changed_reset_forgets_earlier_faults():
    faults = Faults(sms="500", sms_loss_ratio=0.5).changed({"reset": True, "cubic": "html"}, sites=SITES)

    assert faults == Faults(cubic="html")


def test_changed_takes_a_dark_site_that_exists():
    assert NO_FAULTS.changed({"cms": "site_dark:ural"}, sites=SITES).cubic == "site_dark:ural"


@pytest.mark.parametrize(
    ("wishes", "sentence"),
    [
        ({"cms": "sleepy"}, "cannot be 'sleepy'"),
        ({"cms": "site_dark:mars"}, "No site 'mars'"),
        ({"sms": "site_dark:ural"}, "cannot be"),
        ({"cms": 500}, "must be one of"),
        ({"sms_loss_ratio": 1.5}, "between 0 and 1"),
        ({"sms_loss_ratio": True}, "must be a number"),
        ({"timeout_s": -1}, "0 or more"),
        ({"reply_delay_minutes": float("nan")}, "must be a number"),
        ({"gravity": 1}, "Unknown fault 'gravity'"),
    ],
)
def test_changed_refuses_what_does_not_exist(wishes, sentence):
    with pytest.raises(BadWish, match=sentence):
        NO_FAULTS.changed(wishes, sites=SITES)
