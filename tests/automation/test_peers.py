"""Who fell together: by site, CMS, platform, outer address, and by one CMS across platforms."""

from datetime import timedelta
from typing import Any

import pytest

from automation.models import Case, CaseEvent, GuardRefusal
from automation.peers import groups_of, mass_of
from automation.services import evaluation
from devices.models import Device
from devices.services import Observed, record_observations
from tests.automation.world import World
from tests.factories import NOW, make_platform, make_site, make_socket, minutes

pytestmark = pytest.mark.django_db
CMS = "http://cms.example.org/api/"


def fall(world: World, *players: Device, at: Any = NOW) -> None:
    record_observations([Observed(player.pk, "offline", at) for player in players], source="test")


def up(world: World) -> World:
    record_observations(
        [Observed(player.pk, "online", NOW - minutes(60)) for player in world.players], source="test"
    )
    return world


def scopes(player: Device) -> dict[str, tuple[int, int]]:
    fresh = Device.objects.select_related("platform", "site").get(pk=player.pk)
    return {group.scope: (group.bad, group.known) for group in groups_of(fresh, now=NOW)}


def mass(player: Device) -> str | None:
    fresh = Device.objects.select_related("platform", "site").get(pk=player.pk)
    found = mass_of(fresh, now=NOW)
    return found.scope if found else None


def test_a_device_has_a_group_for_each_cause_it_could_share() -> None:
    world = up(World(players=6, per_site=3))
    Device.objects.filter(pk=world.players[0].pk).update(facts={"outip": "198.51.100.7"})
    fall(world, world.players[0])

    assert scopes(world.players[0]) == {
        "platform": (1, 6),
        "site": (1, 3),
        "exporter": (1, 6),
        "outer_ip": (1, 1),
    }
    assert mass(world.players[0]) is None


@pytest.mark.parametrize(("apart", "is_mass"), [(9, True), (40, False)])
def test_who_fell_long_before_does_not_fall_together_with_who_falls_now(apart: int, is_mass: bool) -> None:
    world = up(World(players=12, per_site=3))
    first, second, _third = world.players[:3]
    fall(world, first, at=NOW - minutes(apart))
    fall(world, second, at=NOW)

    assert {mass(first), mass(second)} == {"site" if is_mass else None}


@pytest.mark.parametrize(("without_data", "is_mass"), [(50, True), (30, False)])
def test_who_may_have_fallen_while_there_was_no_data_fell_together(without_data: int, is_mass: bool) -> None:
    world = up(World(players=12, per_site=2))
    first, second = world.players[:2]
    fall(world, first, at=NOW - minutes(55))
    record_observations([Observed(second.pk, "unknown", NOW - minutes(without_data))], source="test")
    fall(world, second, at=NOW - minutes(15))

    assert {mass(first), mass(second)} == {"site" if is_mass else None}


def test_half_of_a_site_is_a_mass() -> None:
    world = up(World(players=12, per_site=4))
    fall(world, *world.players[:2])

    assert mass(world.players[0]) == "site"
    assert mass(world.players[5]) is None


def test_those_behind_one_address_are_a_mass_although_their_sites_differ() -> None:
    world = up(World(players=12))
    for player in world.players[:4]:
        Device.objects.filter(pk=player.pk).update(facts={"outip": "198.51.100.7"})
    fall(world, *world.players[:2])

    assert mass(world.players[0]) == "outer_ip"


@pytest.mark.databases
@pytest.mark.parametrize(
    "address", ["2001:0db8:85a3:0000:0000:8a2e:0370:7334", "x" * 5000, "ы" * 300, "a'b\"c"],
    ids=["IPv6", "long", "long Cyrillic", "quotes"],
)  # fmt: skip
def test_whatever_a_cms_says_of_an_address_a_case_can_be_opened(address: str) -> None:
    world = World(players=12)
    world.turns(1)
    for player in world.players[:2]:
        Device.objects.filter(pk=player.pk).update(facts={"outip": address})
    world.hang(*world.players[:2])

    world.turns(13)

    assert Case.objects.filter(kind="mass").count() == 1
    assert world.sent() == []


def test_a_fifth_of_a_cms_and_at_least_three_is_a_mass() -> None:
    world = up(World(players=16))
    fall(world, *world.players[:3])
    before = mass(world.players[0])

    fall(world, world.players[3])

    assert (before, mass(world.players[0])) == (None, "platform")


def test_who_is_unknown_counts_nowhere() -> None:
    world = up(World(players=16))
    record_observations(
        [Observed(player.pk, "unknown", NOW) for player in world.players[3:10]], source="test"
    )
    fall(world, *world.players[:3])

    assert scopes(world.players[0])["platform"] == (3, 9)
    assert mass(world.players[0]) == "platform"


def test_sockets_and_devices_out_of_service_count_nowhere() -> None:
    world = up(World(players=16))
    sockets = [make_socket(world.platform) for _number in range(5)]
    fall(world, *world.players[:3], *sockets)
    Device.objects.filter(pk=world.players[0].pk).update(is_active=False)

    assert scopes(world.players[1])["platform"] == (2, 15)


@pytest.mark.parametrize(("apart", "together"), [(0, True), (9, True), (-9, True), (11, False), (-20, False)])
def test_within_ten_minutes_of_the_own_fall_is_together(apart: float, together: bool) -> None:
    """The first fell twenty minutes ago; ``apart`` minutes from it the other."""
    world = up(World(players=12, per_site=4))
    fell = NOW - minutes(20)
    fall(world, world.players[0], at=fell)
    fall(world, world.players[1], at=fell + minutes(apart))

    assert (mass(world.players[0]) == "site") is together


def test_one_cms_of_several_platforms_is_seen_as_one() -> None:
    mine, theirs = (up(World(players=9, base_url=CMS, with_job=False)) for _number in range(2))
    fall(mine, mine.players[0])
    fall(theirs, *theirs.players[:4])

    assert scopes(mine.players[0])["cms"] == (5, 18)
    assert mass(mine.players[0]) == "cms"
    assert "cms" not in scopes(up(World(players=2, base_url="http://other/", with_job=False)).players[0])


def test_another_platform_on_the_same_cms_shows_neither_its_name_nor_its_number() -> None:
    """The mass case on my side speaks of my devices only."""
    theirs = World(players=9, base_url=CMS, platform=make_platform("SECRET NEIGHBOUR"), with_job=False)
    mine = World(players=9, base_url=CMS)
    for world in (mine, theirs):
        world.poll()
        world.hang(*world.players[: 1 if world is mine else 5])

    for _minute in range(14):
        theirs.now = mine.after(1)
        theirs.poll()
        mine.poll()
        evaluation.evaluate_after_round(mine.exporter.pk, now=mine.now)

    parent = Case.objects.get(kind="mass")
    written = [str(row) for row in (
        *Case.objects.values_list(), *CaseEvent.objects.values_list(), *GuardRefusal.objects.values_list()
    )]  # fmt: skip
    assert parent.platform == mine.platform
    assert parent.evidence == {"scope": "cms", "bad": 1, "known": 9}
    assert not [text for text in written if "SECRET" in text or theirs.exporter.name in text]
    assert mine.sent() == []


def test_sites_of_the_same_name_on_two_platforms_are_two() -> None:
    mine, theirs = up(World(players=4, per_site=4)), up(World(players=4, per_site=4, base_url=CMS))
    make_site(theirs.platform, "twin")
    fall(theirs, *theirs.players)
    fall(mine, mine.players[0])

    assert mass(mine.players[0]) is None


def test_players_dark_by_our_own_doing_do_not_make_a_mass() -> None:
    world = World(players=8, per_site=4, may_darken_others=True)
    sick = world.players[0]
    neighbours = [world.add_player(socket=world.sockets[0], site=sick.site) for _number in range(4)]
    world.job.devices.set([sick])
    world.until_fired(sick)
    world.hang(*neighbours)
    world.after(1)
    world.poll()

    fresh = Device.objects.select_related("platform", "site").get(pk=sick.pk)
    found = {group.scope: group.bad for group in groups_of(fresh, now=world.now, window=timedelta(hours=1))}

    assert world.sent() == [world.sockets[0].msisdn]
    assert found["site"] == 1, "only the sick one itself"
