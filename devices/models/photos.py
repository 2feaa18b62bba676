"""Photos of devices and sites: one each, re-encoded, kept beside what they show."""

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from devices.models.inventory import Device, Site
from platforms.querysets import PlatformQuerySet


class Photo(models.Model):
    """What a phone took, as a JPEG that REMOSA has written itself: nothing of the file that was sent is left in it."""

    content = models.BinaryField()
    width = models.PositiveSmallIntegerField()
    height = models.PositiveSmallIntegerField()
    by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+", verbose_name=_("person")
    )
    at = models.DateTimeField(_("time"))

    objects = PlatformQuerySet.as_manager()

    class Meta:
        abstract = True


class DevicePhoto(Photo):
    """What a device looks like, and where it hangs."""

    PLATFORM_PATH = "device__platform"
    OWNER_PATHS = ("device__owner", "device__shares__user")

    device = models.OneToOneField(Device, models.CASCADE, related_name="photo", verbose_name=_("device"))

    class Meta:
        verbose_name = _("photo of a device")
        verbose_name_plural = _("photos of devices")

    def __str__(self) -> str:
        return str(self.device)


class SitePhoto(Photo):
    """What a site looks like, and where to go in."""

    PLATFORM_PATH = "site__platform"
    OWNER_PATHS = ("site__devices__owner", "site__devices__shares__user")

    site = models.OneToOneField(Site, models.CASCADE, related_name="photo", verbose_name=_("site"))

    class Meta:
        verbose_name = _("photo of a site")
        verbose_name_plural = _("photos of sites")

    def __str__(self) -> str:
        return str(self.site)
