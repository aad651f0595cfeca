"""A free port for one listener."""

from services.sim.ports import free_ports


def free_port() -> int:
    """A port on which nobody listens."""
    return free_ports(1)[0]
