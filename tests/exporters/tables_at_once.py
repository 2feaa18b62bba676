"""Settings for a database that lives for one test: the tables as the models say, without their history."""

from remosa.settings import *  # noqa: F403


class _Nothing(dict[str, None]):
    """No app has migrations."""

    def __contains__(self, _app: object) -> bool:
        return True

    def __missing__(self, _app: str) -> None:
        return None


MIGRATION_MODULES = _Nothing()
