"""The console: the site, its home page, its navigation. Pages of single models live in their apps' ``admin``."""
