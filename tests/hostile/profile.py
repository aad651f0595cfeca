"""The number of examples of hypothesis: a parser that must never fail has to be tried with rare cases."""

import os

from hypothesis import HealthCheck, settings

HOSTILE = settings(
    max_examples=5_000 if os.environ.get("HOSTILE") == "full" else 150,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
