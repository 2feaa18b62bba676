"""REST resources of ``automation``: jobs, and cases with what people may do to them."""

from collections.abc import Callable
from typing import Any, ClassVar

from django.db import models, transaction
from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response

from automation.answers import answer
from automation.dry_run import dry_run
from automation.job_templates import TEMPLATES
from automation.ladder import MOST_STEPS
from automation.models import (
    ActionRun,
    Case,
    CaseEvent,
    CaseStep,
    GuardRefusal,
    Holiday,
    Job,
    JobRun,
    JobState,
    JobVersion,
    Maintenance,
    Webhook,
)
from automation.sentences import refusal_sentence
from automation.services import jobs, shares
from automation.services.cases import NOTE_LENGTH, acknowledge, add_note, approve, cancel_case, repair_now
from devices.errors import CommandForbidden
from platforms.access import may
from platforms.api import writing
from platforms.api.base import Changes, Creates, Deletes, PlatformViewSet, Reads
from platforms.api.errors import Conflict
from platforms.api.scope import platforms_held
from platforms.api.serializers import (
    LabelsField,
    ObjectField,
    PlainCharField,
    PlatformSerializer,
    SpansField,
    StepSerializer,
    WeekField,
    WholeNumberField,
)
from platforms.roles import Perm
from remosa.lib.clock import utcnow

# --- jobs ----------------------------------------------------------------------------------------


class JobSerializer(PlatformSerializer):
    """A job. ``version`` grows with each change; what was decided under an older one is asked again."""

    labels = LabelsField(required=False)
    alert_labels = LabelsField(required=False)
    params = ObjectField(required=False)
    hours = WeekField(required=False)
    ladder = serializers.ListField(child=ObjectField(), required=False, max_length=MOST_STEPS)

    class Meta:
        model = Job
        fields = [
            "id", "platform", "name", "is_enabled", "mode", "source", "exporter", "site", "labels", "devices", "promql",
            "promql_range_s", "event_kind", "event_within_s", "cron", "next_at", "overlap",
            "alert_labels", "operator", "threshold", "clear_threshold", "hold_s", "fresh_samples", "keep_firing_s",
            "flap_changes", "flap_window_s", "evidence_max_age_s", "hours", "on_air", "on_air_wait_s", "off_air",
            "lead_s", "template_key", "params", "ladder",
            "max_attempts", "cooldown_s", "max_actions_per_day", "max_actions_per_week", "patience_s", "verify_s",
            "stable_s", "may_darken_others", "version", "evaluated_at", "broken_reason", "created_at",
        ]  # fmt: skip
        read_only_fields = ["version", "next_at", "evaluated_at", "broken_reason", "created_at"]
        extra_kwargs = {
            "devices": {"required": False},
            "evidence_max_age_s": {"max_value": 86400},
            "promql": {"max_length": 4000},
        }

    def validate(self, values: dict[str, Any]) -> dict[str, Any]:
        platform = self.instance.platform if self.instance is not None else values["platform"]
        if any(device.platform_id != platform.pk for device in values.get("devices", ())):
            raise serializers.ValidationError({"devices": [_("All devices must be of the job's platform.")]})
        return values


class JobChangeSerializer(serializers.Serializer):
    """One column that a version changed."""

    field = serializers.CharField()
    before = serializers.JSONField(allow_null=True)
    after = serializers.JSONField(allow_null=True)


class JobVersionSerializer(serializers.Serializer):
    """A rule as it was."""

    number = serializers.IntegerField()
    at = serializers.DateTimeField()
    by = serializers.CharField()
    rule = serializers.JSONField()
    changes = JobChangeSerializer(many=True)


class JobRestoreSerializer(serializers.Serializer):
    """Which version comes back."""

    version = WholeNumberField(min_value=1, max_value=2**31 - 1)


class JobCloneSerializer(serializers.Serializer):
    """What the copy is called."""

    name = PlainCharField(max_length=200)


class DryRunRefusalSerializer(serializers.Serializer):
    """The guard that would object."""

    guard = serializers.CharField()
    reason = serializers.CharField()
    data = serializers.JSONField()
    lifts_at = serializers.DateTimeField(allow_null=True)


class DryRunLineSerializer(serializers.Serializer):
    """One device: nothing, unknown, hold, act, suggest, write (the job only watches) or refused."""

    device = serializers.IntegerField(source="device.pk")
    name = serializers.CharField(source="device.name")
    state = serializers.CharField(source="device.state")
    value = serializers.FloatField(allow_null=True)
    since = serializers.DateTimeField(allow_null=True)
    observed_at = serializers.DateTimeField(allow_null=True)
    would = serializers.CharField()
    refusal = DryRunRefusalSerializer(allow_null=True)


class DryRunSerializer(serializers.Serializer):
    """What a job would do just now; at most 200 lines, those first that matter."""

    at = serializers.DateTimeField()
    matching = serializers.IntegerField()
    breach = serializers.IntegerField()
    unknown = serializers.IntegerField()
    error = serializers.CharField(allow_blank=True)
    lines = DryRunLineSerializer(many=True)


class JobTemplateSerializer(serializers.Serializer):
    """A job that most people want."""

    key = serializers.CharField()
    title = serializers.CharField()
    about = serializers.CharField()

    def get_fields(self) -> dict[str, serializers.Field]:
        return {**super().get_fields(), "fields": serializers.JSONField()}  # a name that the class itself has


class JobsView(Reads, Creates, Changes, Deletes, PlatformViewSet):
    """Jobs: a set of devices, a condition, guards and an action."""

    model = Job
    serializer_class = JobSerializer
    related = ("platform",)
    prefetched = ("devices",)
    filterset_fields = {
        "platform": ["exact"], "mode": ["exact"], "is_enabled": ["exact"], "source": ["exact"], "exporter": ["exact"],
        "site": ["exact"],
    }  # fmt: skip
    search_fields = ("name",)
    ordering_fields = ("name", "evaluated_at", "created_at")
    ordering = ("platform", "name", "pk")
    goes_along = (JobRun, JobState, JobVersion, Job.devices.through)

    def create_row(self, values: dict[str, Any]) -> models.Model:
        row = super().create_row(values)
        jobs.keep_version(row, by=str(self.request.user), now=utcnow())
        return row

    def change_row(self, row: Job, values: dict[str, Any]) -> Job:
        by, now, before = self.request.user, utcnow(), row.version
        with transaction.atomic():
            jobs.keep_version(row, by="", now=now)
            changed = writing.change(
                row, values, by=by, platform=row.platform, version=models.F("version") + 1, next_at=None
            )
            if changed.version != before:
                jobs.keep_version(changed, by=str(by), now=now)
        return changed

    @extend_schema(responses={200: JobVersionSerializer(many=True)}, filters=False)
    @action(detail=True, methods=["get"], pagination_class=None)
    def versions(self, request: Request, pk: str | None = None) -> Response:
        """Every rule that the job had, the newest first, with what each changed."""
        shown = []
        for row, changes in jobs.versions_of(self.get_object()):
            found = [{"field": name, "before": old, "after": new} for name, old, new in changes]
            shown.append(
                {"number": row.number, "at": row.at, "by": row.by, "rule": row.rule, "changes": found}
            )
        return Response(JobVersionSerializer(shown, many=True).data)

    @extend_schema(request=JobRestoreSerializer, responses={200: JobSerializer})
    @action(detail=True, methods=["post"])
    def restore(self, request: Request, pk: str | None = None) -> Response:
        """Bring an old rule back as a new version. Name, mode, and whether the job is on stay as they are."""
        job = self.get_object()
        asked = JobRestoreSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        version = job.versions.filter(number=asked.validated_data["version"]).first()
        if version is None:
            raise serializers.ValidationError({"version": [_("There is no such version.")]})
        jobs.restore(job, version, by=request.user, now=utcnow())
        return Response(self.get_serializer(job).data)

    @extend_schema(request=JobCloneSerializer, responses={201: JobSerializer})
    @action(detail=True, methods=["post"])
    def clone(self, request: Request, pk: str | None = None) -> Response:
        """A copy under another name, which only watches."""
        job = self.get_object()
        asked = JobCloneSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        copy = jobs.clone(job, name=asked.validated_data["name"], by=request.user, now=utcnow())
        return Response(self.get_serializer(copy).data, status=201)

    @extend_schema(responses={200: DryRunSerializer}, filters=False)
    @action(detail=True, methods=["get"], url_path="dry-run")
    def dry_run(self, request: Request, pk: str | None = None) -> Response:
        """What the job would do just now, device by device; nothing is stored, nothing is sent."""
        return Response(DryRunSerializer(dry_run(self.get_object(), now=utcnow())).data)

    @extend_schema(responses={200: JobTemplateSerializer(many=True)}, filters=False)
    @action(detail=False, methods=["get"], pagination_class=None)
    def templates(self, request: Request) -> Response:
        """Jobs that most people want: ``fields`` are for a POST to this collection, with a platform and a name."""
        return Response(JobTemplateSerializer(TEMPLATES, many=True).data)


# --- webhooks ------------------------------------------------------------------------------------


class WebhookSerializer(PlatformSerializer):
    """An address that a job's ladder may call. Its secret signs the calls; it is written and never read."""

    class Meta:
        model = Webhook
        fields = ["id", "platform", "name", "url", "secret", "is_enabled", "created_at"]
        read_only_fields = ["created_at"]
        extra_kwargs = {"secret": {"write_only": True, "required": False, "max_length": 500}}


class WebhooksView(Reads, Creates, Changes, Deletes, PlatformViewSet):
    """Webhooks of a platform, for those who manage its jobs: an address may hold a secret of its own."""

    model = Webhook
    serializer_class = WebhookSerializer
    related = ("platform",)
    filterset_fields = {"platform": ["exact"], "is_enabled": ["exact"]}
    search_fields = ("name",)
    ordering_fields = ("name", "created_at")
    ordering = ("platform", "name", "pk")

    def visible(self) -> models.QuerySet:
        managed = Webhook.objects.visible_to(self.request.user, Perm.MANAGE_DEVICES)
        return super().visible().filter(pk__in=managed.values("pk"))


# --- maintenance ---------------------------------------------------------------------------------


class MaintenanceSerializer(PlatformSerializer):
    """A time in which automation leaves a platform, a site or a device alone."""

    class Meta:
        model = Maintenance
        fields = ["id", "platform", "site", "device", "reason", "starts_at", "ends_at", "repeats"]


class MaintenanceView(Reads, Creates, Changes, Deletes, PlatformViewSet):
    """Maintenance windows: jobs watch there, and do not act. What repeats does so by the local wall clock."""

    model = Maintenance
    serializer_class = MaintenanceSerializer
    related = ("platform", "site", "device")
    filterset_fields = {
        "platform": ["exact"], "site": ["exact"], "device": ["exact"], "repeats": ["exact"],
        "starts_at": ["gte", "lte"], "ends_at": ["gte", "lte"],
    }  # fmt: skip
    search_fields = ("reason",)
    ordering_fields = ("starts_at", "ends_at")
    ordering = ("-starts_at", "pk")


class HolidaySerializer(PlatformSerializer):
    """A day with other broadcast hours than its weekday; ``hours`` empty: not on air."""

    hours = SpansField(required=False)

    class Meta:
        model = Holiday
        fields = ["id", "platform", "site", "day", "name", "hours"]


class HolidaysView(Reads, Creates, Changes, Deletes, PlatformViewSet):
    """Holidays of a site or of a whole platform."""

    model = Holiday
    serializer_class = HolidaySerializer
    related = ("platform", "site")
    filterset_fields = {"platform": ["exact"], "site": ["exact"], "day": ["exact", "gte", "lte"]}
    search_fields = ("name",)
    ordering_fields = ("day",)
    ordering = ("-day", "pk")


# --- cases ---------------------------------------------------------------------------------------


class CaseSerializer(PlatformSerializer):
    """An incident as it stands."""

    redacted_fields = ("title", "evidence")
    evidence = serializers.JSONField(read_only=True)

    class Meta:
        model = Case
        fields = [
            "id", "platform", "kind", "title", "device", "parent", "job", "mode", "state", "state_changed_at",
            "opened_at", "down_since", "back_since", "closed_at", "outcome", "evidence", "attempts", "deadline_at",
            "cause_id", "acknowledged_by", "acknowledged_at",
        ]  # fmt: skip
        read_only_fields = fields


class CaseStepSerializer(StepSerializer):
    """One move of a case."""

    class Meta(StepSerializer.Meta):
        model = CaseStep


class CaseEventSerializer(serializers.ModelSerializer):
    """A line of the timeline: a word and its facts."""

    data = serializers.JSONField(read_only=True)

    class Meta:
        model = CaseEvent
        fields = ["at", "kind", "data", "by"]
        read_only_fields = fields


class ActionRunSerializer(serializers.ModelSerializer):
    """One step, and the command or the call that it became; ``call_state`` of a webhook or a notice."""

    step = serializers.JSONField(read_only=True)
    call_state = serializers.CharField(source="call.state", read_only=True, allow_null=True, default=None)

    class Meta:
        model = ActionRun
        fields = ["attempt", "rung", "step", "state", "command", "call_state", "planned_at", "reason"]
        read_only_fields = fields


class RefusalSerializer(serializers.ModelSerializer):
    """Why an attempt did not happen, and when that lifts."""

    data = serializers.JSONField(read_only=True)

    class Meta:
        model = GuardRefusal
        fields = ["attempt", "guard", "reason", "data", "lifts_at", "first_at", "last_at", "times"]
        read_only_fields = fields


class CaseDetailSerializer(CaseSerializer):
    """An incident with its whole story."""

    redacted_fields = (*CaseSerializer.redacted_fields, "events", "refusals")
    steps = CaseStepSerializer(many=True, read_only=True)
    events = CaseEventSerializer(many=True, read_only=True)
    runs = ActionRunSerializer(many=True, read_only=True)
    refusals = RefusalSerializer(many=True, read_only=True)
    answer = serializers.SerializerMethodField()

    class Meta(CaseSerializer.Meta):
        fields = [*CaseSerializer.Meta.fields, "steps", "events", "runs", "refusals", "answer"]
        read_only_fields = fields

    def get_answer(self, row: Case) -> list[str]:
        """Why it was switched, or why not, in sentences."""
        return answer(shares.told_of(row), clock=lambda at: at.isoformat()) if row.device_id else []

    def to_representation(self, row: Case) -> dict[str, Any]:
        """Whoever does not see every device reads no names of neighbours."""
        shown = super().to_representation(row)
        request = self.context.get("request")
        whole = platforms_held(request, Perm.SEE_ALL)
        if row.platform_id in whole:
            return shown
        for line in (*shown["events"], *shown["refusals"]):
            line["data"] = {key: value for key, value in line["data"].items() if key not in NEIGHBOURS}
        return shown


NEIGHBOURS = frozenset({"players", "group"})  # facts of a case that name other devices than its own


class WhyNotSerializer(RefusalSerializer, PlatformSerializer):
    """A line of the why-not journal: ``guard`` and ``reason`` are words of closed lists, ``sentence`` is for people."""

    redacted_fields = ("data", "sentence")
    sentence = serializers.SerializerMethodField()

    class Meta(RefusalSerializer.Meta):
        fields = ["id", "platform", "device", "job", "case", *RefusalSerializer.Meta.fields, "sentence"]
        read_only_fields = fields

    def get_sentence(self, row: GuardRefusal) -> str:
        """Why not, in the caller's language."""
        return refusal_sentence(row.guard, row.reason, row.data, names=self._names(row))

    def to_representation(self, row: GuardRefusal) -> dict[str, Any]:
        """Whoever does not see every device reads no names of neighbours."""
        shown = super().to_representation(row)
        if not self._names(row):
            shown["data"] = {key: value for key, value in shown["data"].items() if key not in NEIGHBOURS}
        return shown

    def _names(self, row: GuardRefusal) -> bool:
        return row.platform_id in platforms_held(self.context.get("request"), Perm.SEE_ALL)


class WhyNotView(Reads, PlatformViewSet):
    """The why-not journal: what a job would have done, the guard that objected, and when that lifts."""

    model = GuardRefusal
    serializer_class = WhyNotSerializer
    filterset_fields = {
        "platform": ["exact"], "device": ["exact"], "job": ["exact"], "case": ["exact"], "guard": ["exact", "in"],
        "last_at": ["gte", "lte"],
    }  # fmt: skip
    ordering_fields = ("last_at",)
    ordering = ("-last_at", "-pk")


class CaseCancelSerializer(serializers.Serializer):
    """Why it ends without proof."""

    reason = PlainCharField(max_length=300)


class CaseNoteSerializer(serializers.Serializer):
    """What was seen or done."""

    text = PlainCharField(max_length=NOTE_LENGTH)


class CaseShareSerializer(serializers.Serializer):
    """The link by which anybody reads the answer, and when it is over."""

    url = serializers.CharField(read_only=True)
    expires_at = serializers.DateTimeField(read_only=True)


class CasesView(Reads, PlatformViewSet):
    """Incidents: evidence, attempts, refusals, proof. People take them over, ask for a repair, or end them."""

    model = Case
    serializer_class = CaseSerializer
    write_perm = Perm.CONTROL
    write_scope: ClassVar[str | None] = "command"
    related = ("platform",)
    filterset_fields = {
        "platform": ["exact"], "device": ["exact"], "job": ["exact"], "parent": ["exact"], "kind": ["exact"],
        "state": ["exact", "in"], "cause_id": ["exact"], "opened_at": ["gte", "lte"],
    }  # fmt: skip
    ordering_fields = ("opened_at", "state_changed_at")
    ordering = ("-opened_at", "pk")

    def get_serializer_class(self) -> type[serializers.BaseSerializer]:
        return CaseSerializer if self.action == "list" else CaseDetailSerializer

    def may_change(self, row: Case) -> bool:
        """Rights on the platform; who sees only single devices must own this one, or share it as more than a reader."""
        user = self.request.user
        if not may(user, self.perm_needed(), row.platform_id):
            return False
        if may(user, Perm.SEE_ALL, row.platform_id):
            return True
        device = row.device
        if device is None:
            return False
        return (
            device.owner_id == user.pk
            or device.shares.filter(user=user, level__in=["owner", "admin"]).exists()
        )

    @extend_schema(request=None, responses={200: CaseDetailSerializer})
    @action(detail=True, methods=["post"])
    def acknowledge(self, request: Request, pk: str | None = None) -> Response:
        """Take the case: "mine"."""
        case = self.get_object()
        if not acknowledge(case, by=request.user, now=utcnow()):
            raise Conflict(_("Somebody has this case already, or it has ended."))
        return self._shown(case)

    @extend_schema(request=None, responses={200: CaseDetailSerializer})
    @action(detail=True, methods=["post"])
    def repair(self, request: Request, pk: str | None = None) -> Response:
        """A power cycle now. Guards still object; 409 says which."""
        return self._acted(repair_now, _("No repair was started (%(reason)s)."))

    @extend_schema(request=None, responses={200: CaseDetailSerializer})
    @action(detail=True, methods=["post"])
    def approve(self, request: Request, pk: str | None = None) -> Response:
        """Yes to the step that is proposed, for half an hour after it was. Guards still object; 409 says which."""
        return self._acted(approve, _("There is nothing to approve, or not any more (%(reason)s)."))

    def _acted(self, deed: Callable[..., bool], otherwise: str) -> Response:
        case, now = self.get_object(), utcnow()
        try:
            done = deed(case, by=self.request.user, now=now)
        except CommandForbidden as exc:
            raise PermissionDenied(str(exc)) from exc
        if not done:
            refusal = GuardRefusal.objects.filter(case=case, last_at=now).first()
            reason = f"{refusal.guard}: {refusal.reason}" if refusal else case.state
            raise Conflict(otherwise % {"reason": reason})
        return self._shown(case)

    @extend_schema(request=CaseNoteSerializer, responses={200: CaseDetailSerializer})
    @action(detail=True, methods=["post"])
    def note(self, request: Request, pk: str | None = None) -> Response:
        """Write into the timeline, after the case's end too."""
        case = self.get_object()
        asked = CaseNoteSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        add_note(case, text=asked.validated_data["text"], by=request.user, now=utcnow())
        return self._shown(case)

    @extend_schema(request=CaseCancelSerializer, responses={200: CaseDetailSerializer})
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, pk: str | None = None) -> Response:
        """End the case without proof; what is queued for it does not leave."""
        case = self.get_object()
        asked = CaseCancelSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        if not cancel_case(case, by=request.user, reason=asked.validated_data["reason"], now=utcnow()):
            raise Conflict(_("This case has ended already."))
        return self._shown(case)

    @extend_schema(request=None, responses={200: CaseShareSerializer})
    @action(detail=True, methods=["post"])
    def share(self, request: Request, pk: str | None = None) -> Response:
        """The link by which anybody reads why the device was switched: the one there is, or a new one for a week."""
        case = self.get_object()
        if case.kind != Case.Kind.DEVICE:
            raise Conflict(_("Only the case of one device can be shared."))
        found = shares.share(case, by=request.user, now=utcnow())
        link = {"url": shares.link_of(found), "expires_at": shares.ends_at(found)}
        return Response(CaseShareSerializer(link).data)

    @extend_schema(request=None, responses={200: CaseDetailSerializer})
    @action(detail=True, methods=["post"])
    def unshare(self, request: Request, pk: str | None = None) -> Response:
        """Take the link back."""
        case = self.get_object()
        if not shares.end_share(case, by=request.user, now=utcnow()):
            raise Conflict(_("There is no link to take back."))
        return self._shown(case)

    def _shown(self, case: Case) -> Response:
        return Response(self.get_serializer(self.get_queryset().get(pk=case.pk)).data)
