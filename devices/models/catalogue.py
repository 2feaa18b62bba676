"""The command catalogue of control devices: data, loaded from ``devices/data``."""

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models
from django.utils import translation
from django.utils.translation import gettext_lazy as _

from devices.catalogue import CatalogueError, ParamSpec, TemplateSpec, check_template
from devices.replies import ReplyRuleError, load_rules
from platforms.roles import Role

REPAIRS = ("cycle", "on")  # power effects after which the output is on


class DeviceModel(models.Model):
    """A model of control device. Nothing is rendered without one: the same bytes differ between models."""

    code = models.CharField(_("code"), max_length=32, unique=True)
    vendor = models.CharField(_("vendor"), max_length=64)
    lines = models.PositiveSmallIntegerField(_("outputs"), default=1)
    reply_rules = models.JSONField(_("reply rules"), default=list, blank=True)
    rules_edited = models.BooleanField(
        _("reply rules are our own"),
        default=False,
        help_text=_("Otherwise an update of REMOSA brings them up to date."),
    )
    bench_checked_at = models.DateTimeField(
        _("checked on the bench"),
        null=True,
        blank=True,
        help_text=_("Automation only acts through models that were checked: cycle, lost ON, replies."),
    )

    class Meta:
        verbose_name = _("device model")
        verbose_name_plural = _("device models")
        ordering = ["code"]

    def __str__(self) -> str:
        return f"{self.vendor} {self.code}"

    def clean(self) -> None:
        try:
            load_rules(self.reply_rules)
        except (ReplyRuleError, TypeError) as exc:
            raise ValidationError({"reply_rules": str(exc)}) from exc


class CommandTemplate(models.Model):
    """One command of one model: body pattern, typed parameters, effect, who may send it."""

    class Effect(models.TextChoices):
        NON_IDEMPOTENT = "non-idempotent", _("acts each time")
        IDEMPOTENT = "idempotent", _("may be repeated")
        QUERY = "query", _("only asks")

    model = models.ForeignKey(DeviceModel, models.CASCADE, related_name="templates", verbose_name=_("model"))
    key = models.CharField(_("key"), max_length=64)
    category = models.CharField(_("category"), max_length=32)
    name_ru = models.CharField(_("name (Russian)"), max_length=200)
    name_en = models.CharField(_("name (English)"), max_length=200)
    body = models.CharField(_("text"), max_length=160)
    params = models.JSONField(_("parameters"), default=list, blank=True)
    effect = models.CharField(_("effect"), max_length=16, choices=Effect.choices)
    power = models.CharField(_("power effect"), max_length=16, blank=True)
    line = models.PositiveSmallIntegerField(_("output"), default=0, help_text=_("0 means all outputs."))
    min_role = models.CharField(_("lowest role"), max_length=16)
    dangerous = models.BooleanField(_("dangerous"), default=False)
    source = models.CharField(_("source"), max_length=200, blank=True)
    is_edited = models.BooleanField(
        _("our own"), default=False, help_text=_("Otherwise an update of REMOSA brings it up to date.")
    )

    class Meta:
        verbose_name = _("command template")
        verbose_name_plural = _("command templates")
        ordering = ["model", "category", "key"]
        constraints = [models.UniqueConstraint(fields=["model", "key"], name="template_key_per_model")]

    def __str__(self) -> str:
        return f"{self.model.code}: {self.name}"

    @property
    def name(self) -> str:
        """The name in the language of the reader."""
        return self.name_ru if (translation.get_language() or "").startswith("ru") else self.name_en

    def clean(self) -> None:
        try:
            check_template(self.spec)
        except CatalogueError as exc:
            names = {field.name for field in self._meta.concrete_fields}
            raise ValidationError({exc.column: exc.problem} if exc.column in names else str(exc)) from exc
        twins = CommandTemplate.objects.filter(model=self.model_id, body=self.body).exclude(pk=self.pk)
        if twins.exists():
            raise ValidationError({"body": _("Another command of this model sends the same text.")})

    @property
    def is_repair(self) -> bool:
        """Whether a job may send it: harmless to settings, and the output is on again afterwards by itself."""
        return self.power in REPAIRS and self.is_harmless

    @property
    def is_harmless(self) -> bool:
        """Whether it leaves settings and numbers alone, and needs no higher role than a manager's."""
        return not self.dangerous and self.min_role in (Role.USER, Role.MANAGER)

    @property
    def spec(self) -> TemplateSpec:
        """The template as the pure modules know it."""
        return TemplateSpec(
            model=self.model.code, key=self.key, category=self.category, name_ru=self.name_ru, name_en=self.name_en,
            body=self.body, params=tuple(ParamSpec.from_dict(item) for item in self.params), effect=self.effect,
            power=self.power, min_role=self.min_role, source=self.source, line=self.line, dangerous=self.dangerous,
        )  # fmt: skip


class CatalogueVersion(models.Model):
    """What a model understood, and what its replies meant, from ``at`` on; kept for ever."""

    model = models.ForeignKey(DeviceModel, models.CASCADE, related_name="versions", verbose_name=_("model"))
    number = models.PositiveIntegerField(_("version"))
    what = models.CharField(_("what changed"), max_length=200)
    by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+", verbose_name=_("person")
    )
    at = models.DateTimeField(_("time"))
    content = models.JSONField(_("content"), default=dict)  # {"templates": [...], "rules": [...]}

    class Meta:
        verbose_name = _("version of a model")
        verbose_name_plural = _("versions of models")
        ordering = ["-at", "-pk"]
        constraints = [models.UniqueConstraint(fields=["model", "number"], name="catalogue_version_number")]

    def __str__(self) -> str:
        return f"{self.model} · {self.number}"


class BenchCheck(models.Model):
    """One passed check of a model (and firmware) on the bench; kept for ever, also when it was withdrawn."""

    model = models.ForeignKey(
        DeviceModel, models.CASCADE, related_name="bench_checks", verbose_name=_("model")
    )
    firmware = models.CharField(_("firmware"), max_length=64, blank=True)
    replies = models.JSONField(_("replies"), default=dict)  # {step: what the socket answered, masked}
    passed_at = models.DateTimeField(_("passed"))
    by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+", verbose_name=_("person")
    )
    withdrawn_at = models.DateTimeField(_("withdrawn"), null=True)
    withdrawn_why = models.CharField(_("why"), max_length=300, blank=True)

    class Meta:
        verbose_name = _("bench check")
        verbose_name_plural = _("bench checks")
        ordering = ["-passed_at", "-pk"]

    def __str__(self) -> str:
        return f"{self.model} {self.firmware}".strip()
