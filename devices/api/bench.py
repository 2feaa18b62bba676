"""Models of devices, and their bench check: what the superadmin's page does, for a bench that is a program."""

from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.exceptions import PermissionDenied
from rest_framework.filters import SearchFilter
from rest_framework.request import Request
from rest_framework.response import Response

from devices.bench import ReadStep
from devices.models import BenchCheck, DeviceModel
from devices.replies import ReplyRuleError
from devices.services.bench import (
    BenchIncomplete,
    pass_check,
    read_replies,
    received,
    steps_of,
    use_rules,
    withdraw,
)
from platforms.api.base import InUtc
from platforms.api.errors import Conflict, Invalid
from platforms.api.filters import KnownParameters
from platforms.api.permissions import SignedIn
from platforms.api.serializers import ObjectField, PlainCharField
from remosa.lib.clock import utcnow

MAX_RULES = 50


class DeviceModelSerializer(serializers.ModelSerializer):
    """A model of control device; ``bench_checked_at`` is null while jobs may only suggest there."""

    class Meta:
        model = DeviceModel
        fields = ["id", "code", "vendor", "lines", "bench_checked_at"]
        read_only_fields = fields


class BenchStepSerializer(serializers.Serializer):
    """One step: a reply to ``template`` is wanted, or, without one, that a person has seen it."""

    key = serializers.CharField(read_only=True)
    title = serializers.CharField(read_only=True)
    template = serializers.CharField(read_only=True, allow_null=True)
    text = serializers.CharField(
        read_only=True, help_text="The reply that was read; the newest that came in, if any."
    )
    done = serializers.BooleanField(read_only=True)
    verdict = serializers.CharField(read_only=True, allow_null=True)
    facts = ObjectField(read_only=True)
    proposal = ObjectField(
        read_only=True, allow_null=True, help_text="A rule by which the reply would say: done."
    )


class RepliesSerializer(serializers.Serializer):
    """``{"reply_status": "OUT1 ON"}``: a reply for each step that wants one."""

    replies = serializers.DictField(child=serializers.CharField(max_length=1600, allow_blank=True))


class RulesSerializer(serializers.Serializer):
    """Reply rules that go before those of the model."""

    rules = serializers.ListField(child=ObjectField(), min_length=1, max_length=MAX_RULES)


class PassSerializer(RepliesSerializer):
    """The replies, the steps that a person has seen, and the firmware; empty: any firmware."""

    seen = serializers.ListField(child=PlainCharField(max_length=64), max_length=MAX_RULES)
    firmware = PlainCharField(max_length=64, required=False, allow_blank=True, default="")


class WithdrawSerializer(serializers.Serializer):
    """Why the check no longer holds."""

    reason = PlainCharField(max_length=300)


class BenchCheckSerializer(serializers.ModelSerializer):
    """A check that was passed."""

    class Meta:
        model = BenchCheck
        fields = ["id", "model", "firmware", "replies", "passed_at", "by", "withdrawn_at", "withdrawn_why"]
        read_only_fields = fields


class DeviceModelsView(InUtc, mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet):
    """The known models of sockets, the same for every platform. Their bench check is the superadmin's."""

    queryset = DeviceModel.objects.order_by("code")
    serializer_class = DeviceModelSerializer
    permission_classes = [SignedIn]
    filter_backends = [KnownParameters, SearchFilter]
    search_fields = ("code", "vendor")
    ordering_fields = ()

    def bench_of(self) -> DeviceModel:
        """The model, for the superadmin alone: replies on the bench are no platform's."""
        if not getattr(self.request.user, "is_superuser", False):
            raise PermissionDenied(_("Only the superadmin checks models on the bench."))
        return self.get_object()

    @extend_schema(responses={200: BenchStepSerializer(many=True)}, filters=False)
    @action(detail=True, methods=["get"], pagination_class=None, filter_backends=[])
    def bench(self, request: Request, pk: str | None = None) -> Response:
        """The steps, each with the newest reply of any socket of this model and what the rules make of it."""
        model = self.bench_of()
        return Response(_shown(model, {key: came.text for key, came in received(model).items()}))

    @extend_schema(request=RepliesSerializer, responses={200: BenchStepSerializer(many=True)}, filters=False)
    @action(detail=True, methods=["post"], url_path="bench/read")
    def read_bench(self, request: Request, pk: str | None = None) -> Response:
        """What these replies mean, and the rules that are proposed for what is not understood; nothing is kept."""
        model, asked = self._asked(RepliesSerializer)
        return Response(_shown(model, _known(model, asked["replies"])))

    @extend_schema(request=RulesSerializer, responses={204: None})
    @action(detail=True, methods=["post"], url_path="bench/rules")
    def use_rules(self, request: Request, pk: str | None = None) -> Response:
        """Switch rules on, before those of the model, as a version of its own."""
        model, asked = self._asked(RulesSerializer)
        try:
            use_rules(model, asked["rules"], by=request.user, now=utcnow())
        except ReplyRuleError as exc:
            raise Invalid(str(exc), {"rules": [str(exc)]}) from exc
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(request=PassSerializer, responses={201: BenchCheckSerializer})
    @action(detail=True, methods=["post"], url_path="bench/pass")
    def pass_bench(self, request: Request, pk: str | None = None) -> Response:
        """Every step is done: from now on jobs may switch this model. 400 names the steps that are missing."""
        model, asked = self._asked(PassSerializer)
        try:
            check = pass_check(
                model, texts=_known(model, asked["replies"]), seen=asked["seen"], firmware=asked["firmware"],
                by=request.user, now=utcnow(),
            )  # fmt: skip
        except BenchIncomplete as exc:
            raise Invalid(str(exc), {key: [_("This is still missing.")] for key in exc.missing}) from exc
        return Response(BenchCheckSerializer(check).data, status=status.HTTP_201_CREATED)

    @extend_schema(request=WithdrawSerializer, responses={204: None})
    @action(detail=True, methods=["post"], url_path="bench/withdraw")
    def withdraw_bench(self, request: Request, pk: str | None = None) -> Response:
        """Automation leaves this model to people again; 409 when it does so already."""
        model, asked = self._asked(WithdrawSerializer)
        if not withdraw(model, why=asked["reason"], by=request.user, now=utcnow()):
            raise Conflict(_("No check is in force."))
        return Response(status=status.HTTP_204_NO_CONTENT)

    def _asked(self, shape: type[serializers.Serializer]) -> tuple[DeviceModel, dict[str, Any]]:
        model = self.bench_of()
        asked = shape(data=self.request.data)
        asked.is_valid(raise_exception=True)
        return model, asked.validated_data


def _known(model: DeviceModel, replies: Mapping[str, str]) -> Mapping[str, str]:
    """``replies``; Invalid for a step that the model does not have."""
    steps = {step.key for step in steps_of(model) if step.template is not None}
    if strange := sorted(set(replies) - steps):
        sentence = _("This model has no such step.")
        raise Invalid(sentence, {key: [sentence] for key in strange})
    return replies


def _shown(model: DeviceModel, texts: Mapping[str, str]) -> list[dict[str, Any]]:
    names = {row.key: row.name for row in model.templates.all()}
    return [_step(read, names) for read in read_replies(model, texts)]


def _step(read: ReadStep, names: Mapping[str, str]) -> dict[str, Any]:
    spec, verdict = read.step.template, read.verdict
    return {
        "key": read.step.key,
        "title": names[spec.key] if spec is not None else str(read.step.title),
        "template": spec.key if spec is not None else None,
        "text": verdict.masked_text if verdict is not None else "",
        "done": read.is_done,
        "verdict": verdict.kind if verdict is not None else None,
        "facts": dict(verdict.facts) if verdict is not None else {},
        "proposal": read.proposal,
    }
