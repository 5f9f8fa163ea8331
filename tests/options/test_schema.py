"""The JSON Schema of options: what it says is what their dataclasses take."""

from __future__ import annotations

import dataclasses

import pytest

from specmaskgit_cli.errors import UsageError
from specmaskgit_cli.options import InpaintOptions, OutputOptions, options_of, schema_of
from specmaskgit_cli.tasks import TASKS

jsonschema = pytest.importorskip("jsonschema")


def accepts(schema: dict, value: object) -> bool:
    return jsonschema.Draft202012Validator(schema).is_valid(value)


@pytest.mark.parametrize("task", TASKS)
def test_every_option_is_there_with_its_default_and_its_help(task):
    kind = TASKS[task].options
    schema = schema_of(kind, OutputOptions)
    jsonschema.Draft202012Validator.check_schema(schema)
    options = options_of(kind) | {k: v for k, v in options_of(OutputOptions).items() if k not in options_of(kind)}
    assert list(schema["properties"]) == list(options)
    for name, option in options.items():
        described = schema["properties"][name]
        assert described["description"] == option.help
        assert (name in schema["required"]) == (option.default is ...)
        if option.default is not ...:
            assert accepts(described, option.default)


@pytest.mark.parametrize("value", [0, 1, 2, 256, 257, 1.5, "2", True, None, -1])
def test_numbers_are_bounded_as_the_options_are(value):
    schema = schema_of(TASKS["generate"].options)["properties"]["steps"]
    try:
        TASKS["generate"].options(prompt="a", steps=value)
        taken = True
    except UsageError:
        taken = False
    assert accepts(schema, value) == taken


def test_bounds_that_are_left_out_words_and_boxes():
    schema = schema_of(InpaintOptions, limits={"num": 10})["properties"]
    assert not accepts(schema["temperature"], 0) and accepts(schema["temperature"], 0.1)
    assert accepts(schema["order"], "confidence") and not accepts(schema["order"], "any")
    assert accepts(schema["num"], 10) and not accepts(schema["num"], 11)
    boxes = schema["boxes"]
    assert accepts(boxes, [{"start": 1, "end": 2, "low": None}])
    assert not accepts(boxes, []) and not accepts(boxes, [{"begin": 1}]) and not accepts(boxes, "1:2")


def test_a_wrong_value_names_its_option():
    with pytest.raises(UsageError) as caught:
        dataclasses.replace(OutputOptions(), lufs=3)
    assert caught.value.field == "lufs"


@pytest.mark.parametrize("name, right, wrong", [
    ("at", ["0.5,1:02", 3, [0.5, 1], None], [[], ["1"], [4000]]),
    ("envelope", ["0:0,1:-6dB", [[0, 0], [1, 0.5]], None], [[], [[0]], [[0, 2]], 1]),
])  # fmt: skip
def test_times_and_levels_are_text_or_lists(name, right, wrong):
    schema = schema_of(TASKS["generate"].options)["properties"][name]
    assert all(accepts(schema, value) for value in right) and not any(accepts(schema, value) for value in wrong)
