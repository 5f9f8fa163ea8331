"""Other wordings of a caption, so that a prompt need not be worded like the training data to be understood."""

from __future__ import annotations

import functools
import json
import re
from pathlib import Path

_ARTICLE = re.compile(r"\b(?:a|an|the) ")
_PERSON = re.compile(r"^(?:a|the) (?:person|man|woman|cartoon character) ")
_NOTE = re.compile(r"^a (?:single )?((?:high |low )?note) on (?:an? )?(.+)$")
_FOOTSTEP = re.compile(r"^a footstep (.+)$")
_DISTANT = re.compile(r"^(?:an? |the )?(.+) in the distance$")
_LOUDNESS = re.compile(r"^(?:an? )?(.+), played (softly|hard)$")
# One to three words without a preposition, then a participle, then whatever it acts on.
_ACTION = re.compile(
    r"^(?:(?P<article>an?|the) )?"
    r"(?P<subject>(?:(?!(?:of|on|in|at|with|and|by|from|being) )[a-z-]+ ){1,3}?)"
    r"(?P<verb>[a-z]{2,}ing)(?P<rest>(?: .+)?)$"
)
_NOT_VERBS = frozenset(
    [
        "being",
        "boing",
        "karinding",
        "boxing",
        "building",
        "ding",
        "during",
        "evening",
        "gatling",
        "lightning",
        "morning",
        "nothing",
        "ping",
        "plating",
        "ring",
        "sling",
        "something",
        "spring",
        "sting",
        "string",
        "swing",
        "ting",
        "warning",
        "wing",
        "clothing",
    ]
)
# Participle stems that take back an e: by spelling (dance, rumble, charge, pulse, sneeze), and those left over.
_E_SPELLING = re.compile(r"(?:[cvu]|[^aeiloruw]l|[aeiour]g|[^s]s|[^z]z|[flr]at)$")
_E_STEMS = frozenset(
    [
        "backfir",
        "bit",
        "brak",
        "breath",
        "chang",
        "chim",
        "collid",
        "com",
        "dron",
        "explod",
        "fad",
        "fir",
        "flar",
        "ignit",
        "mak",
        "min",
        "plung",
        "rid",
        "scrap",
        "scrib",
        "shak",
        "slid",
        "snor",
        "strik",
        "tak",
        "typ",
        "whin",
        "wip",
        "writ",
    ]
)


@functools.cache
def _synonyms() -> dict[str, str]:
    return json.loads(Path(__file__).with_name("synonyms.json").read_text(encoding="utf-8"))


def paraphrases(caption: str, label: str = "", count: int | None = None) -> list[str]:
    """Wordings that a user may type for the sound of `caption`, the caption itself first.

    `label` is the snake_case class of the sound ("dog_bark"), whose words and hand-written synonyms are added.
    The order is fixed and the strings are unique; `count` keeps only the first so many.
    """
    caption = " ".join(caption.split())
    bare = _ARTICLE.sub("", caption)
    name = label.replace("_", " ")
    synonyms = _synonyms().get(label, "")
    found = [caption, bare, *_reworded(caption), name, *(synonyms.split("|") if synonyms else [])]
    found += [f"the sound of {caption}", f"{bare} sound effect", f"recording of {caption}", f"sound of {bare}"]
    if name:
        found += [f"{name} sound", f"{name} sound effect"]
    unique = dict.fromkeys(text for text in found if text)
    return list(unique)[:count]


def _reworded(caption: str) -> list[str]:
    found = []
    if match := _ACTION.match(caption):
        verb, rest = match["verb"], match["rest"]
        subject = match["subject"].strip()
        chained = re.search(r" and \w+ing\b", rest)  # "passing and sounding its horn": both would have to change
        if verb not in _NOT_VERBS and subject.split()[-1] != "something" and not chained:
            plural = not match["article"] and re.search(r"[^su]s$", subject)
            present = _infinitive(verb) if plural else _third_person(_infinitive(verb))
            found.append(_ARTICLE.sub("", f"{subject} {present}{rest}"))
            if not rest:
                found.append(f"{verb} {subject}")
    if match := _PERSON.match(caption):
        found.append(f"someone {caption[match.end() :]}")
    if match := _DISTANT.match(caption):
        found.append(f"distant {match[1]}")
    if match := _LOUDNESS.match(caption):
        found += [f"{'soft' if match[2] == 'softly' else 'hard'} {match[1]}", match[1]]
    if match := _NOTE.match(caption):
        found += [f"{match[2]} {match[1]}", f"{match[1]} played on {match[2]}"]
    if match := _FOOTSTEP.match(caption):
        found += [f"footsteps {match[1]}", f"walking {match[1]}", _ARTICLE.sub("", f"steps {match[1]}")]
    return found


def _infinitive(participle: str) -> str:
    stem = participle[:-3]
    if stem == "dy":
        return "die"
    if re.search(r"([bdgkmnptv])\1$", stem):  # running, hitting; but falling, hissing, buzzing
        return stem[:-1]
    return stem + "e" if stem in _E_STEMS or _E_SPELLING.search(stem) else stem


def _third_person(verb: str) -> str:
    if re.search(r"(?:s|sh|ch|x|z|[^o]o)$", verb):
        return verb + "es"
    if re.search(r"[^aeiou]y$", verb):
        return verb[:-1] + "ies"
    return verb + "s"
