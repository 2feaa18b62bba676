"""The time of an observation that many rows share.

Most devices say the same in every round of an exporter. Their rows are not written for it: they point
to whoever observes them, and its one time counts for all of them. So the time as of which a row's
state is known is never a plain column: it is ``row.observed_at``, in queries ``Model.OBSERVED_AT`` or
``.with_observed_at()``.
"""

from datetime import datetime
from typing import Any, ClassVar, Self

from django.db import models
from django.utils.translation import gettext_lazy as _

from platforms.querysets import PlatformQuerySet


class ObservedQuerySet(PlatformQuerySet):
    """Rows with a state and the time as of which it is known."""

    def with_observed_at(self) -> Self:
        """Read ``observed_at`` along with the rows: in lists, and wherever many rows are looked at."""
        model: Any = self.model
        return self.annotate(observed_at=model.OBSERVED_AT)


class HasObservedAt(models.Model):
    """``noted_at``: the time that the row itself bears; it counts while nobody confirms the row in bulk.

    ``STATE``: the columns that change whenever the state does.
    """

    STATE: ClassVar[tuple[str, ...]]
    OBSERVED_AT: ClassVar[Any]

    noted_at = models.DateTimeField(_("observed"), null=True, editable=False)

    objects = ObservedQuerySet.as_manager()

    class Meta:
        abstract = True

    @property
    def observed_at(self) -> datetime | None:
        """As of when the state *of this object* is known.

        It is read in one statement with the state. An object whose row has changed meanwhile is as old as
        its own note: a later time would vouch for a state that nobody has seen then.
        """
        if "_observed_at" not in self.__dict__:
            same = {name: getattr(self, name) for name in self.STATE}
            row = type(self)._base_manager.filter(pk=self.pk, **same).values_list(self.OBSERVED_AT).first()
            self._observed_at = row[0] if row else self.noted_at
        return self._observed_at

    @observed_at.setter
    def observed_at(self, value: datetime | None) -> None:
        """For ``with_observed_at`` alone: what was read along with the row."""
        self._observed_at = value

    def refresh_from_db(self, *args: Any, **kwargs: Any) -> None:
        self.__dict__.pop("_observed_at", None)
        super().refresh_from_db(*args, **kwargs)
