"""The product's settings, with a gateway that only notes when it would send its first byte."""

from remosa.settings import *  # noqa: F403
from remosa.settings import SMS_GATEWAYS

SMS_GATEWAYS = {**SMS_GATEWAYS, "bench": "bench._e3_gateway.NotingGateway"}
