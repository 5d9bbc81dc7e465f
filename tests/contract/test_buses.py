"""Every bus passes one contract."""

from dovetail.runtime.bus.local import LocalBus
from dovetail.testing.bus_contract import CAPACITY, BusContract


class TestLocalBus(BusContract):
    def make_bus(self):
        return LocalBus(capacity=CAPACITY)
