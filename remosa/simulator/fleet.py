"""The demo fleet: a fixed description of one client's sites, sockets and players.

Nothing here moves. The simulated world brings this description to life and the demo seeding writes
the same description into the database, so that both always speak of the same devices. All names
are invented, numbers are placeholders that pass validation, addresses come from the ranges that
are reserved for documentation.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property

CUBIC = "cubic"
ADDREALITY = "addreality"

GATEWAY_MSISDN = "+79000000100"  # the number that the sockets know as their administrator
SMS_KEY = "demo-sms-key"
ADDREALITY_TOKEN = "demo-addreality-token"  # noqa: S105  opens nothing but the simulator

PLAYERS_PER_SOCKET = 3
CUBIC_PLAYERS = 40
FIRST_ADDREALITY_ID = 4701
LINES = {
    "D210": (1,),
    "D410": (1, 2),
    "T40-T20": (1,),
    "T80": (1,),
    "GSM-SOCKET": (1,),
    "ISOCKET-706": (1, 2),
}


@dataclass(frozen=True)
class SiteSpec:
    """One place with its own internet line: all its players share ``outip``."""

    slug: str
    name: str
    address: str
    time_zone: str
    opens: str
    closes: str
    contact: str
    outip: str


@dataclass(frozen=True)
class SocketSpec:
    """A GSM socket; ``lines`` are the outputs that its model has."""

    name: str
    msisdn: str
    model: str
    site: str

    @property
    def lines(self) -> tuple[int, ...]:
        return LINES[self.model]


@dataclass(frozen=True)
class PlayerSpec:
    """A player: ``id`` is what its CMS calls it (a MAC for Cubic, decimal digits for Addreality)."""

    id: str
    cms: str
    name: str
    site: str
    ip: str
    outip: str
    socket: str
    line: int
    time_zone: str
    version: str


@dataclass(frozen=True)
class DemoFleet:
    """The whole fleet, in a fixed order."""

    platform_name: str
    sites: tuple[SiteSpec, ...]
    sockets: tuple[SocketSpec, ...]
    players: tuple[PlayerSpec, ...]

    @cached_property
    def sites_by_slug(self) -> Mapping[str, SiteSpec]:
        return {site.slug: site for site in self.sites}

    @cached_property
    def players_by_id(self) -> Mapping[str, PlayerSpec]:
        return {player.id: player for player in self.players}

    @cached_property
    def sockets_by_msisdn(self) -> Mapping[str, SocketSpec]:
        return {socket.msisdn: socket for socket in self.sockets}

    def players_of(self, msisdn: str, line: int | None = None) -> tuple[PlayerSpec, ...]:
        """Players powered by a socket, or by one of its lines."""
        return tuple(
            player for player in self.players if player.socket == msisdn and line in (None, player.line)
        )

    def players_in(self, cms: str) -> tuple[PlayerSpec, ...]:
        """Players that report to ``cms``."""
        return tuple(player for player in self.players if player.cms == cms)


SITES = (
    SiteSpec(
        "severny",
        "ТЦ «Северный»",
        "Москва, Полярная ул., 14",
        "Europe/Moscow",
        "10:00",
        "22:00",
        "Ольга, администратор",
        "203.0.113.11",
    ),
    SiteSpec(
        "rechnoy",
        "ТЦ «Речной»",
        "Нижний Новгород, Пристанская ул., 3",
        "Europe/Moscow",
        "10:00",
        "21:00",
        "Сергей, инженер",
        "203.0.113.27",
    ),
    SiteSpec(
        "zarya",
        "Супермаркет «Заря»",
        "Тверь, Садовая ул., 40",
        "Europe/Moscow",
        "08:00",
        "23:00",
        "Марина, директор",
        "198.51.100.5",
    ),
    SiteSpec(
        "vokzal",
        "Автовокзал «Южный»",
        "Самара, Вокзальная пл., 1",
        "Europe/Samara",
        "05:00",
        "23:30",
        "Дежурный по вокзалу",
        "198.51.100.40",
    ),
    SiteSpec(
        "ural",
        "Бизнес-центр «Урал»",
        "Екатеринбург, Горная ул., 22",
        "Asia/Yekaterinburg",
        "08:00",
        "20:00",
        "Ресепшен",
        "203.0.113.90",
    ),
)

# Twelve places a site; "Касса" gets its number over the whole client, as the client counts them.
PLACES = {
    "severny": "Холл 1 этаж|Холл 2 этаж|Касса|Касса|Касса|Касса"
    "|Фудкорт|Фудкорт, бар|Вход А|Вход Б|Лифт|Парковка",
    "rechnoy": "Атриум|Холл 3 этаж|Касса|Касса|Касса|Касса"
    "|Витрина 1|Витрина 2|Вход с набережной|Эскалатор|Детская зона|Кинотеатр",
    "zarya": "Касса|Касса|Касса|Касса|Касса|Касса"
    "|Хлебный отдел|Рыбный отдел|Вход в зал|Витрина|Камера хранения|Пекарня",
    "vokzal": "Табло, зал 1|Табло, зал 2|Перрон 1|Перрон 2|Перрон 3|Касса|Касса|Касса"
    "|Буфет|Вход с площади|Зал ожидания|Справочная",
    "ural": "Ресепшен|Холл, 1 этаж|Холл, 5 этаж|Лифт А|Лифт Б|Лифт В|Переговорная 1|Переговорная 2"
    "|Столовая|Фитнес|Паркинг -1|Выставочный зал",
}


@cache
def demo_fleet() -> DemoFleet:
    """The fleet of the demo platform: 5 sites, 20 sockets, 60 players; always the same."""
    sockets = tuple(_sockets())
    return DemoFleet(
        platform_name="Сеть «Меридиан» (демо)", sites=SITES, sockets=sockets, players=tuple(_players(sockets))
    )


def _sockets() -> Iterator[SocketSpec]:
    """Four sockets a site; the last one of the first four sites has two lines."""
    for number in range(1, 21):
        yield SocketSpec(
            name=f"Розетка {number}",
            msisdn=f"+7900000{number:04d}",
            model="D410" if number % 4 == 0 and number < 20 else "D210",
            site=SITES[(number - 1) // 4].slug,
        )


def _players(sockets: tuple[SocketSpec, ...]) -> Iterator[PlayerSpec]:
    """Three players a socket; a two-line socket feeds two of them from line 1 and one from line 2."""
    names = _names()
    sites = {site.slug: site for site in SITES}
    for index, name in enumerate(names):
        socket = sockets[index // PLAYERS_PER_SOCKET]
        site = sites[socket.site]
        on_cubic = index < CUBIC_PLAYERS
        last_of_socket = index % PLAYERS_PER_SOCKET == PLAYERS_PER_SOCKET - 1
        yield PlayerSpec(
            id=f"02:52:4d:00:00:{index + 1:02x}"
            if on_cubic
            else str(FIRST_ADDREALITY_ID + index - CUBIC_PLAYERS),
            cms=CUBIC if on_cubic else ADDREALITY,
            name=name,
            site=site.slug,
            ip=f"192.168.{10 + SITES.index(site)}.{20 + index % 12}",
            outip=site.outip,
            socket=socket.msisdn,
            line=socket.lines[-1] if last_of_socket else 1,
            time_zone=site.time_zone,
            version="4.2.1" if index % 5 else "4.1.8",
        )


def _names() -> list[str]:
    count: Counter[str] = Counter()
    names = []
    for site in SITES:
        for place in PLACES[site.slug].split("|"):
            count[place] += 1
            names.append(f"{place} {count[place]}" if place == "Касса" else place)
    return names
