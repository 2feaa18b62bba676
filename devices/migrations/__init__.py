"""Migrations of devices."""
