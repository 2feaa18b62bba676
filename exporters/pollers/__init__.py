"""One module per kind of CMS; ``settings.EXPORTERS`` names them, ``exporters.ports.Poller`` is what
they keep to."""
