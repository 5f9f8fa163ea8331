"""What is to be converted: which kind of model it is, and where its files are."""

from __future__ import annotations

import json
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath

from ..checkpoint.hub.names import HubName
from ..checkpoint.registry import expanded
from ..errors import SmgError

CONFIG = "config.json"
# Beside the weights: settings, texts, and the tokenizer of texts.
DOCUMENTS = (CONFIG, "README.md", "preprocessor_config.json", "processor_config.json", "tokenizer.json")
# File names of weights, those to prefer first.
_GENERATOR = ("bigvgan_generator.pt", "*generator*.safetensors", "*generator*.pt", "*generator*.pth", "*generator*.tar",
              "generator", "g_[0-9]*")  # fmt: skip
_TRANSFORMERS = ("model.safetensors", "pytorch_model.bin")
WEIGHTS = {
    "hifigan": _GENERATOR,
    "bigvgan": _GENERATOR,
    "clap": _TRANSFORMERS,
    "text-encoder": _TRANSFORMERS[:1],
}
KINDS = "HiFi-GAN, BigVGAN, CLAP (unfused) and BERT sentence encoders"


@dataclass(frozen=True)
class Source:
    """A published model.

    Attributes:
        kind: one of WEIGHTS.
        config: the contents of its config.json.
        weights: the file of weights; what else there is lies beside it.
        license: as the header of its README.md has it, or empty.
        name: what it is called in the checkpoint that is made of it.
    """

    kind: str
    config: dict
    weights: Path
    license: str
    name: str

    @property
    def folder(self) -> Path:
        return self.weights.parent

    @property
    def config_path(self) -> Path:
        return self.folder / CONFIG


def open_source(name: str) -> Source:
    """Find a published model: a file of weights, a directory that has one, at its top or below, or "owner/name" on the
    Hub, of which the files that are needed are downloaded.

    Raises:
        SmgError: there is no such thing, it is of no kind that can be converted, or the download failed.
    """
    path = expanded(name)
    if path.is_file():
        return _read(path.parent, path, path.stem)
    if path.is_dir():
        folder = _model_folder(path)
        return _read(folder, None, path.resolve().name)
    if hub := HubName.parse(name):
        from ..checkpoint.hub.foreign import fetch_published

        folder = fetch_published(hub, lambda folder, names: [_choose(_kind(folder)[0], names, name)], DOCUMENTS)
        return _read(folder, None, hub.repo.partition("/")[2])
    raise SmgError(f"{name}: no such file or directory, and no owner/name of a model on the Hub")


def _model_folder(path: Path) -> Path:
    """The directory nearest to the top that has a config.json of a kind that can be converted."""
    found = sorted(path.rglob(CONFIG), key=lambda config: (len(config.parts), config))
    if not found:
        raise SmgError(f"{path}: no {CONFIG} in it; name the directory of a published model")
    for config in found[:-1]:
        try:
            _kind(config.parent)
        except SmgError:
            continue
        return config.parent
    return found[-1].parent


def _read(folder: Path, weights: Path | None, name: str) -> Source:
    kind, config = _kind(folder)
    if weights is None:
        names = [path.name for path in folder.iterdir() if path.is_file()]
        weights = folder / _choose(kind, names, str(folder))
    return Source(kind, config, weights, _license(folder / "README.md"), name)


def _kind(folder: Path) -> tuple[str, dict]:
    """(kind, settings) of the model in a directory, by its config.json."""
    path = folder / CONFIG
    try:
        config = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise SmgError(f"{path}: no such file; put the model's {CONFIG} beside its weights") from None
    except (ValueError, RecursionError):
        raise SmgError(f"{path}: not JSON") from None
    if isinstance(config, dict):
        if config.get("model_type") == "clap":
            return "clap", config
        if config.get("model_type") == "bert":
            return "text-encoder", config
        if "upsample_rates" in config and "resblock_kernel_sizes" in config:
            return "bigvgan" if "activation" in config else "hifigan", config
    raise SmgError(f"{path}: not of a kind that can be converted; those are {KINDS}")


def _choose(kind: str, names: list[str], where: str) -> str:
    """The one file of weights among file names."""
    for pattern in WEIGHTS[kind]:
        found = sorted(name for name in names if fnmatch(PurePosixPath(name).name, pattern) and "/" not in name)
        if len(found) > 1:
            raise SmgError(f"{where}: has {', '.join(found)}; name one of these files")
        if found:
            return found[0]
    raise SmgError(f"{where}: no weights of a {kind} in it; looked for {', '.join(WEIGHTS[kind])}")


def _license(card: Path) -> str:
    from huggingface_hub import ModelCard

    try:
        return str(ModelCard.load(card).data.license or "")
    except Exception:  # no card, or one without a header that can be read: of the YAML parser, OSError, ValueError
        return ""
