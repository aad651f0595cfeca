"""Lengths of time as people say them. Pure."""


def span(seconds: float) -> str:
    """Coarse: "90 s", "24 min", "3 h", "4 d"."""
    for unit, unit_s in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * unit_s:
            return f"{seconds / unit_s:.0f} {unit}"
    return f"{seconds:.0f} s"


def exact(seconds: float) -> str:
    """In one or two units: "45 s", "12 min", "3 h 5 min", "2 d 4 h"."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    for unit, unit_s, part, part_s in (("d", 86_400, "h", 3_600), ("h", 3_600, "min", 60)):
        if whole >= unit_s:
            rest = whole % unit_s // part_s
            return f"{whole // unit_s} {unit}" + (f" {rest} {part}" if rest else "")
    return f"{whole // 60} min"
