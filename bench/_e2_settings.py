"""The product's settings, with the peer of E2 among its paths."""

from remosa.settings import *  # noqa: F403

ROOT_URLCONF = "bench._e2_urls"
