"""Tells people: notices in the console and by e-mail."""
