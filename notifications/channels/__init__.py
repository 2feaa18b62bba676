"""Channels to people, one small module each."""
