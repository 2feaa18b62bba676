"""Paths of the machines that read metrics."""

from django.urls import path

from exporters import views

urlpatterns = [
    path("exporters/<int:exporter_id>/metrics", views.exporter_metrics, name="exporter-metrics"),
    path("platforms/<int:platform_id>/metrics", views.platform_metrics, name="platform-metrics"),
    path("platforms/<int:platform_id>/sd", views.platform_targets, name="platform-sd"),
    path("platforms/<int:platform_id>/rules.yml", views.platform_rules, name="platform-rules"),
    path("platforms/<int:platform_id>/dashboard.json", views.platform_dashboard, name="platform-dashboard"),
]
