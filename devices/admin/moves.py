"""The deeds of a device that change its place, its hardware or its SIM."""

from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.translation import gettext as _g
from django.utils.translation import gettext_lazy as _
from unfold.widgets import (
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanWidget,
)

from devices.models import Device, DeviceModel, PowerLink, Site
from devices.services import (
    move_device,
    replace_player,
    replace_sim,
    replace_socket,
    return_to_service,
)
from platforms.console.deeds import Deed, ReasonForm
from platforms.roles import Perm
from remosa.lib.clock import utcnow


class MoveForm(ReasonForm):
    """Where to."""

    site = forms.ModelChoiceField(
        label=_("Site"), queryset=Site.objects.none(), required=False, widget=UnfoldAdminSelectWidget,
        empty_label=_("no site"),
    )  # fmt: skip
    socket = forms.ModelChoiceField(
        label=_("Powered by"), queryset=Device.objects.none(), required=False, widget=UnfoldAdminSelectWidget,
        empty_label=_("nobody has told REMOSA"),
    )  # fmt: skip
    line = forms.IntegerField(
        label=_("Output"), required=False, min_value=1, max_value=9, widget=UnfoldAdminIntegerFieldWidget
    )
    field_order = ("site", "socket", "line", "reason")


class PlayerForm(ReasonForm):
    """The new player."""

    mac = forms.CharField(label=_("MAC of the new player"), max_length=40, widget=UnfoldAdminTextInputWidget)
    field_order = ("mac", "reason")


class SimForm(ReasonForm):
    """The new number."""

    msisdn = forms.CharField(label=_("New SIM number"), max_length=40, widget=UnfoldAdminTextInputWidget)
    field_order = ("msisdn", "reason")


class SocketForm(SimForm):
    """The new socket."""

    model = forms.ModelChoiceField(
        label=_("Model"), queryset=DeviceModel.objects.all(), widget=UnfoldAdminSelectWidget
    )
    field_order = ("model", "msisdn", "reason")


class ResumeForm(forms.Form):
    """A person's word, where no answer of the socket proves it."""

    seen = forms.BooleanField(
        label=_("I have seen it work after the change"), required=False, widget=UnfoldBooleanWidget
    )


def _is(kind: str) -> Any:
    return lambda row: row.is_active and row.kind == kind


class MoveDeeds:
    """Gives the device page its deeds of moving and replacing."""

    move_deeds = (
        Deed(
            "move", _("Move"), Perm.MANAGE_DEVICES, icon="move_location", form=MoveForm,
            question=_(
                "Its power links are closed with today's date, its history stays. Automation leaves it alone "
                "until somebody has seen it work in the new place."
            ),
            when=lambda row: row.is_active,
        ),
        Deed(
            "replace_player", _("Replace the player"), Perm.MANAGE_DEVICES, icon="swap_horiz", form=PlayerForm,
            question=_(
                "The old player goes out of service with its history. The new one takes its name, site, power "
                "and shares. Automation waits until somebody has seen it work."
            ),
            when=_is(Device.Kind.PLAYER),
        ),
        Deed(
            "replace_socket", _("Replace the socket"), Perm.MANAGE_DEVICES, icon="swap_horiz", form=SocketForm,
            question=_(
                "The old socket goes out of service with its history. What it fed hangs on the same outputs of "
                "the new one. Automation waits until the new one has answered."
            ),
            when=_is(Device.Kind.SOCKET),
        ),
        Deed(
            "replace_sim", _("Replace the SIM"), Perm.MANAGE_DEVICES, icon="sim_card", form=SimForm,
            question=_("The same socket under another number. Automation waits until it has answered from there."),
            when=_is(Device.Kind.SOCKET),
        ),
        Deed(
            "return_to_service", _("Return to service"), Perm.MANAGE_DEVICES, icon="undo",
            question=_("It takes a place in the limit again. Its power links have to be made anew."),
            when=lambda row: not row.is_active,
        ),
    )  # fmt: skip

    def deed_form(self, request: HttpRequest, deed: Deed, row: Device) -> forms.Form:
        """Sites and sockets of the device's own platform; a socket is fed by nobody."""
        form = super().deed_form(request, deed, row)
        if isinstance(form, MoveForm):
            form.fields["site"].queryset = Site.objects.visible_to(request.user).of(row.platform_id)
            form.initial.setdefault("site", row.site_id)
            sockets = Device.objects.visible_to(request.user, Perm.MANAGE_DEVICES).of(row.platform_id)
            form.fields["socket"].queryset = sockets.filter(kind=Device.Kind.SOCKET, is_active=True)
            if row.kind == Device.Kind.SOCKET:
                del form.fields["socket"], form.fields["line"]
        if isinstance(form, SocketForm):
            form.initial.setdefault("model", row.model_id)
        return form

    def move(self, request: HttpRequest, row: Device, answers: dict[str, Any]) -> str:
        """Deed: another place."""
        left = PowerLink.objects.filter(socket=row, valid_to=None).count()
        move_device(
            row, site=answers["site"], socket=answers.get("socket"), line=answers.get("line") or 1,
            by=request.user, reason=answers["reason"], now=utcnow(),
        )  # fmt: skip
        if left:
            return _g("Moved. Players that have no power link now: %(n)d.") % {"n": left}
        return _g("Moved. Check that it works, then switch automation on again.")

    def replace_player(self, request: HttpRequest, row: Device, answers: dict[str, Any]) -> HttpResponse:
        """Deed: another player in the same place."""
        new = replace_player(row, mac=answers["mac"], by=request.user, reason=answers["reason"], now=utcnow())
        messages.success(
            request, _g("This is the new player. Add its MAC to the exporter, and check that it works.")
        )
        return HttpResponseRedirect(self.page_of(new))

    def replace_socket(self, request: HttpRequest, row: Device, answers: dict[str, Any]) -> HttpResponse:
        """Deed: another socket in the same place."""
        new = replace_socket(
            row, msisdn=answers["msisdn"], model=answers["model"], by=request.user, reason=answers["reason"],
            now=utcnow(),
        )  # fmt: skip
        messages.success(
            request, _g("This is the new socket. Ask it for its state, then switch automation on again.")
        )
        return HttpResponseRedirect(self.page_of(new))

    def replace_sim(self, request: HttpRequest, row: Device, answers: dict[str, Any]) -> str:
        """Deed: another number."""
        replace_sim(row, msisdn=answers["msisdn"], by=request.user, reason=answers["reason"], now=utcnow())
        return _g("The number is changed. Ask the socket for its state, then switch automation on again.")

    def return_to_service(self, request: HttpRequest, row: Device, answers: dict[str, Any]) -> str:
        """Deed: take it back."""
        return_to_service(row, by=request.user, now=utcnow())
        return _g("It is in service again.")
