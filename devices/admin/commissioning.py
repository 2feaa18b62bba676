"""The page that guides a socket into service. What it shows is put together above this app."""

from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext as _
from django.views.decorators.csrf import csrf_protect

from devices.models import Device
from devices.services import link_power
from platforms.console.grants import grants_of
from platforms.roles import Perm


class CommissioningPage:
    """Gives the device page its ``commission/`` address."""

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(csrf_protect(self.commission_view))
        return [
            path("<path:object_id>/commission/", view, name="devices_device_commission"),
            *super().get_urls(),
        ]

    def commission_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """GET shows the guide; POST makes one proposed link (``player``, ``line``)."""
        socket = self.require_row(request, object_id)
        if not grants_of(request).holds(Perm.MANAGE_DEVICES, socket.platform_id):
            raise PermissionDenied
        if socket.kind != Device.Kind.SOCKET or socket.model is None or not socket.is_active:
            raise Http404
        if request.method == "POST":
            return self._link(request, socket)
        request.current_app = self.admin_site.name
        shown = {
            **self.admin_site.each_context(request),
            "title": _("%(device)s: putting into service") % {"device": socket}, "opts": self.opts, "object": socket,
            "original": socket, "back": self.page_of(socket),
            "sendable": {row.key for row in self.sendable(request, socket)},
        }  # fmt: skip
        return TemplateResponse(request, "console/commission.html", shown)

    def _link(self, request: HttpRequest, socket: Device) -> HttpResponse:
        number, line = request.POST.get("player", ""), request.POST.get("line", "1")
        players = Device.objects.visible_to(request.user, Perm.MANAGE_DEVICES).of(socket.platform_id)
        known = number.isascii() and number.isdigit() and len(number) < 19
        player = (
            players.filter(pk=int(number), kind=Device.Kind.PLAYER, is_active=True).first() if known else None
        )
        if player is None:
            raise Http404
        try:
            link_power(
                device=player,
                socket=socket,
                line=int(line) if line.isascii() and line.isdigit() else 0,
                by=request.user,
            )
        except ValidationError as exc:
            messages.error(request, " ".join(exc.messages))
        else:
            messages.success(request, _("%(player)s is powered by this socket now.") % {"player": player})
        return HttpResponseRedirect(reverse("admin:devices_device_commission", args=[socket.pk]))
