"""Move and replace: what the console offers on a device's page, for programs."""

from typing import Any

from django.utils.translation import gettext as _
from drf_spectacular.helpers import lazy_serializer
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from devices.models import Device, DeviceModel, Site
from devices.services import moves
from platforms.api.errors import Conflict, Invalid
from platforms.api.serializers import PlainCharField, VisibleRelatedField, WholeNumberField
from remosa.lib.clock import utcnow

ANSWER = lazy_serializer("devices.api.inventory.DeviceSerializer")()  # that module imports this one


NEEDED: dict[str, tuple[str, ...]] = {
    Device.Kind.PLAYER: ("mac",), Device.Kind.SOCKET: ("msisdn", "model"),
}  # fmt: skip


class ReasonSerializer(serializers.Serializer):
    """Every move says why; the reason stands in the audit and on the stop of automation."""

    reason = PlainCharField(max_length=200)


class MoveSerializer(ReasonSerializer):
    """Where to. Without ``socket`` nothing feeds the device any more."""

    site = VisibleRelatedField(queryset=Site.objects.all(), allow_null=True)
    socket = VisibleRelatedField(queryset=Device.objects.all(), required=False, allow_null=True)
    line = WholeNumberField(min_value=1, max_value=64, default=1)


class ReplacementSerializer(ReasonSerializer):
    """The new one: ``mac`` (and ``external_id``) of a player; ``model`` and ``msisdn`` of a socket."""

    mac = PlainCharField(max_length=40, required=False)
    external_id = PlainCharField(max_length=64, required=False, default="")
    msisdn = PlainCharField(max_length=40, required=False)
    model = serializers.SlugRelatedField(
        slug_field="code", queryset=DeviceModel.objects.all(), required=False
    )


class RecheckSerializer(serializers.Serializer):
    """``seen``: the caller's word, where no answer proves it."""

    seen = serializers.BooleanField(default=False)


class SimSerializer(ReasonSerializer):
    """The new number, in any spelling."""

    msisdn = PlainCharField(max_length=40)


class Moves:
    """Actions of the devices' view. Automation leaves the device alone until somebody has seen it work again."""

    @extend_schema(request=MoveSerializer, responses={200: ANSWER})
    @action(detail=True, methods=["post"])
    def move(self, request: Request, pk: str | None = None) -> Response:
        """Put the device on another site and, where it is fed, on another output; its history stays."""
        row, asked = self._asked(request, MoveSerializer)
        socket = asked.get("socket")
        if socket is not None and (socket.platform_id != row.platform_id or row.kind == Device.Kind.SOCKET):
            sentence = _("Choose a socket of the device's own platform; a socket itself is fed by none.")
            raise Invalid(sentence, {"socket": [sentence]})
        moves.move_device(
            row, site=asked["site"], socket=socket, line=asked["line"], by=request.user, reason=asked["reason"],
            now=utcnow(),
        )  # fmt: skip
        return self._shown(row)

    @extend_schema(request=ReplacementSerializer, responses={201: ANSWER})
    @action(detail=True, methods=["post"])
    def replace(self, request: Request, pk: str | None = None) -> Response:
        """Put another player or socket in its place: the answer is the new one; this one goes out of service."""
        row, asked = self._asked(request, ReplacementSerializer)
        if row.kind not in NEEDED:
            raise Conflict(_("Only players and sockets can be replaced. Create the new device."))
        required = serializers.Field.default_error_messages["required"]
        if missing := {name: [required] for name in NEEDED[row.kind] if not asked.get(name)}:
            raise serializers.ValidationError(missing)
        common = {"by": request.user, "reason": asked["reason"], "now": utcnow()}
        if row.kind == Device.Kind.PLAYER:
            new = moves.replace_player(row, mac=asked["mac"], external_id=asked["external_id"], **common)
        else:
            new = moves.replace_socket(row, msisdn=asked["msisdn"], model=asked["model"], **common)
        return self._shown(new, status.HTTP_201_CREATED)

    @extend_schema(request=SimSerializer, responses={200: ANSWER})
    @action(detail=True, methods=["post"], url_path="replace-sim")
    def replace_sim(self, request: Request, pk: str | None = None) -> Response:
        """The same socket under another number."""
        row, asked = self._asked(request, SimSerializer)
        if row.kind != Device.Kind.SOCKET:
            raise Conflict(_("Only a socket has a SIM that commands are sent to."))
        moves.replace_sim(row, msisdn=asked["msisdn"], by=request.user, reason=asked["reason"], now=utcnow())
        return self._shown(row)

    @extend_schema(request=RecheckSerializer, responses={200: ANSWER})
    @action(detail=True, methods=["post"])
    def recheck(self, request: Request, pk: str | None = None) -> Response:
        """It works after the change: automation may act for it again. 409 while nothing has answered since."""
        row, asked = self._asked(request, RecheckSerializer)
        try:
            moves.return_to_automation(row, seen=asked["seen"], by=request.user, now=utcnow())
        except moves.NotRechecked as exc:
            raise Conflict(str(exc)) from exc
        return self._shown(row)

    def _asked(self, request: Request, shape: type[serializers.Serializer]) -> tuple[Device, dict[str, Any]]:
        row: Device = self.get_object()  # type: ignore[attr-defined]
        asked = shape(data=request.data, context=self.get_serializer_context())  # type: ignore[attr-defined]
        asked.is_valid(raise_exception=True)
        if not row.is_active:
            raise Conflict(_("This device is out of service. Create it anew."))
        return row, asked.validated_data

    def _shown(self, row: Device, code: int = status.HTTP_200_OK) -> Response:
        fresh = self.get_queryset().get(pk=row.pk)  # type: ignore[attr-defined]
        return Response(self.get_serializer(fresh).data, status=code)  # type: ignore[attr-defined]
