"""Lengths of time as people say them. Pure."""


def span(seconds: float) -> str:
    """Coarse: "90 s", "24 min", "3 h", "4 d"."""
    for unit, unit_s in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * unit_s:
            return f"{seconds / unit_s:.0f} {unit}"
    return f"{seconds:.0f} s"
