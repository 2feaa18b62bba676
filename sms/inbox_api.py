"""What the API lets people do with incoming SMS that nobody could place."""

from typing import Any

from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from devices.models import Command, Device
from devices.replies import ReplyRuleError
from platforms.api.errors import Conflict, Invalid
from platforms.api.serializers import ObjectField, VisibleRelatedField
from platforms.roles import Perm
from remosa.lib.clock import utcnow
from sms.errors import SmsInvalid
from sms.services.inbox import assign, assign_device, teach


class AssignSerializer(serializers.Serializer):
    """Which command the SMS answers; or, for one from an unknown number, which socket sent it."""

    command = VisibleRelatedField(queryset=Command.objects.all(), required=False)
    device = VisibleRelatedField(queryset=Device.objects.all(), required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if len(attrs) != 1:
            sentence = _("Name the command that it answers, or the socket that sent it.")
            raise serializers.ValidationError({"command": [sentence]})
        return attrs


class TeachSerializer(serializers.Serializer):
    """A reply rule: ``name``, ``pattern``, ``verdict``, and where wanted ``facts``, ``answers``, ``reason``."""

    rule = ObjectField()


class TaughtSerializer(serializers.Serializer):
    """The rule as it was kept."""

    id = serializers.IntegerField()
    rule = ObjectField()


INBOX_PERMS = {"assign": Perm.CONTROL, "teach": Perm.MANAGE_PLATFORM}


class InboxActions:
    """Actions of the inbox; the view names ``INBOX_PERMS`` as its ``perms``."""

    @extend_schema(request=AssignSerializer, responses={204: None})
    @action(detail=True, methods=["post"])
    def assign(self, request: Request, pk: str | None = None) -> Response:
        """Say which command this SMS answers, or which socket sent it; 409 when that is known already."""
        row: Any = self.get_object()  # type: ignore[attr-defined]
        asked = AssignSerializer(data=request.data, context=self.get_serializer_context())  # type: ignore[attr-defined]
        asked.is_valid(raise_exception=True)
        try:
            if "device" in asked.validated_data:
                done = assign_device(
                    row, device=asked.validated_data["device"], by=request.user, now=utcnow()
                )
            else:
                done = assign(row, command=asked.validated_data["command"], by=request.user, now=utcnow())
        except SmsInvalid as exc:
            raise Invalid(str(exc), {name: [text] for name, text in exc.fields.items()}) from exc
        if not done:
            raise Conflict(_("This SMS is settled already."))
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(request=TeachSerializer, responses={201: TaughtSerializer})
    @action(detail=True, methods=["post"])
    def teach(self, request: Request, pk: str | None = None) -> Response:
        """Make a reply rule of the platform from this SMS, and read the SMS again by it."""
        row: Any = self.get_object()  # type: ignore[attr-defined]
        asked = TeachSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        try:
            made = teach(row, rule=asked.validated_data["rule"], by=request.user, now=utcnow())
        except (SmsInvalid, ReplyRuleError) as exc:
            raise Invalid(str(exc), {"rule": [str(exc)]}) from exc
        return Response({"id": made.pk, "rule": made.rule}, status=status.HTTP_201_CREATED)
