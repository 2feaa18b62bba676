"""What a person's program asked under an ``Idempotency-Key``, and the answer that it got."""

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _


class KeyedCall(models.Model):
    """One POST, its effect and its answer, committed together. Kept for some days.

    ``body`` None: the answer held a secret that is shown once. ``rights`` is a fingerprint of what the
    person was allowed: an answer is given again only to somebody who may still read it.
    """

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+")
    key = models.CharField(max_length=100)
    fingerprint = models.CharField(max_length=64)
    rights = models.CharField(max_length=64)
    status = models.PositiveSmallIntegerField(default=0)
    body = models.JSONField(null=True)
    created_at = models.DateTimeField(db_index=True)  # the sweep that forgets

    class Meta:
        verbose_name = _("request with a key")
        verbose_name_plural = _("requests with a key")
        constraints = [models.UniqueConstraint(fields=["user", "key"], name="keyed_call_once")]

    def __str__(self) -> str:
        return self.key
