"""The simulator's gateway: the wire of the existing REMOSA gateway, whose clock runs in UTC.

It neither pushes nor offers delivery reports: a reply of the simulated socket is the proof.
"""

from sms.gateways.remosa import RemosaGateway
from sms.ports import Account


class SimulatorGateway(RemosaGateway):
    """As the existing gateway."""

    def __init__(self, account: Account) -> None:
        super().__init__(account)
        self._defaults["time_zone"] = "UTC"
