"""Facts through a JSON column."""

import json
from datetime import UTC, datetime

import pytest

from exporters.facts import pack, unpack


def test_facts_survive_a_json_column():
    facts = {"name": "Касса", "player_status": 1, "last_online_at": datetime(2025, 7, 7, 9, 15, tzinfo=UTC)}

    assert unpack(json.loads(json.dumps(pack(facts)))) == facts


@pytest.mark.parametrize(
    "stored", [{"last_online_at": "soon"}, {"last_online_at": "2025-07-07T09:15"}, {"name": None}, {"ip": []}]
)
def test_stored_values_that_are_no_facts_are_left_out(stored):
    assert unpack(stored) == {}
