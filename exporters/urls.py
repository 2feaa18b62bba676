"""Paths of the machines that read metrics."""

from django.urls import URLPattern

urlpatterns: list[URLPattern] = []
