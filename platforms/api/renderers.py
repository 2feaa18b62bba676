"""The browsable API is for people who are signed in; everybody else reads JSON."""

from collections.abc import Mapping
from typing import Any

from rest_framework.renderers import BrowsableAPIRenderer, JSONRenderer


class BrowsableForPeople(BrowsableAPIRenderer):
    """HTML with forms whose choices are the reader's own; plain JSON for whoever is not signed in."""

    def render(
        self,
        data: Any,
        accepted_media_type: str | None = None,
        renderer_context: Mapping[str, Any] | None = None,
    ) -> Any:
        context = renderer_context or {}
        request, response = context.get("request"), context.get("response")
        if request is not None and request.user and request.user.is_authenticated:
            return super().render(data, accepted_media_type, renderer_context)
        if response is not None:
            response["Content-Type"] = JSONRenderer.media_type
        return JSONRenderer().render(data, JSONRenderer.media_type, context)
