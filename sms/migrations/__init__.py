"""Migrations of sms."""
