"""The options of generating: their limits, and what they need."""

from __future__ import annotations

import pytest

from specmaskgit_cli.decoding.settings import DecodeSettings
from specmaskgit_cli.errors import SmgError
from specmaskgit_cli.options import ORDERS, GenerateOptions, options_of
from specmaskgit_cli.options.kinds import Number

NUMBERS = {name: option.kind for name, option in options_of(GenerateOptions).items() if isinstance(option.kind, Number)}


@pytest.mark.parametrize("name", NUMBERS)
def test_options_take_their_limits_and_nothing_beyond(name):
    low, high, above = NUMBERS[name].low, NUMBERS[name].high, NUMBERS[name].above
    for value in (high,) if above else (high, low):
        assert getattr(GenerateOptions("rain", **{name: value}), name) == value
    for value in (low - 1, high + 1, float("nan"), "1", True, *((low,) if above else ())):
        with pytest.raises(SmgError, match=f"{name} is"):
            GenerateOptions("rain", **{name: value})


@pytest.mark.parametrize("order", ORDERS)
def test_options_take_the_orders_of_the_core(order):
    assert GenerateOptions("rain", order=order).decode_settings.order == order


def test_options_give_the_settings_of_the_core():
    options = GenerateOptions("rain", steps=7, guidance=3.0, temperature=0.5, top_p=0.9)
    assert options.decode_settings == DecodeSettings(steps=7, guidance=3.0, temperature=0.5, top_p=0.9)
    assert GenerateOptions("rain").decode_settings == DecodeSettings()
    with pytest.raises(SmgError, match="order is 'zigzag'"):
        GenerateOptions("rain", order="zigzag")


def test_options_need_something_to_make():
    with pytest.raises(SmgError, match="give a prompt"):
        GenerateOptions()
    assert GenerateOptions(like="ref.wav").prompt is None
    assert GenerateOptions("  rain\n").prompt == "rain"
    with pytest.raises(SmgError, match="UTF-8"):
        GenerateOptions("\udcff")
    with pytest.raises(SmgError, match="seed is 4294967295"):
        GenerateOptions("rain", seed=2**32 - 1, num=2)
