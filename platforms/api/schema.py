"""What the schema says of every resource beside its own words."""

from typing import Any

from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiParameter

KEY = OpenApiParameter(
    "Idempotency-Key", str, OpenApiParameter.HEADER,
    description="1 to 100 printable characters. The same key with the same request has no second effect.",
)  # fmt: skip


class Schema(AutoSchema):
    """Every POST may carry a key; see ``platforms.api.idempotency``."""

    def get_override_parameters(self) -> list[Any]:
        parameters = super().get_override_parameters()
        own_keys = getattr(self.view, "own_keys", None)
        if self.method != "POST" or own_keys is None or self.view.action in own_keys:
            return parameters
        return [*parameters, KEY]
