import re

import pytest

from specmaskgit_cli.data.captions import _infinitive, _synonyms, _third_person, paraphrases


def test_caption_first_then_unique_wordings_in_a_fixed_order():
    wordings = paraphrases("a dog barking in the distance", "dog_bark")
    assert wordings[0] == "a dog barking in the distance"
    assert len(set(wordings)) == len(wordings)
    assert wordings == paraphrases("a dog barking in the distance", "dog_bark")
    assert paraphrases("a dog barking in the distance", "dog_bark", count=4) == wordings[:4]


@pytest.mark.parametrize(
    ("caption", "label", "expected"),
    [
        ("a dog barking", "dog_bark", {"dog barking", "dog barks", "barking dog", "dog bark", "woof"}),
        ("a dog barking in the distance", "dog_bark", {"distant dog barking", "dog barks in distance"}),
        ("a person sneezing", "sneeze", {"someone sneezing", "person sneezes", "sneeze sound effect"}),
        ("birds singing", "bird", {"birds sing", "singing birds"}),
        ("a footstep on grass", "footsteps_grass", {"footsteps on grass", "walking on grass"}),
        ("a single high note on a tuba", "tuba", {"tuba high note"}),
        ("a kick drum hit, played softly", "kick_drum", {"soft kick drum hit"}),
        ("an explosion", "explosion", {"explosion", "the sound of an explosion", "recording of an explosion"}),
    ],
)
def test_wordings(caption, label, expected):
    assert expected <= set(paraphrases(caption, label))


@pytest.mark.parametrize("caption", ["lightning", "something rattling", "a glass being tapped", "a sword swing"])
def test_words_that_only_look_like_an_action_are_left_alone(caption):
    assert len(paraphrases(caption)) <= 6


@pytest.mark.parametrize(
    ("participle", "present"),
    [
        ("hitting", "hits"),
        ("falling", "falls"),
        ("closing", "closes"),
        ("dying", "dies"),
        ("mooing", "moos"),
        ("crying", "cries"),
        ("rumbling", "rumbles"),
        ("hissing", "hisses"),
        ("howling", "howls"),
        ("charging", "charges"),
        ("changing", "changes"),
    ],
)
def test_present_tense(participle, present):
    assert _third_person(_infinitive(participle)) == present


def test_synonym_table_is_clean():
    table = _synonyms()
    assert len(table) >= 150
    for label, line in table.items():
        words = line.split("|")
        assert re.fullmatch(r"[a-z0-9_]+", label)
        assert len(set(words)) == len(words) and all(w == w.strip().lower() and w for w in words), label
