"""The shape of a model: how many weights it has, and what one token makes of it.

Of models that are not here yet, `shapes.yaml` says it by hub id; of others their config.json, or the settings
that they are made by. No weights are read, and no deep-learning library is loaded.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Self

import yaml

from glow.config import Model
from glow.errors import UserError
from glow.models.weight_files import numbers_in, weight_files

WORDS_MADE_HERE = 656
"""Tokens of the miniature's tokenizer (`glow.miniature.tokenizer`), which a test counts."""

_CONTEXT_MADE_HERE = 1024
_FILE = Path(__file__).with_name("shapes.yaml")


@dataclass(frozen=True)
class Shape:
    """A decoder of transformers, in the words of its config.json.

    Attributes:
        width: of the residual stream (hidden_size), the paper's d.
        inner: of the feed-forward layer (intermediate_size).
        heads, kv_heads, head_size: of attention; the last in numbers a head.
        words: size of the vocabulary.
        tied: whether the output layer is the embedding.
        qkv_bias: biases of the projections to queries, keys and values.
        qk_norms: norms of queries and keys.
        norms: norms of a layer, of the stream's width.
        context: longest sequence in tokens.
        parameters: all weights; counted from the shape, or as the files of weights have them.
    """

    layers: int
    width: int
    inner: int
    heads: int
    kv_heads: int
    head_size: int
    words: int
    tied: bool
    context: int
    qkv_bias: bool = False
    qk_norms: bool = False
    norms: int = 2
    counted: int | None = None

    @property
    def kv_width(self) -> int:
        """Numbers of all keys of a token in one layer."""
        return self.kv_heads * self.head_size

    @property
    def attention_width(self) -> int:
        """Numbers of all queries of a token in one layer."""
        return self.heads * self.head_size

    @property
    def layer_matrices(self) -> int:
        """Weights of one layer that tokens are multiplied by."""
        attention = 2 * self.width * self.attention_width + 2 * self.width * self.kv_width
        return attention + 3 * self.width * self.inner

    @property
    def layer_parameters(self) -> int:
        """All weights of one layer."""
        biases = self.attention_width + 2 * self.kv_width if self.qkv_bias else 0
        norms = self.norms * self.width + (2 * self.head_size if self.qk_norms else 0)
        return self.layer_matrices + biases + norms

    @property
    def embedding(self) -> int:
        """Weights of the embedding; of the output layer too, which is as large or the same."""
        return self.words * self.width

    @property
    def parameters(self) -> int:
        """All weights."""
        if self.counted is not None:
            return self.counted
        ends = self.embedding * (1 if self.tied else 2)
        return self.layers * self.layer_parameters + ends + self.width

    @property
    def multiplied(self) -> int:
        """Weights that every token is multiplied by: all matrices but an embedding, which is looked up."""
        return self.layers * self.layer_matrices + self.embedding

    @property
    def cache_bytes(self) -> int:
        """Of keys and values of a token, in 16 bits, over all layers."""
        return self.layers * 2 * self.kv_width * 2

    def adapter_parameters(self, rank: int, modules: str | list[str]) -> int:
        """Weights of adapters (LoRA) of a rank: rank x (inputs + outputs) of each layer that has one."""
        sides = {
            "q_proj": self.width + self.attention_width,
            "k_proj": self.width + self.kv_width,
            "v_proj": self.width + self.kv_width,
            "o_proj": self.attention_width + self.width,
            "gate_proj": self.width + self.inner,
            "up_proj": self.width + self.inner,
            "down_proj": self.inner + self.width,
        }
        names = list(sides) if isinstance(modules, str) else [name.rpartition(".")[2] for name in modules]
        return self.layers * rank * sum(sides[name] for name in names if name in sides)

    @classmethod
    def of_config(cls, document: Mapping[str, Any], source: str) -> Self:
        """From what stands in a config.json.

        Raises:
            UserError: a key is missing, or it is a mixture of experts, of which a token meets a part only.
        """
        config = document.get("text_config") or document
        kind = config.get("model_type", "")
        if any("expert" in key and value for key, value in config.items()):
            raise UserError(f"{source}: a mixture of experts ({kind}); those cannot be planned yet")
        try:
            heads, width = config["num_attention_heads"], config["hidden_size"]
            return cls(
                layers=config["num_hidden_layers"],
                width=width,
                inner=config["intermediate_size"],
                heads=heads,
                kv_heads=config.get("num_key_value_heads") or heads,
                head_size=config.get("head_dim") or width // heads,
                words=config["vocab_size"],
                tied=bool(config.get("tie_word_embeddings", kind.startswith("gemma"))),
                context=config.get("max_position_embeddings") or 1_000_000,
                qkv_bias=bool(config.get("attention_bias", kind == "qwen2")) or kind == "qwen2",
                qk_norms=kind in ("qwen3", "gemma3_text"),
                norms=4 if kind.startswith("gemma3") else 2,
            )
        except KeyError as missing:
            raise UserError(f"{source}: has no {missing}, so that its size is not known") from None


@cache
def _known() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = yaml.safe_load(_FILE.read_text(encoding="utf-8"))
    return found


def known_ids() -> list[str]:
    """The hub ids whose shape is known here."""
    return list(_known())


def of_hub(name: str) -> Shape | None:
    """The shape of a hub model; None where it is not known."""
    known = _known().get(name)
    return None if known is None else Shape.of_config(known, name)


def shape_of(model: Model, fetched: Path, key: str) -> Shape:
    """The shape of a model of a study.

    Args:
        fetched: where it is, or would be, once it was fetched or made.
        key: of the configuration, for messages.

    Raises:
        UserError: nothing says what shape it has; names what would.
    """
    if model.path is not None:
        return of_folder(model.path)
    if (fetched / "config.json").is_file():
        return of_folder(fetched)
    if model.pretrain is not None:
        return _made_here(model.pretrain, WORDS_MADE_HERE, _CONTEXT_MADE_HERE)
    if model.scratch is not None:
        return _made_here(model.scratch, model.scratch.vocabulary, model.scratch.max_length)
    assert model.hub is not None
    found = of_hub(model.hub.hub)
    if found is None:
        raise UserError(
            f"{key}: the shape of {model.hub.hub} is not known here (known: {', '.join(known_ids())}): fetch "
            f"it first (glow fetch --hub {model.hub.hub} --revision {model.hub.revision} "
            f"--output {fetched}), or give a folder with its config.json as {key}.path"
        )
    return found


def _made_here(settings: Any, words: int, context: int) -> Shape:
    """A model that `glow.models.build.random_qwen2` makes: inner layers of thrice the width, tied."""
    return Shape(
        layers=settings.layers,
        width=settings.hidden_size,
        inner=3 * settings.hidden_size,
        heads=settings.heads,
        kv_heads=settings.heads,
        head_size=settings.hidden_size // settings.heads,
        words=words,
        tied=True,
        context=context,
        qkv_bias=True,
    )


def of_folder(folder: Path) -> Shape:
    """The shape of a model on disk; its weights are counted by the headers of its files.

    Raises:
        UserError: it has no config.json, or none that can be read; or a file of weights is not whole.
    """
    file = folder / "config.json"
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        hint = "; give its base to plan" if (folder / "adapter_config.json").is_file() else ""
        raise UserError(f"{file}: cannot be read ({error}){hint}") from None
    shape = Shape.of_config(document, str(file))
    files = weight_files(folder)
    counted = numbers_in(files) if files else None
    return Shape(**{**shape.__dict__, "counted": counted})
