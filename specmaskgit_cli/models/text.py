"""BERT sentence encoder in the shape of all-MiniLM-L6-v2, loading its published weights under their own key names.

Sources: BERT (arXiv 1810.04805), Sentence-BERT mean pooling (arXiv 1908.10084), sentence-transformers/all-MiniLM-L6-v2.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from ..errors import SmgError

_LIMITS = {"num_hidden_layers": (1, 128), "layer_norm_eps": (0, 1)}


@dataclass(frozen=True)
class BertConfig:
    """The fields of a BERT config.json that this encoder reads; the defaults are MiniLM-L6's."""

    vocab_size: int = 30522
    hidden_size: int = 384
    num_hidden_layers: int = 6
    num_attention_heads: int = 12
    intermediate_size: int = 1536
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    layer_norm_eps: float = 1e-12


class _Embeddings(nn.Module):
    def __init__(self, config: BertConfig):
        super().__init__()
        width = config.hidden_size
        self.word_embeddings = nn.Embedding(config.vocab_size, width)
        self.position_embeddings = nn.Embedding(config.max_position_embeddings, width)
        self.token_type_embeddings = nn.Embedding(config.type_vocab_size, width)
        self.LayerNorm = nn.LayerNorm(width, eps=config.layer_norm_eps)

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        positions = torch.arange(input_ids.shape[1], device=input_ids.device)
        x = self.word_embeddings(input_ids) + self.position_embeddings(positions)
        return self.LayerNorm(x + self.token_type_embeddings.weight[0])  # one sentence: always segment 0


class _Residual(nn.Module):
    """Post-norm residual branch: LayerNorm(dense(x) + residual)."""

    def __init__(self, inputs: int, config: BertConfig):
        super().__init__()
        self.dense = nn.Linear(inputs, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def forward(self, x: torch.Tensor, residual: torch.Tensor) -> torch.Tensor:
        return self.LayerNorm(self.dense(x) + residual)


class _Layer(nn.Module):
    def __init__(self, config: BertConfig):
        super().__init__()
        width = config.hidden_size
        self.heads = config.num_attention_heads
        projections = {name: nn.Linear(width, width) for name in ("query", "key", "value")}
        self.attention = nn.ModuleDict({"self": nn.ModuleDict(projections), "output": _Residual(width, config)})
        self.intermediate = nn.ModuleDict({"dense": nn.Linear(width, config.intermediate_size)})
        self.output = _Residual(config.intermediate_size, config)

    def forward(self, x: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        batch, length, width = x.shape
        project = self.attention["self"]
        q, k, v = (
            project[name](x).reshape(batch, length, self.heads, width // self.heads).transpose(1, 2)
            for name in ("query", "key", "value")
        )
        attended = (q @ k.transpose(2, 3) * (width // self.heads) ** -0.5 + bias).softmax(-1) @ v
        x = self.attention["output"](attended.transpose(1, 2).reshape(batch, length, width), x)
        return self.output(F.gelu(self.intermediate["dense"](x)), x)


class SentenceEncoder(nn.Module):
    """BERT, mean over the real tokens, L2 normalisation."""

    def __init__(self, config: BertConfig):
        super().__init__()
        self.config = config
        self.embeddings = _Embeddings(config)
        self.encoder = nn.ModuleDict({"layer": nn.ModuleList(_Layer(config) for _ in range(config.num_hidden_layers))})

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """input_ids, attention_mask: int64 [B, tokens], mask 1 on real tokens. Returns unit-length [B, hidden_size]."""
        mask = attention_mask.to(torch.float32)
        bias = (mask - 1)[:, None, None, :] * 1e4
        x = self.embeddings(input_ids)
        for layer in self.encoder["layer"]:
            x = layer(x, bias)
        return F.normalize((x * mask[..., None]).sum(1) / mask.sum(1, keepdim=True), dim=-1)


def load_sentence_encoder(source: str | Path) -> SentenceEncoder:
    """Load a directory with BERT's config.json and model.safetensors, as published on the Hub.

    Raises:
        SmgError: a file is missing, or the weights are not those of such an encoder.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    source = Path(source)
    for name in ("config.json", "model.safetensors"):
        if not (source / name).is_file():
            raise SmgError(f"{source}: no {name}; give a directory of a BERT sentence encoder")
    path = source / "config.json"
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        values = None
    if not isinstance(values, dict):
        raise SmgError(f"{path}: not the settings of a model")
    if values.get("model_type") != "bert" or values.get("hidden_act", "gelu") != "gelu":
        raise SmgError(f"{source / 'config.json'}: not a BERT encoder with GELU; all-MiniLM-L6-v2 is one")
    config = _read_config(values, path)
    with torch.device("meta"):  # so that a model is only as large as its file, whatever its settings say
        model = SentenceEncoder(config)
    try:
        weights = load_file(source / "model.safetensors")
    except (SafetensorError, OSError) as error:
        raise SmgError(f"{source / 'model.safetensors'}: damaged ({error}); fetch it again") from None
    # Published beside the encoder but unused here: sentence embeddings pool the last layer, not the [CLS] head.
    weights = {k: v for k, v in weights.items() if not k.startswith("pooler.") and k != "embeddings.position_ids"}
    try:
        model.load_state_dict(weights, assign=True)
    except RuntimeError as error:
        raise SmgError(f"{source / 'model.safetensors'}: weights do not match config.json: {error}") from error
    return model.float().eval()


def _read_config(values: dict, path: Path) -> BertConfig:
    names = {field.name for field in dataclasses.fields(BertConfig)}
    config = BertConfig(**{name: value for name, value in values.items() if name in names})
    for name, value in dataclasses.asdict(config).items():
        low, high = _LIMITS.get(name, (1, 1 << 20))
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
            raise SmgError(f"{path}: {name} is {value!r}; a number from {low:g} to {high:g} can be converted")
    if config.hidden_size % config.num_attention_heads:
        raise SmgError(f"{path}: num_attention_heads has to divide hidden_size")
    return config
