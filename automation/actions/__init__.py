"""Actions that automation carries out itself; each is named in ``settings.AUTOMATION_ACTIONS``."""
