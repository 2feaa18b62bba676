"""The command catalogue, and commands: ask, preview, follow, take back."""

import uuid
from typing import Any, ClassVar

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import mixins, serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.exceptions import PermissionDenied
from rest_framework.filters import OrderingFilter, SearchFilter
from rest_framework.request import Request
from rest_framework.response import Response

from devices.errors import CommandForbidden, CommandInvalid, IdempotencyConflict
from devices.models import Command, CommandEvent, CommandTemplate, Device
from devices.services import cancel_command, may_send, power_cycle, preview, request_command
from devices.services.bulk import MAX_DEVICES, bulk_preview, bulk_request
from platforms.api import idempotency
from platforms.api.base import InUtc, PlatformViewSet, Reads
from platforms.api.errors import Conflict, Invalid
from platforms.api.filters import KnownParameters, ScopedFilterBackend
from platforms.api.permissions import SignedIn
from platforms.api.serializers import (
    ObjectField,
    PlainCharField,
    PlatformSerializer,
    StepSerializer,
    VisibleRelatedField,
    WholeNumberField,
)
from platforms.roles import Perm
from remosa.lib.clock import utcnow

KEY_HEADER = OpenApiParameter(
    "Idempotency-Key", str, OpenApiParameter.HEADER, required=True,
    description="1 to 100 printable characters. The same key with the same body is the same command.",
)  # fmt: skip


# --- catalogue -----------------------------------------------------------------------------------


class CommandTemplateSerializer(serializers.ModelSerializer):
    """One command of one model, with its typed parameters."""

    model = serializers.CharField(source="model.code", read_only=True)
    name = serializers.CharField(read_only=True)

    class Meta:
        model = CommandTemplate
        fields = [
            "id", "model", "key", "category", "name", "name_ru", "name_en", "body", "params", "effect", "power", "line",
            "min_role", "dangerous", "source",
        ]  # fmt: skip
        read_only_fields = fields


class CommandTemplatesView(InUtc, mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet):
    """What the known models understand. The same for every platform, so it hides nothing."""

    queryset = CommandTemplate.objects.select_related("model")
    serializer_class = CommandTemplateSerializer
    permission_classes = [SignedIn]
    filter_backends = [KnownParameters, ScopedFilterBackend, SearchFilter, OrderingFilter]
    filterset_fields = {
        "model__code": ["exact"],
        "category": ["exact"],
        "effect": ["exact"],
        "key": ["exact"],
    }
    search_fields = ("key", "name_ru", "name_en")
    ordering_fields = ("key", "category")
    ordering = ("model", "category", "key")


# --- commands ------------------------------------------------------------------------------------


class CommandStepSerializer(StepSerializer):
    """One step of a command's life."""

    class Meta(StepSerializer.Meta):
        model = CommandEvent


class CommandSerializer(PlatformSerializer):
    """A command as the outside knows it."""

    redacted_fields = ("params", "text", "reply_text")
    template = serializers.CharField(source="template.key", read_only=True)
    params = ObjectField(read_only=True)
    text = serializers.CharField(source="body", read_only=True)
    reason = serializers.CharField(source="failure_reason", read_only=True)
    why = serializers.CharField(source="reason", read_only=True)
    case = serializers.UUIDField(source="case_id", read_only=True)
    events = CommandStepSerializer(many=True, read_only=True)

    class Meta:
        model = Command
        fields = [
            "id", "platform", "device", "target", "template", "params", "text", "effect", "state", "reason", "why",
            "source", "source_ref", "actor", "case", "cause_id", "created_at", "expires_at", "sent_at", "replied_at",
            "reply_text", "reply_verdict", "events",
        ]  # fmt: skip
        read_only_fields = fields


class CommandRequestSerializer(serializers.Serializer):
    """What is asked of which device; ``target`` is the device that it should repair."""

    device = VisibleRelatedField(queryset=Device.objects.all())
    template = PlainCharField(
        max_length=64,
        trim_whitespace=False,
        help_text=gettext_lazy("Key of a template of the device's model."),
    )
    params = ObjectField(required=False, default=dict)
    target = VisibleRelatedField(queryset=Device.objects.all(), required=False, allow_null=True)

    def validate(self, values: dict[str, Any]) -> dict[str, Any]:
        target = values.get("target")
        if target is not None and target.platform_id != values["device"].platform_id:
            raise serializers.ValidationError({"target": [_("Device and target must be of one platform.")]})
        return values


class CommandPreviewSerializer(serializers.Serializer):
    """The exact text and what it would cost."""

    text = serializers.CharField()
    segments = serializers.IntegerField()
    price = serializers.DecimalField(max_digits=10, decimal_places=4)
    currency = serializers.CharField()


class BulkRequestSerializer(serializers.Serializer):
    """One command for several devices; without ``confirm`` nothing is sent."""

    devices = VisibleRelatedField(queryset=Device.objects.all(), many=True, allow_empty=False)
    template = PlainCharField(max_length=64, trim_whitespace=False)
    params = ObjectField(required=False, default=dict)
    reason = PlainCharField(max_length=300, required=False, allow_blank=True, default="")
    confirm = serializers.BooleanField(required=False, default=False)


class BulkRowSerializer(serializers.Serializer):
    """What one device gets, or why it is skipped."""

    device = serializers.IntegerField(source="device.pk")
    text = serializers.CharField()
    segments = serializers.IntegerField()
    price = serializers.DecimalField(max_digits=10, decimal_places=4)
    currency = serializers.CharField()
    command = serializers.UUIDField(source="command.pk", default=None)
    skipped = serializers.CharField()


class BulkResultSerializer(serializers.Serializer):
    """Every device, in the order of asking."""

    confirmed = serializers.BooleanField()
    results = BulkRowSerializer(many=True)


class CycleRequestSerializer(serializers.Serializer):
    """Reboot what hangs on one output, in the safest way that the model has."""

    device = VisibleRelatedField(queryset=Device.objects.all())
    line = WholeNumberField(min_value=0, max_value=9, default=1)
    minutes = WholeNumberField(min_value=1, max_value=720)
    target = VisibleRelatedField(queryset=Device.objects.all(), required=False, allow_null=True)
    reason = PlainCharField(max_length=300, required=False, allow_blank=True, default="")


class CycleSerializer(serializers.Serializer):
    """One self-restoring ``command``, or a ``restoration`` of several."""

    command = serializers.UUIDField(source="command.pk", default=None)
    restoration = serializers.UUIDField(source="restoration.pk", default=None)


class CancelSerializer(serializers.Serializer):
    """Why it is taken back."""

    reason = PlainCharField(max_length=300, required=False, allow_blank=True, default="")


class CommandsView(Reads, PlatformViewSet):
    """What was asked of devices, and each step of what became of it."""

    model = Command
    serializer_class = CommandSerializer
    write_perm = Perm.CONTROL
    write_scope: ClassVar[str | None] = "command"
    own_keys = ("create", "preview", "bulk", "cycle")  # a command keeps its key for ever
    related = ("template", "device", "platform")
    prefetched = ("events",)
    filterset_fields = {
        "platform": ["exact"], "device": ["exact"], "target": ["exact"], "state": ["exact", "in"],
        "template__key": ["exact"], "source": ["exact"], "cause_id": ["exact"], "created_at": ["gte", "lte"],
    }  # fmt: skip
    ordering_fields = ("created_at",)
    ordering = ("-created_at", "pk")

    def may_change(self, row: Command) -> bool:
        return may_send(self.request.user, row.device, row.template)

    @extend_schema(
        request=CommandRequestSerializer,
        responses={201: CommandSerializer, 200: CommandSerializer},
        parameters=[KEY_HEADER],
    )
    def create(self, request: Request) -> Response:
        """Ask for a command: 201 when it is new, 200 when this key asked for it before."""
        idem_key = f"api:{request.user.pk}:{idempotency.key_of(request)}"
        asked = self._asked(request)
        elsewhere = Command.objects.filter(idem_key=idem_key).exclude(platform=asked["device"].platform_id)
        if elsewhere.exists():
            raise Conflict(_("This idempotency key was already used for another command."))
        cause_id = uuid.uuid4()
        try:
            command = request_command(
                device=asked["device"], template_key=asked["template"], params=asked["params"],
                target=asked.get("target"), source=Command.Source.API, idem_key=idem_key, cause_id=cause_id,
                now=utcnow(), actor=request.user,
            )  # fmt: skip
        except CommandForbidden as exc:
            raise PermissionDenied(str(exc)) from exc
        except CommandInvalid as exc:
            raise _invalid(exc) from exc
        except IdempotencyConflict as exc:
            raise Conflict(str(exc)) from exc
        is_new = command.cause_id == cause_id
        shown = self.get_serializer(self.get_queryset().get(pk=command.pk)).data
        return Response(shown, status=status.HTTP_201_CREATED if is_new else status.HTTP_200_OK)

    @extend_schema(request=CommandRequestSerializer, responses={200: CommandPreviewSerializer})
    @action(detail=False, methods=["post"])
    def preview(self, request: Request) -> Response:
        """The text and the price of a command; nothing is written."""
        asked = self._asked(request)
        try:
            rendered, quote = preview(
                device=asked["device"], template_key=asked["template"], params=asked["params"]
            )
        except CommandInvalid as exc:
            raise _invalid(exc) from exc
        shown = CommandPreviewSerializer(
            {
                "text": rendered.body,
                "segments": quote.segments,
                "price": quote.price,
                "currency": quote.currency,
            }
        )
        return Response(shown.data)

    @extend_schema(
        request=BulkRequestSerializer,
        responses={200: BulkResultSerializer},
        parameters=[KEY_HEADER],
        filters=False,
    )
    @action(detail=False, methods=["post"])
    def bulk(self, request: Request) -> Response:
        """One command to many devices: shows text, price and who is skipped; sends when ``confirm`` is true."""
        asked = BulkRequestSerializer(data=request.data, context=self.get_serializer_context())
        asked.is_valid(raise_exception=True)
        values = asked.validated_data
        if len(values["devices"]) > MAX_DEVICES:
            sentence = _("At most %(most)d devices at once.") % {"most": MAX_DEVICES}
            raise Invalid(sentence, {"devices": [sentence]})
        for device in values["devices"]:
            self.require(device)
        what = {"template_key": values["template"], "params": values["params"], "by": request.user}
        if values["confirm"]:
            key = f"api:{request.user.pk}:{idempotency.key_of(request)}"
            source = Command.Source.API
            rows = bulk_request(
                values["devices"], **what, source=source, idem_key=key, reason=values["reason"], now=utcnow()
            )
        else:
            rows = bulk_preview(values["devices"], **what)
        return Response(BulkResultSerializer({"confirmed": values["confirm"], "results": rows}).data)

    @extend_schema(request=CycleRequestSerializer, responses={201: CycleSerializer}, parameters=[KEY_HEADER])
    @action(detail=False, methods=["post"])
    def cycle(self, request: Request) -> Response:
        """Reboot an output: one self-restoring SMS, else a delay armed before the OFF, else OFF and ON with a watch."""
        key = f"api:{request.user.pk}:{idempotency.key_of(request)}"
        asked = CycleRequestSerializer(data=request.data, context=self.get_serializer_context())
        asked.is_valid(raise_exception=True)
        values = asked.validated_data
        self.require(values["device"])
        try:
            cycle = power_cycle(
                device=values["device"], line=values["line"], minutes=values["minutes"], target=values.get("target"),
                reason=values["reason"], source=Command.Source.API, idem_key=key, cause_id=uuid.uuid4(), now=utcnow(),
                actor=request.user,
            )  # fmt: skip
        except CommandForbidden as exc:
            raise PermissionDenied(str(exc)) from exc
        except CommandInvalid as exc:
            raise _invalid(exc) from exc
        except IdempotencyConflict as exc:
            raise Conflict(str(exc)) from exc
        return Response(CycleSerializer(cycle).data, status=status.HTTP_201_CREATED)

    @extend_schema(request=CancelSerializer, responses={200: CommandSerializer})
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, pk: str | None = None) -> Response:
        """Take a command back; 409 when it is too late for that."""
        command = self.get_object()
        asked = CancelSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        if not cancel_command(command, by=request.user, now=utcnow(), reason=asked.validated_data["reason"]):
            raise Conflict(_("It is too late to take this command back."))
        return Response(self.get_serializer(self.get_queryset().get(pk=command.pk)).data)

    def _asked(self, request: Request) -> dict[str, Any]:
        """The body, with every device the caller's own and open to their commands."""
        asked = CommandRequestSerializer(data=request.data, context=self.get_serializer_context())
        asked.is_valid(raise_exception=True)
        self.require(asked.validated_data["device"])
        return asked.validated_data


def _invalid(exc: CommandInvalid) -> Invalid:
    """What is wrong with device, template or single parameters."""
    fields: dict[str, Any] = {
        name: [sentence] for name, sentence in exc.fields.items() if name in ("device", "template")
    }
    params = {name: [sentence] for name, sentence in exc.fields.items() if name not in fields}
    return Invalid(str(exc), fields | ({"params": params} if params else {}))
