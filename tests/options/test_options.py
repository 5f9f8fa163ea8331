"""The options of generating: their limits, and what they need."""

from __future__ import annotations

import pytest

from specmaskgit_cli.decoding import sampling
from specmaskgit_cli.errors import SmgError
from specmaskgit_cli.options.base import ORDERS, RANGES, GenerateOptions


@pytest.mark.parametrize("name", RANGES)
def test_options_take_their_limits_and_nothing_beyond(name):
    low, high, inclusive = RANGES[name]
    for value in (high, low) if inclusive else (high,):
        assert getattr(GenerateOptions("rain", **{name: value}), name) == value
    for value in (low - 1, high + 1, float("nan"), "1", True, *(() if inclusive else (low,))):
        with pytest.raises(SmgError, match=f"{name} is"):
            GenerateOptions("rain", **{name: value})


def test_options_know_the_orders_of_the_core():
    assert ORDERS == sampling.ORDERS


def test_options_need_something_to_make():
    with pytest.raises(SmgError, match="give a prompt"):
        GenerateOptions()
    assert GenerateOptions(like="ref.wav").prompt is None
    assert GenerateOptions("  rain\n").prompt == "rain"
    with pytest.raises(SmgError, match="UTF-8"):
        GenerateOptions("\udcff")
    with pytest.raises(SmgError, match="seed is 4294967295"):
        GenerateOptions("rain", seed=2**32 - 1, num=2)
