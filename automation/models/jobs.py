"""Jobs: a set of devices, a condition, guards and an action; and a job's view of each device."""

from dataclasses import replace
from datetime import timedelta

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils.translation import gettext_lazy as _

from automation.calendar import Manners
from automation.conditions import ConditionError, check_comparison, check_promql
from automation.engine import KEPT_CHANGES
from automation.ladder import CYCLE, Do, Rung, rung_of, validate_ladder
from automation.states import Mode, Phase
from devices.models import CommandTemplate, Device, Site
from exporters.models import Exporter
from platforms.models import Platform
from platforms.querysets import PlatformQuerySet
from remosa.lib.clock import utcnow
from remosa.lib.cron import is_cron, shortest
from remosa.lib.fields import validate_week

DAY_S = 86_400
SHORTEST = timedelta(minutes=15)  # between two times of a scheduled job


class Job(models.Model):
    """Watches a set of devices of its platform, and repairs them by a command to what powers them.

    The set is everything of kind player on the platform, narrowed by exporter, site, labels or the
    single devices named. ``version`` grows with each change: what was decided under an older one is
    asked again before anything leaves.
    """

    class Source(models.TextChoices):
        SNAPSHOT = "snapshot", _("what the CMS says")
        PROMQL = "promql", _("Prometheus query")
        ALERT = "alert", _("incoming alerts")
        EVENT = "event", _("events of devices and sockets")
        SCHEDULE = "schedule", _("what the CMS says, at set times")

    class Overlap(models.TextChoices):
        TAKE_OVER = "take_over", _("take it over, if this job may do more and nothing was tried")
        LEAVE = "leave", _("leave it to that job")
        QUEUE = "queue", _("wait until it is closed")

    class Happening(models.TextChoices):
        MAINS_LOST = "mains_lost", _("mains lost")
        MAINS_BACK = "mains_back", _("mains back")
        ALARM = "alarm", _("alarm")
        TEMPERATURE = "temperature", _("temperature out of range")
        LOW_SIGNAL = "low_signal", _("weak signal")
        OFF_UNASKED = "off_unasked", _("output off, and nobody asked for it")

    class OnAir(models.TextChoices):
        ACT = "act", _("repair as at any time")
        WAIT = "wait", _("wait first, then repair")
        SUGGEST = "suggest", _("wait first, then suggest to a person")
        LEAVE = "leave", _("leave alone")

    class OffAir(models.TextChoices):
        BEFORE = "before", _("repair before the opening")
        ACT = "act", _("repair at once")

    class Operator(models.TextChoices):
        LT = "<", "<"
        LE = "<=", "≤"
        EQ = "==", "="
        NE = "!=", "≠"
        GE = ">=", "≥"
        GT = ">", ">"

    PLATFORM_PATH = "platform"
    OWNER_PATHS = ()

    platform = models.ForeignKey(Platform, models.CASCADE, related_name="jobs", verbose_name=_("platform"))
    name = models.CharField(_("name"), max_length=200)
    is_enabled = models.BooleanField(_("enabled"), default=True)
    mode = models.CharField(_("mode"), max_length=16, choices=Mode.choices, default=Mode.SHADOW)
    source = models.CharField(_("looks at"), max_length=16, choices=Source.choices, default=Source.SNAPSHOT)
    exporter = models.ForeignKey(
        Exporter,
        models.CASCADE,
        null=True,
        blank=True,
        related_name="jobs",
        verbose_name=_("only this exporter"),
    )
    site = models.ForeignKey(
        Site, models.CASCADE, null=True, blank=True, related_name="jobs", verbose_name=_("only this site")
    )
    labels = models.JSONField(
        _("only these labels"), default=dict, blank=True, help_text=_('For example {"hall": "A"}.')
    )
    devices = models.ManyToManyField(
        Device, blank=True, related_name="jobs", verbose_name=_("only these devices")
    )
    promql = models.TextField(
        _("query"), blank=True,
        help_text=_('Each selector must carry platform_id="<number>" of this platform; the result is compared below.'),
    )  # fmt: skip
    promql_range_s = models.FloatField(
        _("over the last"), null=True, blank=True,
        validators=[MinValueValidator(60), MaxValueValidator(DAY_S)],
        help_text=_("The comparison must be true all that time. Empty: at the present moment."),
    )  # fmt: skip
    event_kind = models.CharField(
        _("event"), max_length=32, choices=Happening.choices, blank=True,
        help_text=_("Of the player, or of the socket that powers it; the player must have no connection since."),
    )  # fmt: skip
    event_within_s = models.FloatField(
        _("counts for"), default=3600, validators=[MinValueValidator(60), MaxValueValidator(7 * DAY_S)],
        help_text=_("How long after the event the job still looks at the player."),
    )  # fmt: skip
    cron = models.CharField(
        _("times (cron)"), max_length=100, blank=True,
        help_text=_("Minute, hour, day, month, day of the week, by the local clock: 30 7 * * 1-5."),
    )  # fmt: skip
    next_at = models.DateTimeField(_("next time"), null=True, editable=False)
    alert_labels = models.JSONField(
        _("only alerts with these labels"), default=dict, blank=True,
        help_text=_('For example {"alertname": "PlayerOffline"}.'),
    )  # fmt: skip
    operator = models.CharField(_("is"), max_length=2, choices=Operator.choices, default=Operator.EQ)
    threshold = models.FloatField(_("value"), default=0.0)
    clear_threshold = models.FloatField(
        _("over at"), null=True, blank=True,
        help_text=_("The condition is over only when the value is past this one. Empty: the value above."),
    )  # fmt: skip
    hold_s = models.FloatField(
        _("hold"), default=600, validators=[MinValueValidator(0), MaxValueValidator(DAY_S)],
        help_text=_("The condition must hold this long."),
    )  # fmt: skip
    fresh_samples = models.PositiveSmallIntegerField(
        _("fresh samples"), default=3, validators=[MinValueValidator(1), MaxValueValidator(1000)],
        help_text=_("And at least this many new observations must agree."),
    )  # fmt: skip
    keep_firing_s = models.FloatField(
        _("stays raised for"), default=0, validators=[MinValueValidator(0), MaxValueValidator(DAY_S)],
        help_text=_("A case is not closed before all has been well for this long."),
    )  # fmt: skip
    flap_changes = models.PositiveSmallIntegerField(
        _("flapping: changes"), default=6, validators=[MaxValueValidator(KEPT_CHANGES)],
        help_text=_("A device that goes and comes so often is left to a person. 0: never."),
    )  # fmt: skip
    flap_window_s = models.FloatField(
        _("flapping: within"), default=3600, validators=[MinValueValidator(60), MaxValueValidator(DAY_S)]
    )  # fmt: skip
    hours = models.JSONField(
        _("broadcast hours"), default=dict, blank=True, validators=[validate_week],
        help_text=_("Empty: the hours of each site."),
    )  # fmt: skip
    on_air = models.CharField(
        _("in broadcast hours"), max_length=8, choices=OnAir.choices, default=OnAir.SUGGEST
    )
    on_air_wait_s = models.FloatField(
        _("wait in broadcast hours"), default=1800,
        validators=[MinValueValidator(0), MaxValueValidator(DAY_S)],
    )  # fmt: skip
    off_air = models.CharField(
        _("outside broadcast hours"), max_length=8, choices=OffAir.choices, default=OffAir.BEFORE
    )
    lead_s = models.FloatField(
        _("before the opening"), default=3600,
        validators=[MinValueValidator(0), MaxValueValidator(DAY_S)],
    )  # fmt: skip
    evidence_max_age_s = models.FloatField(
        _("evidence not older than"), null=True, blank=True, validators=[MinValueValidator(1)],
        help_text=_("Empty: two poll intervals."),
    )  # fmt: skip
    overlap = models.CharField(
        _("when another job has a case of the device"), max_length=16, choices=Overlap.choices,
        default=Overlap.TAKE_OVER,
    )  # fmt: skip
    template_key = models.CharField(_("command"), max_length=64, default="power_cycle")
    params = models.JSONField(_("parameters"), default=dict, blank=True)
    ladder = models.JSONField(
        _("steps before a person"), default=list, blank=True,
        help_text=_("Empty: the command above, as often as “attempts per case” says."),
    )  # fmt: skip
    max_attempts = models.PositiveSmallIntegerField(
        _("attempts per case"), default=2, validators=[MinValueValidator(1), MaxValueValidator(5)]
    )
    cooldown_s = models.FloatField(
        _("pause per device"),
        default=3600,
        validators=[MinValueValidator(0), MaxValueValidator(7 * DAY_S)],
    )
    max_actions_per_day = models.PositiveSmallIntegerField(
        _("actions per device in 24 h"), default=3, validators=[MinValueValidator(1), MaxValueValidator(24)]
    )
    max_actions_per_week = models.PositiveSmallIntegerField(
        _("actions per device in 7 days"),
        default=6,
        validators=[MinValueValidator(1), MaxValueValidator(168)],
        help_text=_("A device that needs more is chronic, and needs a person."),
    )
    patience_s = models.FloatField(
        _("tell a person after"),
        default=1800,
        validators=[MinValueValidator(1), MaxValueValidator(DAY_S)],
        help_text=_("How long guards may refuse an action before the case is handed to a person."),
    )
    verify_s = models.FloatField(
        _("must be back within"),
        default=900,
        validators=[MinValueValidator(1), MaxValueValidator(DAY_S)],
    )
    stable_s = models.FloatField(
        _("and stay for"), default=300, validators=[MinValueValidator(0), MaxValueValidator(DAY_S)]
    )
    may_darken_others = models.BooleanField(
        _("may darken healthy neighbours"),
        default=False,
        help_text=_("Whether the socket may be cycled while it feeds players that work."),
    )
    version = models.PositiveIntegerField(default=1, editable=False)
    evaluated_at = models.DateTimeField(_("last evaluated"), null=True, editable=False)
    broken_since = models.DateTimeField(null=True, editable=False)
    broken_reason = models.CharField(_("cannot run because"), max_length=300, blank=True, editable=False)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)

    objects = PlatformQuerySet.as_manager()

    class Meta:
        verbose_name = _("job")
        verbose_name_plural = _("jobs")
        ordering = ["platform", "name"]
        constraints = [models.UniqueConstraint(fields=["platform", "name"], name="job_name_per_platform")]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        for field in ("exporter", "site"):
            other = getattr(self, field)
            if other is not None and other.platform_id != self.platform_id:
                raise ValidationError({field: _("This belongs to another platform.")})
        for field in ("labels", "alert_labels"):
            wanted = getattr(self, field)
            if not isinstance(wanted, dict) or not all(isinstance(value, str) for value in wanted.values()):
                raise ValidationError({field: _('Write an object such as {"hall": "A"}.')})
        templates = list(CommandTemplate.objects.filter(key=self.template_key))
        if not any(template.is_repair for template in templates):
            raise ValidationError(
                {"template_key": _("Choose a command that switches power off and on again by itself.")}
            )
        self._check_ladder()
        self._check_condition()

    def _check_ladder(self) -> None:
        try:
            validate_ladder(self.ladder)
        except ValidationError as exc:
            raise ValidationError({"ladder": exc.messages}) from exc
        if self.ladder and sum(rung.do is Do.CYCLE for rung in self.rungs) > self.max_attempts:
            raise ValidationError(
                {"ladder": _("It switches the power more often than “attempts per case” allows.")}
            )
        named = {rung.webhook for rung in self.rungs if rung.do is Do.WEBHOOK}
        own = Platform.objects.filter(pk=self.platform_id, webhooks__in=named)
        if len(named) > own.count():
            raise ValidationError({"ladder": _("Choose a webhook of this platform.")})

    def _check_condition(self) -> None:
        kind = "number" if self.source == self.Source.PROMQL else "state"
        try:
            check_comparison(kind, self.operator, self.threshold, self.clear_threshold)
            if self.source == self.Source.PROMQL:
                check_promql(self.promql, platform_id=self.platform_id)
        except ConditionError as exc:
            raise ValidationError({exc.field: str(exc)}) from exc
        if self.source == self.Source.EVENT and not self.event_kind:
            raise ValidationError({"event_kind": _("Choose the event.")})
        if self.source == self.Source.SCHEDULE:
            if not is_cron(self.cron):
                raise ValidationError(
                    {"cron": _("Write five fields: minute, hour, day, month, day of the week.")}
                )
            if shortest(self.cron, self.time_zone, now=utcnow()) < SHORTEST:
                raise ValidationError({"cron": _("Leave at least 15 minutes between two times.")})

    @property
    def time_zone(self) -> str:
        """Whose clock its times go by."""
        return self.site.time_zone if self.site is not None else self.platform.time_zone

    @property
    def rungs(self) -> tuple[Rung, ...]:
        """What it tries before a person is called, in order."""
        if self.ladder:
            return tuple(rung_of(step) for step in self.ladder)
        return (replace(CYCLE, wait=timedelta(seconds=self.verify_s)),) * self.max_attempts

    @property
    def hold(self) -> timedelta:
        """How long the condition must hold."""
        return timedelta(seconds=self.hold_s)

    @property
    def manners(self) -> Manners:
        """How it behaves by the clock of a place."""
        return Manners(
            self.on_air, timedelta(seconds=self.on_air_wait_s), self.off_air, timedelta(seconds=self.lead_s)
        )


class JobVersion(models.Model):
    """The rule of a job as it was under one number; append-only."""

    PLATFORM_PATH = "job__platform"
    OWNER_PATHS = ()

    job = models.ForeignKey(Job, models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField(_("version"))
    at = models.DateTimeField(_("time"))
    by = models.CharField(_("by"), max_length=100, blank=True)
    rule = models.JSONField(default=dict)

    objects = PlatformQuerySet.as_manager()

    class Meta:
        verbose_name = _("version of a job")
        verbose_name_plural = _("versions of jobs")
        ordering = ["-number"]
        constraints = [models.UniqueConstraint(fields=["job", "number"], name="job_version_once")]

    def __str__(self) -> str:
        return f"{self.job} {self.number}"


class JobState(models.Model):
    """What one job knows of one device: only devices that were ever not fine have a row."""

    PLATFORM_PATH = "job__platform"
    OWNER_PATHS = ("device__owner", "device__shares__user")

    job = models.ForeignKey(Job, models.CASCADE, related_name="states")
    device = models.ForeignKey(Device, models.CASCADE, related_name="job_states")
    phase = models.CharField(_("phase"), max_length=16, choices=Phase.choices, default=Phase.OK)
    since = models.DateTimeField(_("since"), null=True)
    samples = models.PositiveIntegerField(_("fresh samples"), default=0)
    last_sample_at = models.DateTimeField(null=True)
    value = models.FloatField(_("value"), null=True)
    changes = models.JSONField(default=list)  # when it became bad or good: seconds of the epoch, oldest first
    episode = models.PositiveIntegerField(default=0)
    job_version = models.PositiveIntegerField(default=0)

    objects = PlatformQuerySet.as_manager()

    class Meta:
        verbose_name = _("view of a device")
        verbose_name_plural = _("views of devices")
        constraints = [models.UniqueConstraint(fields=["job", "device"], name="job_state_once")]

    def __str__(self) -> str:
        return f"{self.job} · {self.device}: {self.get_phase_display()}"


class JobRun(models.Model):
    """One evaluation; the tick is unique, so that two workers never evaluate the same one."""

    PLATFORM_PATH = "job__platform"
    OWNER_PATHS = ()

    job = models.ForeignKey(Job, models.CASCADE, related_name="runs", verbose_name=_("job"))
    tick = models.CharField(max_length=64)
    at = models.DateTimeField(_("time"))
    looked_at = models.PositiveIntegerField(_("devices"), default=0)
    breach = models.PositiveIntegerField(_("condition true"), default=0)
    unknown = models.PositiveIntegerField(_("no data"), default=0)
    fired = models.PositiveIntegerField(_("fired"), default=0)
    error = models.CharField(_("error"), max_length=300, blank=True)

    objects = PlatformQuerySet.as_manager()

    class Meta:
        verbose_name = _("evaluation")
        verbose_name_plural = _("evaluations")
        ordering = ["-at"]
        constraints = [models.UniqueConstraint(fields=["job", "tick"], name="job_run_once_per_tick")]

    def __str__(self) -> str:
        return f"{self.job} {self.at:%Y-%m-%d %H:%M:%S}"


class Heartbeat(models.Model):
    """When a process last did its round: a silent worker is seen by the web process.

    ``uptime_s`` of the machine's ``boot`` tells a jump of the clock from an absence; after either,
    automation is in doubt of itself until ``doubt_until``.
    """

    name = models.CharField(max_length=32, primary_key=True)
    at = models.DateTimeField()
    uptime_s = models.FloatField(null=True)
    boot = models.CharField(max_length=36, blank=True)
    doubt_reason = models.CharField(max_length=32, blank=True)
    doubt_until = models.DateTimeField(null=True)

    class Meta:
        verbose_name = _("heartbeat")
        verbose_name_plural = _("heartbeats")

    def __str__(self) -> str:
        return self.name
