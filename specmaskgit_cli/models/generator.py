"""SpecMaskGIT's generator: a bidirectional Transformer that fills masked tokens (arXiv 2406.17672, section 3).

As in the paper, a masked slot holds the projected condition: the condition is the mask token, and a learned mask
token stands for "no condition". Beyond it: a patch's residual codes enter as their summed vector and are predicted
one level after another by a small head (as in RQ-Transformer, Lee et al. 2022), rotary positions in time let the
grid have any number of columns, and the condition also scales and shifts every layer.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..conditioning.condition import Layout
from ..conditioning.style import STATISTICS
from ..config.settings import GeneratorConfig, TokenizerConfig
from .layers import full_precision, fused, gelu, pick


class Attention(nn.Module):
    """Multi-head self-attention with normalised queries and keys and rotary column positions."""

    def __init__(self, config: GeneratorConfig):
        super().__init__()
        self.heads = config.heads
        self.qkv = nn.Linear(config.width, 3 * config.width)
        self.out = nn.Linear(config.width, config.width)
        self.query_scale = nn.Parameter(torch.ones(config.width // config.heads))
        self.key_scale = nn.Parameter(torch.ones(config.width // config.heads))

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, cells: Tensor | None = None) -> Tensor:
        """States [B, n, width] to what attention adds to them, or [B, m, width] of the `cells` int64 [B, m] alone."""
        if torch.compiler.is_exporting():
            return self._fused(x, cos, sin, cells)
        b, n, width = x.shape
        q, k, v = self.qkv(x).reshape(b, n, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        q = rotate(rms_norm(q) * self.query_scale, cos, sin)
        k = rotate(rms_norm(k) * self.key_scale, cos, sin)
        with full_precision(x):
            y = F.scaled_dot_product_attention(q, k, v.to(q.dtype)).transpose(1, 2).reshape(b, n, width)
        return self.out(y if cells is None else pick(y, cells))

    def _fused(self, x: Tensor, cos: Tensor, sin: Tensor, cells: Tensor | None) -> Tensor:
        """The same for an exported graph: in the operators and the layouts that take ONNX Runtime the least time."""
        query, key, value = self.qkv.weight.unflatten(0, (3, -1)).unbind()
        query_bias, key_bias, value_bias = self.qkv.bias.unflatten(0, (3, -1)).unbind()
        places = torch.arange(x.shape[1])[None].expand(x.shape[:2])
        asking, asked = (x, places) if cells is None else (pick(x, cells), cells)
        q = self._placed(F.linear(asking, query, query_bias), self.query_scale, asked, cos, sin)
        k = self._placed(F.linear(x, key, key_bias), self.key_scale, places, cos, sin)
        v = F.linear(x, value)
        y = fused("MultiHeadAttention", (q, k, v), q.shape, num_heads=self.heads)
        # Attention only averages over values: their bias comes out as it went in, and joins that of the next product.
        return F.linear(y, self.out.weight, self.out.bias + self.out.weight @ value_bias)

    def _placed(self, x: Tensor, scale: Tensor, places: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        x = (rms_norm(x.unflatten(-1, (self.heads, -1))) * scale).flatten(-2)
        return fused("RotaryEmbedding", (x, places, cos, sin), x.shape, num_heads=self.heads)


class Block(nn.Module):
    """Pre-norm Transformer block; `modulation` [B, 4, width] holds scale and shift of both norms, or is None."""

    def __init__(self, config: GeneratorConfig):
        super().__init__()
        width, hidden = config.width, int(config.width * config.mlp_ratio)
        self.norm_1, self.norm_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(config)
        self.up, self.down = nn.Linear(width, hidden), nn.Linear(hidden, width)
        self.dropout = nn.Dropout(config.dropout)
        self.modulate = nn.Linear(width, 4 * width) if config.modulation else None
        if self.modulate is not None:
            nn.init.zeros_(self.modulate.weight)
            nn.init.zeros_(self.modulate.bias)

    def forward(self, x: Tensor, condition: Tensor, cos: Tensor, sin: Tensor, cells: Tensor | None = None) -> Tensor:
        """States [B, n, width] to states, or to those [B, m, width] of the `cells` int64 [B, m] alone."""
        y, z = self.norm_1, self.norm_2
        kept = x if cells is None else pick(x, cells)
        if self.modulate is None:
            x = kept + self.dropout(self.attention(y(x), cos, sin, cells))
            return x + self.dropout(self.down(gelu(self.up(z(x)))))
        scale_1, shift_1, scale_2, shift_2 = self.modulate(condition).unflatten(-1, (4, 1, -1)).unbind(1)
        x = kept + self.dropout(self.attention(y(x) * (1 + scale_1) + shift_1, cos, sin, cells))
        hidden = self.up(z(x) * (1 + scale_2) + shift_2)
        return x + self.dropout(self.down(gelu(hidden)))


class Generator(nn.Module):
    """Tokens, mask and condition to logits.

    `codebooks` [levels, size, dim] is the tokenizer's: the residual codes are embedded through it, and the logits are
    products with it, so that codes that sound alike share what is learned.
    """

    def __init__(self, config: GeneratorConfig, tokenizer: TokenizerConfig, rows: int):
        super().__init__()
        width, levels, size, dim = config.width, tokenizer.levels, tokenizer.codebook_size, tokenizer.codebook_dim
        self.config, self.levels = config, levels
        self.register_buffer("codebooks", torch.randn(levels, size, dim))
        # The condition's dimensions are standardised: raw sentence embeddings differ little between sounds.
        self.register_buffer("condition_mean", torch.zeros(config.whole_size))
        self.register_buffer("condition_scale", torch.ones(config.whole_size))
        if config.style_dims:  # how styles are told from sounds, see `style.Projection`
            statistics = STATISTICS * rows * tokenizer.patch_bands
            self.register_buffer("style_mean", torch.zeros(statistics))
            self.register_buffer("style_scale", torch.ones(statistics))
            self.register_buffer("style_basis", torch.zeros(config.style_dims, statistics))
        self.token_in = nn.Linear(dim, width)
        self.row = nn.Parameter(torch.randn(rows, 1, width) * 0.02)
        self.kind = nn.Parameter(torch.randn(2, width) * 0.02)  # known, masked
        self.condition_in = nn.Sequential(nn.Linear(config.whole_size, width), nn.SiLU(), nn.Linear(width, width))
        if told := config.contour_size:
            self.contour_in = nn.Sequential(nn.Linear(told, width), nn.SiLU(), nn.Linear(width, rows * width))
            nn.init.zeros_(self.contour_in[2].weight)
            nn.init.zeros_(self.contour_in[2].bias)
        self.no_condition = nn.Parameter(torch.randn(width) * 0.02)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(width)
        self.head = Head(width, levels, size, dim)
        angles = torch.arange(config.max_columns)[:, None] * rotary_frequencies(width // config.heads)
        self.register_buffer("rope", torch.stack([angles.cos(), angles.sin()]), persistent=False)

    def hidden(
        self, tokens: Tensor, mask: Tensor, condition: Tensor, dropped: Tensor, cells: Tensor | None = None
    ) -> Tensor:
        """Last hidden states.

        Args:
            tokens: int64 [B, rows, columns, levels]; whatever they are where mask is True is not looked at.
            mask: bool [B, rows, columns], True where the token is to be generated.
            condition: float32 [B, condition_size], as `Condition.pack` gives it.
            dropped: bool [B], True for a pass without the condition but for its contour.
            cells: int64 [B, M], which of the rows * columns cells are wanted, in any order; None: all.

        Returns:
            float32 [B, rows * columns, width], or [B, M, width].
        """
        return self.norm(self.states(tokens, mask, condition, dropped, cells)[-1])

    def features(self, tokens: Tensor, mask: Tensor, condition: Tensor, dropped: Tensor) -> Tensor:
        """What `states` gives, as one tensor [B, layers + 1, rows * columns, width]; arguments as of `hidden`."""
        return torch.stack(self.states(tokens, mask, condition, dropped), 1)

    def states(self, tokens: Tensor, mask: Tensor, condition: Tensor, dropped: Tensor, wanted=None) -> list[Tensor]:
        """Hidden states [B, rows * columns, width] before the first block and after each; arguments as of `hidden`.

        With cells `wanted`, the last are of those alone: the last block then looks from them at all.
        """
        rows, columns = tokens.shape[1:3]
        layout = Layout(self.config)
        contour, condition = condition[:, layout.contour], condition[:, layout.whole]
        condition = self.condition_in((condition - self.condition_mean) / self.condition_scale)
        condition = torch.where(dropped[:, None], self.no_condition, condition)
        known = self.token_in(self.lookup(tokens)) + self.kind[0]
        masked = (condition + self.kind[1])[:, None, None]
        cells = torch.where(mask[..., None], masked, known) + self.row
        if self.config.contour_steps:
            contour = contour.unflatten(1, (self.config.max_columns, -1))[:, :columns]
            cells = cells + self.contour_in(contour).unflatten(2, (rows, -1)).transpose(1, 2)
        states = [cells.flatten(1, 2)]
        cos, sin = (t[:columns].repeat(rows, 1) for t in self.rope)
        condition = F.silu(condition)
        for block in self.blocks[:-1]:
            states.append(block(states[-1], condition, cos, sin))
        states.append(self.blocks[-1](states[-1], condition, cos, sin, wanted))
        return states

    def lookup(self, codes: Tensor) -> Tensor:
        """Codes [..., levels] to the sum of their vectors [..., dim]."""
        return sum(F.embedding(codes[..., k], self.codebooks[k]) for k in range(self.levels))

    def tables(self) -> Tensor:
        """What hidden states are multiplied with to give logits, [levels, size, width]: projected codebooks."""
        return self.codebooks @ self.head.code

    def logits(self, hidden: Tensor, codes: Tensor, level: Tensor | int, tables: Tensor | None = None) -> Tensor:
        """Logits [M, size] of one level's code, given the hidden states [M, width] and the codes [M, levels] of which
        the first `level` are known; a `level` that is no tensor keeps no device waiting. `tables` is what
        `self.tables()` gives, if it is at hand."""
        x = self.head(hidden, self.prefix(codes, level), level)
        table = self.codebooks[level] @ self.head.code[level] if tables is None else tables[level]
        return (x @ self.head.out[level]) @ table.T + self.head.bias[level]

    def guided_logits(self, hidden: Tensor, codes: Tensor, level: Tensor, against: Tensor, scale: Tensor) -> Tensor:
        """Logits [M, size] of the first M rows, guided: l + scale * (l - those of the row `against`).

        Logits are linear in what the head makes of its inputs, so guidance comes before the largest product, with
        half of the rows.

        Args:
            hidden, codes, level: as of `logits`, [K, width] and [K, levels], with K at least M.
            against: int64 [M], a row of `hidden` for each of the first M.
            scale: float32 [M], 0 for no guidance.
        """
        x = self.head(hidden, self.prefix(codes, level), level)
        own = x.index_select(0, torch.arange(scale.shape[0], device=x.device))
        x = own + scale[:, None] * (own - x.index_select(0, against))
        if torch.compiler.is_exporting():  # all levels at once are constant: ONNX Runtime folds them when it loads them
            return x @ (self.head.out @ self.tables().mT)[level] + self.head.bias[level]
        return x @ self.head.out[level] @ (self.codebooks[level] @ self.head.code[level]).T + self.head.bias[level]

    def prefix(self, codes: Tensor, level: Tensor | int) -> Tensor:
        """Of codes [M, levels] the sum [M, dim] of the vectors of the first `level`."""
        levels, size, _ = self.codebooks.shape
        vectors = F.embedding(codes + size * torch.arange(levels, device=codes.device), self.codebooks.flatten(0, 1))
        known = torch.arange(levels, device=codes.device) < level
        return (vectors * known[:, None]).sum(1)


class Head(nn.Module):
    """From the hidden state and the vector coded so far to what gives a residual level's logits, in `Generator.logits`;
    weights of all levels stacked."""

    def __init__(self, width: int, levels: int, size: int, dim: int):
        super().__init__()
        self.prefix = nn.Parameter(torch.randn(levels, dim, width) * dim**-0.5)
        self.up = nn.Parameter(torch.randn(levels, width, width) * width**-0.5)
        self.out = nn.Parameter(torch.randn(levels, width, width) * 0.04 * width**-0.5)
        self.code = nn.Parameter(torch.randn(levels, dim, width) * dim**-0.5)
        self.bias = nn.Parameter(torch.zeros(levels, size))
        self.norm = nn.LayerNorm(width)

    def forward(self, hidden: Tensor, prefix: Tensor, level: Tensor) -> Tensor:
        """[M, width] and [M, dim] to [M, width]."""
        x = hidden + prefix @ self.prefix[level]
        return hidden + gelu(self.norm(x) @ self.up[level])


def rms_norm(x: Tensor) -> Tensor:
    return x / torch.sqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6)  # so written, ONNX Runtime makes it one operator


def rotary_frequencies(size: int) -> Tensor:
    """Angular frequencies per column [size / 2]; the slowest turns once in about 600 columns."""
    return 100.0 ** (-torch.arange(0, size, 2) / size)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary embedding (Su et al. 2021) of x [..., n, size] by cos, sin [n, size / 2]."""
    a, b = x.chunk(2, -1)
    return torch.cat([a * cos - b * sin, a * sin + b * cos], -1)
