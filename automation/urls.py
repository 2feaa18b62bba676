"""Paths of incoming alerts."""

from django.urls import path

from automation import webhooks

urlpatterns = [
    path("<uuid:source_id>/", webhooks.alerts, name="alerts-hook"),
    path("<uuid:source_id>/api/v2/alerts", webhooks.alerts, name="alerts-hook-prometheus"),
]
