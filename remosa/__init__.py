"""Composition root of REMOSA: settings, urls, commands. The only place that names every app."""
