"""The demo fleet is complete, consistent and always the same."""

from collections import Counter
from zoneinfo import ZoneInfo

import phonenumbers
import pytest

from remosa.simulator.fleet import GATEWAY_MSISDN, demo_fleet

FLEET = demo_fleet()


def test_fleet_has_sixty_players_and_twenty_sockets():
    assert Counter(player.cms for player in FLEET.players) == {"cubic": 40, "addreality": 20}
    assert Counter(socket.model for socket in FLEET.sockets) == {"D210": 16, "D410": 4}
    assert len(FLEET.sites_by_slug) == len(FLEET.sites) == 5


def test_fleet_identities_are_unique():
    assert len(FLEET.players_by_id) == len({(p.ip, p.outip) for p in FLEET.players}) == 60
    assert len(FLEET.sockets_by_msisdn) == len({socket.name for socket in FLEET.sockets}) == 20


@pytest.mark.parametrize("msisdn", [GATEWAY_MSISDN, *FLEET.sockets_by_msisdn])
def test_fleet_number_is_a_valid_russian_mobile(msisdn):
    number = phonenumbers.parse(msisdn)

    assert phonenumbers.is_valid_number_for_region(number, "RU")
    assert phonenumbers.number_type(number) == phonenumbers.PhoneNumberType.MOBILE


@pytest.mark.parametrize("socket", FLEET.sockets, ids=lambda socket: socket.name)
def test_fleet_socket_feeds_three_players_of_its_own_site(socket):
    players = FLEET.players_of(socket.msisdn)

    assert len(players) == 3
    assert {player.site for player in players} == {socket.site}
    assert {player.line for player in players} == set(socket.lines)


@pytest.mark.parametrize("site", FLEET.sites, ids=lambda site: site.slug)
def test_fleet_site_is_large_enough_that_one_socket_is_no_mass_case(site):
    players = [player for player in FLEET.players if player.site == site.slug]

    assert 3 / len(players) < 0.5
    assert {player.outip for player in players} == {site.outip}
    assert ZoneInfo(site.time_zone).key == site.time_zone


def test_fleet_addreality_ids_are_integers():
    assert all(int(player.id) > 0 for player in FLEET.players_in("addreality"))
