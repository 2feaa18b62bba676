"""Pieces of the console that the admin pages of every app share: rights, display, filters, deeds."""
