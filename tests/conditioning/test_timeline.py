"""Timelines: events cut out of contours, placed at times, and shaped by envelopes."""

import numpy as np
import pytest

from specmaskgit_cli.conditioning.contour import RANGE
from specmaskgit_cli.conditioning.timeline import Timing, cut_event, flattened
from specmaskgit_cli.config.presets import PRESETS
from specmaskgit_cli.errors import UsageError

CONFIG = PRESETS["full"]
STEPS, PATCH = CONFIG.generator.contour_steps, CONFIG.tokenizer.patch_frames
PER_SECOND = CONFIG.mel.frames_per_second


def lines(text):
    """Loudness from digits, X for 1, with a brightness that counts the moments."""
    loudness = [1.0 if digit == "X" else int(digit) / 10 for digit in text]
    return np.stack([loudness, np.arange(len(text)) / 10])


def contour(text):
    both = lines(text).reshape(2, -1, STEPS).transpose(1, 0, 2).reshape(-1, 2 * STEPS)
    return np.concatenate([both, np.ones((len(both), 2))], axis=1)


@pytest.mark.parametrize(
    ("text", "first", "event"),
    [
        ("0009740000", 3, [0.9, 0.7, 0.4]),  # brought to a peak of 1
        ("000059X8520000", 5, [0.9, 1, 0.8, 0.5, 0.2]),  # it began late in its first moment
        ("3333339X96433333", 6, [0.9, 1, 0.9, 0.6, 0.4]),  # until the background is reached
        ("0007300X84085200", 7, [1, 0.8, 0.4]),  # the loudest of three, until the next
        ("88989898", 0, [0.8, 0.8, 0.9, 0.8, 0.9, 0.8, 0.9, 0.8]),  # a steady sound is all of it
    ],
)
def test_an_event_begins_at_the_loudest_onset_and_dies_away(text, first, event):
    loudness, brightness = cut_event(lines(text))
    np.testing.assert_allclose(loudness[: len(event)], np.array(event) + 1 - max(event), atol=1e-9)
    assert brightness[0] == first / 10
    assert loudness[-1] == 0 and (np.diff(loudness[len(event) - 1 :]) < 0).all()


def test_events_are_where_they_were_asked_for():
    at = (0.5, 1.21)
    timeline = Timing(at).timeline(contour("0009740000000000"), 12, CONFIG)
    assert timeline.onsets == tuple(round(time * PER_SECOND) for time in at)
    for onset in timeline.onsets:
        assert timeline.loudness[onset] == 1 and timeline.loudness[onset - 1] == 0
    made = timeline.contour(12, STEPS)
    assert made.shape == (12, 2 * STEPS + 2) and (made[:, -2:] == 1).all()
    loudness = made[:, :STEPS].ravel()
    moments = [int(onset / (PATCH / STEPS)) for onset in timeline.onsets]
    assert (loudness[moments] > 0.7).all() and loudness[: moments[0]].max() == 0 and loudness.max() == 1
    brightness = made[:, STEPS:-2].ravel()
    assert 0.3 <= brightness[moments[0] + 1] <= 0.4 and not brightness[loudness == 0].any()


def test_without_known_contours_events_decay_plainly_and_their_brightness_is_left_open():
    timeline = Timing((0.1,)).timeline(None, 8, CONFIG)
    onset = timeline.onsets[0]
    assert timeline.brightness is None and timeline.loudness[onset] == 1
    assert (np.diff(timeline.loudness[onset:]) <= 0).all() and timeline.loudness[-1] == 0
    assert (timeline.contour(8, STEPS)[:, -2:] == [1, 0]).all()


def test_an_envelope_shapes_events_and_steady_sounds():
    envelope = ((0.0, 1.0), (1.0, 0.1))
    events = Timing((0.0, 1.0), envelope).timeline(contour("0009740000000000"), 10, CONFIG)
    fall = np.log(10) / RANGE
    assert events.loudness[events.onsets[1]] == pytest.approx(1 - fall, abs=0.01)
    steady = Timing((), envelope).timeline(contour("8889888988898889"), 4, CONFIG).loudness
    middle = round(0.5 * PER_SECOND)
    assert steady[middle] == pytest.approx(1 - fall / 2, abs=0.1) and steady.max() == 1
    with pytest.raises(UsageError, match="envelope is silent"):
        Timing((0.1,), ((0.0, 0.0), (5.0, 0.0), (6.0, 1.0))).timeline(None, 4, CONFIG)


def test_what_is_soft_for_a_moment_stays_so_and_what_is_soft_for_long_does_not():
    loudness = np.array([1, 0.5, 1, 0.5] * 10 + [0.3] * 60)
    found = flattened(loudness, 21)
    assert found[20] == 1 and found[21] == 0.5 and found[80] == 1
