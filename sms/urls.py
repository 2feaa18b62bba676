"""Paths of the gateways' callbacks."""

from django.urls import path

from sms import webhooks

urlpatterns = [
    path("<uuid:hook_id>/report/", webhooks.report, name="sms-report"),
    path("<uuid:hook_id>/inbound/", webhooks.inbound, name="sms-inbound"),
]
