"""Long work is refused where nobody asked for so much."""

import pytest

from specmaskgit_cli.cli import progress, run
from specmaskgit_cli.cli.progress import refused_above
from specmaskgit_cli.errors import SmgError


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        now = 100.0

        def monotonic(self):
            return self.now

    made = Clock()
    monkeypatch.setattr(progress, "time", made)
    return made


def test_work_that_takes_too_long_ends_early(clock):
    told = []
    update = refused_above(60, lambda done, total: told.append((done, total)))
    clock.now += 30  # of reading the input
    update(1, 1000)
    clock.now += 1
    update(2, 1000)
    assert told == [(1, 1000), (2, 1000)]
    clock.now += 3
    with pytest.raises(SmgError, match="about 17 minutes here; --yes"):
        update(5, 1000)


def test_work_that_does_not_goes_on(clock):
    update = refused_above(60, None)
    for done in range(1, 101):
        clock.now += 0.5
        update(done, 100)


@pytest.mark.parametrize("steps, words", [(100, "90 s"), (100_000, "25 hours"), (10_000_000, "104 days")])
def test_how_long_is_said(clock, steps, words):
    update = refused_above(60, None)
    update(1, steps)
    clock.now += 9
    with pytest.raises(SmgError, match=words):
        update(11, steps)


def test_replay_refuses_what_would_take_weeks(trained, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SMG_MODEL", str(trained[1]))
    monkeypatch.setattr(progress, "TRIAL", 0.0)
    assert run(["generate", "rain", "-s", "2", "--steps", "8", "-o", "a.wav", "-q"]) == 0
    monkeypatch.setattr("specmaskgit_cli.cli.replay.LONGEST", 1e-6)
    assert run(["replay", "a.wav", "-o", "b.wav"]) == 1
    assert "--yes makes it all the same" in capsys.readouterr().err
    assert not (tmp_path / "b.wav").exists()
    assert run(["replay", "a.wav", "-o", "b.wav", "--yes"]) == 0
    assert "identical" in capsys.readouterr().out
