"""Sockets that obey the catalogue: reads an SMS text with the product's own command catalogue."""

from devices.catalogue import TemplateSpec, load_catalogue, parse_body
from remosa.simulator.sockets import Understand, Understood


def catalogue_reader() -> Understand:
    """A reader of (model, text) over the shipped catalogue; None for what no command of the model matches."""
    by_model: dict[str, list[TemplateSpec]] = {}
    for spec in load_catalogue():
        by_model.setdefault(spec.model, []).append(spec)

    def understand(model: str, text: str) -> Understood | None:
        parsed = parse_body(by_model.get(model, []), text)
        if parsed is None:
            return None
        spec, params = parsed
        return Understood(spec.key, spec.category, spec.power, spec.line, params)

    return understand
