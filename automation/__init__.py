"""Judges what was seen, opens cases, acts through devices, verifies, escalates. It never imports ``sms``."""
