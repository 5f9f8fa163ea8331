"""The options of tasks and of the output: their limits, what they need, and how boxes are written."""

from __future__ import annotations

import pytest

from specmaskgit_cli.decoding.settings import ORDERS, DecodeSettings
from specmaskgit_cli.errors import SmgError
from specmaskgit_cli.options import Box, GenerateOptions, OutputOptions, options_of
from specmaskgit_cli.options.kinds import Number
from specmaskgit_cli.options.layers import Layer
from specmaskgit_cli.tasks import TASKS

NUMBERS = {name: option.kind for name, option in options_of(GenerateOptions).items() if isinstance(option.kind, Number)}


@pytest.mark.parametrize("name", NUMBERS)
def test_options_take_their_limits_and_nothing_beyond(name):
    prompt = " + ".join(["rain"] * 16) if name == "layer" else "rain"
    low, high, above = NUMBERS[name].low, NUMBERS[name].high, NUMBERS[name].above
    for value in (high,) if above else (high, low):
        assert getattr(GenerateOptions(prompt, **{name: value}), name) == value
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


@pytest.mark.parametrize("kind", [*(task.options for task in TASKS.values()), OutputOptions, Box])
def test_every_option_says_what_it_does_and_takes_its_default(kind):
    for name, option in options_of(kind).items():
        assert option.help.endswith(".") and option.kind.allowed, name
        if option.default not in (..., None):
            assert option.kind.check(name, option.default) == option.default, name


@pytest.mark.parametrize(
    ("text", "box"),
    [
        ("1.5:2", Box(1.5, 2)),
        ("1:2:0:300", Box(1, 2, None, 300)),
        ("1:30-1:32.5", Box(90, 92.5)),
        ("1:00:00-1:00:01-50-90.5", Box(3600, 3601, 50, 90.5)),
        ("90-1:32--300", Box(90, 92, None, 300)),
        ("1e-3:2e-1", Box(0.001, 0.2)),
        (" 2 : ", Box(2, None)),
        ("1:30:1:45", None),
        ("1:75-2:00", None),
        (":", None),
        ("x", None),
    ],
)
def test_boxes_as_people_write_them(text, box):
    if box is not None:
        assert Box.parse(text) == box
        return
    with pytest.raises(SmgError, match="box is '"):
        Box.parse(text)


def test_a_box_ends_with_the_sound():
    assert Box(1).within(1.5) == Box(1, 1.5) == Box(1, 1.509).within(1.5)
    assert Box(1, 1.2).within(1.5) == Box(1, 1.2) and Box(1, 1.6).within(1.5) == Box(1, 1.6)
    with pytest.raises(SmgError, match="begins after the sound"):
        Box(2).within(1.5)
    assert Box(1, 2, 0) == Box(1, 2) != Box(1, 2, 5)


@pytest.mark.parametrize(
    ("text", "times"),
    [
        ("0.5, 2.05,1.8", (0.5, 1.8, 2.05)),
        ("1:30,0", (0, 90)),
        ([2, 1, 2], (1, 2)),
        (0, (0,)),
        ("0.5,x", "at is 'x'; use seconds, m:ss"),
        ("1:75", "at is '1:75'"),
        ("", "at is ''"),
        ([], "at is"),
        ([True], "at is True"),
        ("3601", "at is 3601"),
        (",".join(map(str, range(301))), "at has 301 times; use up to 300"),
    ],
)
def test_times_as_people_write_them(text, times):
    if isinstance(times, tuple):
        assert GenerateOptions("dog", at=text, seconds=100).at == times
        return
    with pytest.raises(SmgError, match=times):
        GenerateOptions("dog", at=text)


@pytest.mark.parametrize(
    ("text", "points"),
    [
        ("0:0,0.1:1,2.5:0.2", ((0, 0), (0.1, 1), (2.5, 0.2))),
        ("1:30:-20dB, 0:0 dB", ((0, 1), (90, 0.1))),
        ([[1, 0.5], (0, 1)], ((0, 1), (1, 0.5))),
        ("0:2", "envelope is 2; use a level"),
        ("0:+3dB", r"envelope is '\+3dB'; use a level"),
        ("0:0", "envelope is silent at all"),
        ("x", "envelope is 'x'; give TIME:LEVEL"),
        ("0:1;2", "envelope is '1;2'"),
        ([[1]], "envelope is"),
        ([], "envelope is"),
    ],
)
def test_envelopes_as_people_write_them(text, points):
    if isinstance(points, tuple):
        assert GenerateOptions("dog", envelope=text, seconds=100).envelope == points
        return
    with pytest.raises(SmgError, match=points):
        GenerateOptions("dog", envelope=text)


def test_a_sound_is_long_enough_for_what_happens_in_it():
    assert GenerateOptions("dog").seconds == 10 and GenerateOptions("dog", at=(12, 1)).seconds == 14
    assert GenerateOptions("dog", envelope="0:0,3:1").seconds == 3
    assert GenerateOptions("dog", envelope="0:1").seconds == 10
    assert GenerateOptions("dog", at=0, envelope="0:1,30:0").seconds == 30
    with pytest.raises(SmgError, match="at has an event at 4 s, and the sound lasts 4 s"):
        GenerateOptions("dog", at="1,4", seconds=4)


@pytest.mark.parametrize(
    ("prompt", "layers"),
    [
        ("rain", [("rain", 0)]),
        ("c++ compiler, 2+2", [("c++ compiler, 2+2", 0)]),
        ("rain:-3dB", [("rain:-3dB", 0)]),  # alone it has nothing to be softer than
        ("rain : -3 dB + distant thunder + crows:+1.5db", [("rain", -3), ("distant thunder", 0), ("crows", 1.5)]),
        ("a:b + c", [("a:b", 0), ("c", 0)]),
        ("rain + + crows", "an empty layer"),
        ("rain +", "an empty layer"),
        ("+ rain", "an empty layer"),
        ("rain + :-3dB", "an empty layer"),
        ("rain + crows:30dB", "a layer at 30 dB; use -60 to 24 dB"),
        (" + ".join("abcdefghijklmnopq"), "17 layers; use up to 16"),
    ],
)
def test_layers_as_people_write_them(prompt, layers):
    if isinstance(layers, list):
        assert GenerateOptions(prompt).layers == tuple(Layer(*layer) for layer in layers)
        return
    with pytest.raises(SmgError, match=layers) as caught:
        GenerateOptions(prompt)
    assert caught.value.field == "prompt"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"prompt": "rain", "stems": True}, "stems are the layers of a scene"),
        ({"prompt": "rain", "layer": 2}, "layer is 2, and the prompt has 1"),
        ({"prompt": "a + b", "layer": 1, "stems": True}, "layer is 1, and stems writes all"),
        ({"prompt": "a + b", "at": 1}, "at is for a single sound, and the prompt has 2"),
        ({"prompt": "a + b", "envelope": "0:1"}, "envelope is for a single sound"),
        ({"prompt": "a + b", "like": "x.wav"}, "like is for a single sound"),
    ],
)
def test_what_does_not_go_with_layers_is_refused(values, message):
    with pytest.raises(SmgError, match=message):
        GenerateOptions(**values)


@pytest.mark.parametrize("values", [{"lufs": -16.0}, {"trim": True}, {"normalize": False}])
def test_stems_keep_their_levels(values):
    with pytest.raises(SmgError, match="layers keep the level"):
        OutputOptions(**values).check(GenerateOptions("a + b", stems=True))
    OutputOptions(**values).check(GenerateOptions("a + b"))
