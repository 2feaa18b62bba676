"""Migrations of exporters."""
