"""What the property tests draw from, and how: always the same examples."""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st


def examples(count: int):
    """`count` examples, without a clock or a database to make them differ."""
    unhurried = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.filter_too_much]
    return settings(max_examples=count, derandomize=True, deadline=None, database=None, suppress_health_check=unhurried)


NUMBERS = st.one_of(
    st.integers(-3, 300), st.integers(-(2**70), 2**70), st.floats(), st.sampled_from([10**400, 2**32, -0.0, 1e-320])
)
SCALARS = st.one_of(st.none(), st.booleans(), NUMBERS, st.text(max_size=8), st.sampled_from(["\udcff", "halton", "24"]))
JSON = st.recursive(
    SCALARS, lambda v: st.lists(v, max_size=3) | st.dictionaries(st.text(max_size=6), v, max_size=3), max_leaves=6
)
