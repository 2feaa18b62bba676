"""Tags of the console: states, ages, sentences, and the parts of pages that are built from several apps."""

from datetime import datetime
from typing import Any

from django import template
from django.utils.safestring import SafeString

from automation.models import Case
from automation.selectors import TONES
from automation.sentences import cms_sentence
from automation.states import CaseState
from devices.display import command_pill as pill_of_command
from devices.display import shown_text
from devices.display import state_pill as pill_of_device
from devices.models import Command, Device, Site
from devices.ports import Quote
from exporters.metric_catalogue import metric_of
from notifications.models import Notice
from notifications.rendering import sentence
from platforms.console import display
from remosa.console import commissioning as guides
from remosa.console import timeline
from remosa.lib.clock import utcnow
from remosa.lib.redact import redact
from sms.display import reason_text, trouble_text
from sms.lights import gateway_pill
from sms.models import Gateway

register = template.Library()


@register.simple_tag
def ago(at: datetime | None) -> SafeString | str:
    """How long ago ``at`` was, kept running by the page."""
    return display.ago(at, utcnow())


@register.simple_tag
def moment(at: datetime | None) -> SafeString | str:
    """A clock time in the reader's time zone."""
    return display.moment(at)


@register.simple_tag
def countdown(deadline: datetime | None) -> SafeString | str:
    """What is left until ``deadline``, kept running by the page."""
    return display.countdown(deadline, utcnow())


@register.simple_tag
def pill(text: Any, tone: str = "grey", title: str = "") -> SafeString:
    """A state as a coloured word."""
    return display.pill(text, tone, title)


@register.simple_tag
def server_now() -> str:
    """The server's clock, from which the page's countdowns run."""
    return utcnow().isoformat()


@register.simple_tag
def notice_line(notice: Notice) -> str:
    """What a notice says, in one line."""
    return sentence(notice.kind, notice.data)


@register.simple_tag
def gateway_light(gateway: Gateway) -> SafeString:
    """How an SMS gateway feels, with its age."""
    return gateway_pill(gateway)


@register.simple_tag
def gateway_trouble(error: str) -> str:
    """What an SMS gateway said last."""
    return trouble_text(error)


@register.simple_tag
def device_pill(device: Device) -> SafeString:
    """The state of a device."""
    return pill_of_device(device)


@register.simple_tag
def command_pill(command: Command) -> SafeString:
    """The state of a command."""
    return pill_of_command(command)


@register.simple_tag
def case_pill(case: Case) -> SafeString:
    """The state of a case."""
    return display.pill(case.get_state_display(), TONES[CaseState(case.state)])


@register.simple_tag
def metric_title(name: str) -> str:
    """What people call a metric."""
    return str(metric_of(name).title)


@register.simple_tag
def why_unknown(reason: str) -> str:
    """Why a CMS could not tell, or why it is in doubt."""
    return cms_sentence(reason) if reason else ""


@register.simple_tag(takes_context=True)
def case_story(context: dict[str, Any], case: Case) -> list[timeline.Moment]:
    """The timeline of a case, as its reader may read it."""
    names = timeline.sees_names(context["request"].user, case.platform_id)
    return timeline.case_story(case, names=names)


@register.simple_tag
def command_story(command: Command) -> list[timeline.Moment]:
    """The timeline of a command."""
    return timeline.command_story(command)


@register.simple_tag
def command_failure(command: Command) -> str:
    """Why a command did not leave or did not work."""
    return timeline.failure_text(command)


@register.simple_tag(takes_context=True)
def device_page(context: dict[str, Any], device: Device) -> timeline.DevicePage:
    """What the head of a device's page shows."""
    return timeline.device_page(device, context["request"].user, now=utcnow())


@register.simple_tag(takes_context=True)
def site_map(context: dict[str, Any], site: Site) -> timeline.SiteMap:
    """The power map of a site, as its reader may read it."""
    return timeline.site_map(site, context["request"].user)


@register.simple_tag(takes_context=True)
def commissioning(context: dict[str, Any], socket: Device) -> guides.Guide:
    """The guide that puts a socket into service."""
    return guides.guide(socket, context["request"].user, now=utcnow())


@register.simple_tag(takes_context=True)
def refusal_lines(context: dict[str, Any], rows: Any) -> list[dict[str, Any]]:
    """Why-not lines as sentences, as their reader may read them."""
    return timeline.refusal_lines(rows, context["request"].user)


@register.simple_tag
def sms_text(command: Command) -> str:
    """The text of a command's SMS, passwords and numbers hidden."""
    return redact(shown_text(command))


@register.filter
def sms_reason(reason: str) -> str:
    """Why an SMS is where it is."""
    return reason_text(reason) if reason else ""


@register.filter
def price_text(quote: Quote) -> str:
    """What sending costs."""
    return f"{quote.price.normalize():f} {quote.currency}"
