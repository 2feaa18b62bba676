"""The sidebar's checks by name: which lines a person sees, and which line is the open one."""

from django.urls import reverse

from remosa.console.navigation import has_several, is_superadmin, listed, may_open, sees_all

cases = may_open("automation.case")
notices = may_open("notifications.notice")
devices = may_open("devices.device")
sites = may_open("devices.site")
onboarding = may_open("devices.onboarding")
commands = may_open("devices.command")
jobs = may_open("automation.job")
alerts = may_open("automation.alert")
alert_sources = may_open("automation.alertsource")
webhooks = may_open("automation.webhook")
refusals = may_open("automation.guardrefusal")
switches = may_open("platforms.killswitch")
exporters = may_open("exporters.exporter")
targets = may_open("exporters.exportertarget")
gateways = may_open("sms.gateway")
queue = sees_all
outbox = may_open("sms.smsmessage")
inbox = may_open("sms.inboundsms")
platforms = may_open("platforms.platform")
members = may_open("platforms.membership")
invitations = may_open("platforms.invitation")
tokens = may_open("platforms.apitoken")
ledger = may_open("platforms.ledgerentry")
audit = may_open("platforms.auditevent")
operator = is_superadmin
several = has_several

DEVICES = reverse("admin:devices_device_changelist")
on_player = listed(DEVICES, kind__exact="player")
on_socket = listed(DEVICES, kind__exact="socket")
