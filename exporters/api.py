"""REST resources of ``exporters``: accounts at a CMS, their targets, and the list of MACs for edge exporters."""

from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar

from django.utils.translation import gettext as _
from django_filters import CharFilter, ModelChoiceFilter
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers, status
from rest_framework.authentication import SessionAuthentication
from rest_framework.decorators import action
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request
from rest_framework.response import Response

from exporters.errors import KindIsFixed
from exporters.macs import MacReport, read_mac_lines
from exporters.models import Exporter, ExporterTarget, FoundDevice, PollRound, Snapshot
from exporters.services import (
    AddReport,
    add_targets,
    adopt_found,
    create_exporter,
    poll_now,
    remove_exporter,
    remove_targets,
    update_exporter,
)
from platforms.api import writing
from platforms.api.authentication import EdgeTokenAuthentication, FamilyAuthentication, Machine
from platforms.api.base import Changes, Creates, Deletes, PlatformViewSet, Reads
from platforms.api.errors import Conflict, Invalid
from platforms.api.filters import ScopedFilterSet
from platforms.api.permissions import HoldsPerm, SignedIn
from platforms.api.scope import visible_rows
from platforms.api.serializers import PlainCharField, PlatformSerializer, VisibleRelatedField
from platforms.models import Platform
from remosa.lib.registry import backend

MAX_MACS = 5000  # of one request


@dataclass(frozen=True)
class Asked:
    """A readable request to add or remove."""

    exporter: Exporter
    lines: MacReport


class ExporterSerializer(PlatformSerializer):
    """One account at a CMS. Its key is written and never read."""

    create_only = ("platform", "kind")

    class Meta:
        model = Exporter
        fields = [
            "id", "platform", "name", "kind", "base_url", "secret", "interval_s", "timeout_s", "concurrency",
            "rate_per_s", "jitter_s", "config", "has_old_names", "is_enabled", "is_truncated", "failures",
            "refused_series", "is_up", "suspect_reason", "last_error", "last_round_at", "last_success_at", "created_at",
        ]  # fmt: skip
        read_only_fields = [
            "is_truncated", "failures", "refused_series", "is_up", "suspect_reason", "last_error", "last_round_at",
            "last_success_at", "created_at",
        ]  # fmt: skip
        extra_kwargs = {"secret": {"write_only": True, "max_length": 2000}}


class TargetSerializer(PlatformSerializer):
    """One device as one CMS knows it."""

    create_only = ()

    class Meta:
        model = ExporterTarget
        fields = [
            "id", "exporter", "external_id", "device", "status", "status_since", "observed_at", "reason", "facts",
        ]  # fmt: skip
        read_only_fields = fields


class FoundSerializer(PlatformSerializer):
    """A device that the CMS reports by itself and nobody has added."""

    create_only = ()

    class Meta:
        model = FoundDevice
        fields = ["external_id", "name", "first_seen_at"]
        read_only_fields = fields


class AdoptionSerializer(serializers.Serializer):
    """Which of the found devices are to be polled; all of them without ``ids``."""

    ids = serializers.ListField(
        child=PlainCharField(max_length=100), min_length=1, max_length=MAX_MACS, required=False
    )


class RefusedMacSerializer(serializers.Serializer):
    """A MAC that was not taken, and why."""

    mac = serializers.CharField(source="external_id")
    reason = serializers.CharField()


class MacReportSerializer(serializers.Serializer):
    """Each MAC of the request is in exactly one list; ``known`` was polled before."""

    added = serializers.ListField(child=serializers.CharField())
    known = serializers.ListField(child=serializers.CharField())
    duplicates = serializers.SerializerMethodField()
    refused = RefusedMacSerializer(many=True)

    def get_duplicates(self, report: AddReport) -> list[str]:
        """Those that an earlier entry had already."""
        return [line.mac for line in report.duplicates]


class ExportersView(Reads, Creates, Changes, Deletes, PlatformViewSet):
    """Accounts at a CMS that are polled on an interval."""

    model = Exporter
    serializer_class = ExporterSerializer
    related = ("platform",)
    filterset_fields = {"platform": ["exact"], "kind": ["exact"], "is_enabled": ["exact"], "is_up": ["exact"]}
    search_fields = ("name",)
    ordering_fields = ("name", "last_round_at")
    ordering = ("platform", "name", "pk")
    goes_along = (ExporterTarget, FoundDevice, PollRound, Snapshot)

    def create_row(self, values: dict[str, Any]) -> Exporter:
        platform = values.pop("platform")
        return create_exporter(
            platform=platform, by=self.request.user, exporter=Exporter(platform=platform, **values)
        )

    def change_row(self, row: Exporter, values: dict[str, Any]) -> Exporter:
        try:
            return update_exporter(row, by=self.request.user, **values)
        except KindIsFixed as exc:
            raise Conflict(str(exc)) from exc

    def delete_row(self, row: Exporter) -> None:
        writing.refuse_to_take_along(row, self.goes_along)
        remove_exporter(row, by=self.request.user)

    @extend_schema(responses={200: TargetSerializer(many=True)}, filters=False)
    @action(detail=True, methods=["get"])
    def targets(self, request: Request, pk: str | None = None) -> Response:
        """What it polls, page by page, with what the CMS said last."""
        exporter = self.get_object()
        rows = (
            ExporterTarget.objects.visible_to(request.user)
            .filter(exporter=exporter)
            .with_observed_at()
            .order_by("external_id", "pk")
        )
        page = self.paginate_queryset(rows)
        shown = TargetSerializer(page, many=True, context=self.get_serializer_context())
        return self.get_paginated_response(shown.data)

    @extend_schema(responses={200: FoundSerializer(many=True)}, filters=False)
    @action(detail=True, methods=["get"])
    def found(self, request: Request, pk: str | None = None) -> Response:
        """What the CMS reports by itself and nobody has added, page by page."""
        rows = FoundDevice.objects.visible_to(request.user).filter(exporter=self.get_object())
        page = self.paginate_queryset(rows.order_by("external_id"))
        shown = FoundSerializer(page, many=True, context=self.get_serializer_context())
        return self.get_paginated_response(shown.data)

    @extend_schema(request=AdoptionSerializer, responses={201: MacReportSerializer, 200: MacReportSerializer})
    @action(detail=True, methods=["post"])
    def adopt(self, request: Request, pk: str | None = None) -> Response:
        """Poll what was found. 201 when any was new; 400 for one that the CMS has not reported."""
        exporter = self.get_object()
        body = AdoptionSerializer(data=request.data, context=self.get_serializer_context())
        body.is_valid(raise_exception=True)
        ids = body.validated_data.get("ids")
        known = _known_or_waiting(exporter, ids) if ids is not None else ()
        report = adopt_found(exporter=exporter, external_ids=ids, by=request.user)
        return reported(replace(report, known=(*report.known, *known)))

    @extend_schema(request=None, responses={202: ExporterSerializer})
    @action(detail=True, methods=["post"])
    def poll(self, request: Request, pk: str | None = None) -> Response:
        """Poll now instead of at the next interval."""
        exporter = self.get_object()
        if not exporter.is_enabled:
            raise Conflict(_("This exporter is switched off."))
        poll_now(exporter)
        return Response(self.get_serializer(exporter).data, status=status.HTTP_202_ACCEPTED)


def _known_or_waiting(exporter: Exporter, ids: list[str]) -> list[str]:
    """Those of ``ids`` that are polled already; ``Invalid`` for one that the CMS has not reported."""
    waiting, known = (
        set(rows.filter(external_id__in=ids).values_list("external_id", flat=True))
        for rows in (exporter.found, exporter.targets)
    )
    sentence = _("The CMS has not reported this device.")
    if faults := {str(n): [sentence] for n, key in enumerate(ids) if key not in waiting | known}:
        raise Invalid(sentence, {"ids": faults})
    return sorted(known - waiting)


def reported(report: AddReport) -> Response:
    """What became of the devices: 201 when any was new, 409 when none had room."""
    if report.refused and not report.added:
        raise Conflict(report.refused[0].reason)
    code = status.HTTP_201_CREATED if report.added else status.HTTP_200_OK
    return Response(MacReportSerializer(report).data, status=code)


# --- MACs for edge exporters -----------------------------------------------------------------------


class MacFilter(ScopedFilterSet):
    """By platform, by exporter, by kind of exporter."""

    platform = ModelChoiceFilter(field_name="exporter__platform", queryset=partial(visible_rows, Platform))
    exporter = ModelChoiceFilter(queryset=partial(visible_rows, Exporter))
    kind = CharFilter(field_name="exporter__kind")

    class Meta:
        model = ExporterTarget
        fields: ClassVar[list[str]] = []


class MacSerializer(serializers.ModelSerializer):
    """One target as an edge exporter takes it."""

    platform_id = serializers.IntegerField(source="exporter.platform_id", read_only=True)
    mac = serializers.CharField(source="external_id", read_only=True)
    name = serializers.SerializerMethodField()
    ip = serializers.SerializerMethodField()
    outip = serializers.SerializerMethodField()

    class Meta:
        model = ExporterTarget
        fields = ["platform_id", "exporter_id", "mac", "name", "ip", "outip"]
        read_only_fields = fields

    def get_name(self, row: ExporterTarget) -> str:
        """What the CMS calls it, else what the platform does."""
        return str(row.facts.get("name") or row.device.name)

    def get_ip(self, row: ExporterTarget) -> str:
        """Its own address, as the CMS said last; "" when it never did."""
        return str(row.facts.get("ip") or "")

    def get_outip(self, row: ExporterTarget) -> str:
        """The address from which it calls, as the CMS said last; "" when it never did."""
        return str(row.facts.get("outip") or "")


class MacsSerializer(serializers.Serializer):
    """Some MACs of one exporter, in any usual spelling."""

    exporter = VisibleRelatedField(queryset=Exporter.objects.all())
    macs = serializers.ListField(child=PlainCharField(max_length=300), min_length=1, max_length=MAX_MACS)


class MacRemovalSerializer(serializers.Serializer):
    """How many there were."""

    removed = serializers.IntegerField()


class EdgeOrSignedIn(SignedIn):
    """An edge exporter reads its platform's list; everybody else as everywhere."""

    def has_permission(self, request: Request, view: Any) -> bool:
        if isinstance(request.user, Machine):
            return request.method in SAFE_METHODS
        return super().has_permission(request, view)


class ExporterMacsView(mixins.ListModelMixin, PlatformViewSet):
    """What edge exporters poll, as one JSON array; and adding and removing by the hundred."""

    model = ExporterTarget
    serializer_class = MacSerializer
    authentication_classes = [EdgeTokenAuthentication, FamilyAuthentication, SessionAuthentication]
    permission_classes = [EdgeOrSignedIn, HoldsPerm]
    pagination_class = None
    related = ("exporter", "device")
    filterset_class = MacFilter
    ordering = ("exporter", "external_id", "pk")

    @extend_schema(request=MacsSerializer, responses={201: MacReportSerializer, 200: MacReportSerializer})
    def add(self, request: Request) -> Response:
        """Poll these too; all or nothing when one of them is no MAC. 201 when any was new."""
        asked = self._asked(request)
        return reported(add_targets(exporter=asked.exporter, lines=asked.lines, by=request.user))

    @extend_schema(request=MacsSerializer, responses={200: MacRemovalSerializer})
    def remove(self, request: Request) -> Response:
        """Poll these no more. The body is the same as for adding; devices stay."""
        asked = self._asked(request)
        ids = [line.mac for line in asked.lines.accepted]
        removed = remove_targets(exporter=asked.exporter, external_ids=ids, by=request.user)
        return Response(MacRemovalSerializer({"removed": removed}).data)

    def _asked(self, request: Request) -> "Asked":
        """The body, with rights checked and every MAC read."""
        body = MacsSerializer(data=request.data, context=self.get_serializer_context())
        body.is_valid(raise_exception=True)
        exporter = body.validated_data["exporter"]
        self.require(exporter)
        normalise = backend("EXPORTERS", exporter.kind)().normalise_id
        lines = read_mac_lines("\n".join(body.validated_data["macs"]), normalise=normalise)
        if lines.bad:
            fields = {str(line.line_no - 1): [line.reason] for line in lines.bad}
            raise Invalid(lines.bad[0].reason, {"macs": fields})
        return Asked(exporter, lines)
