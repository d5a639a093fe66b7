"""How senses meet in MBT, drawn from the graph of who looks at whom in each layer."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from brainreel.errors import DataError
from brainreel.files import write_aside
from brainreel.layers.attention import attention_maps
from brainreel.layers.fusion_transformer import Fusion, FusionOptions, FusionTransformer
from brainreel.layers.transformer import BlockOptions
from brainreel.report.style import (
    CEILING,
    INK,
    MUTED,
    PAPER,
    PREDICTED,
    SECOND,
    canvas,
    drawing,
    note,
    place,
)

_DEPTH, _LAYER, _TOKENS, _BOTTLENECKS = 3, 1, 3, 2
# Where the tokens of pictures, of sound, and those between them stand.
_ACROSS = (0.0, 1.4, 2.8, 8.2, 9.6, 11.0, 4.8, 6.2)
_WIDTH, _HEIGHT, _PANEL, _GAP, _TOP = 1180.0, 350.0, 256.0, 32.0, 92.0
_COLOURS = {"pictures": PREDICTED, "sound": CEILING, "between": SECOND}
_SAID: Mapping[Fusion, tuple[str, str]] = {
    "late": ("Late", "never; answers are averaged"),
    "bottleneck": ("Bottleneck", f"through {_BOTTLENECKS} tokens, each sense's averaged"),
    "cross_attention": ("Cross-attention", "all, by the weights of who looks"),
    "self_attention": ("Self-attention", "all, each by its own sense's weights"),
}


def figure_fusions(out: Path) -> Path:
    """Draw who looks at whom in three layers of a small network, for each way of fusion.

    Layers go upwards; the senses meet from the second on. A line is a look, in the colour of the
    sense whose weights make the key and the value.

    Parameters
    ----------
    out
        A `.png` file.
    """
    out = Path(out)
    if out.suffix != ".png":
        raise DataError(f"{out}: not a picture. End its name in .png.")
    with drawing():
        figure = canvas(_WIDTH, _HEIGHT)
        for number, fusion in enumerate(_SAID):
            _draw(figure, 30 + number * (_PANEL + _GAP), fusion)
        with write_aside(out) as aside:
            figure.savefig(
                aside,
                dpi=72,
                facecolor=PAPER,
                metadata={"Software": None},
                pil_kwargs={"optimize": True},
            )
    return out


def _draw(figure: Figure, left: float, fusion: Fusion) -> None:
    title, told = _SAID[fusion]
    note(figure, left, 28, title, INK, bold=True)
    note(figure, left, 54, told, MUTED)
    axes = place(figure, left, _TOP, _PANEL, _HEIGHT - _TOP - 40)
    axes.set_xlim(-0.6, 11.6)
    axes.set_ylim(-0.35, _DEPTH + 0.35)
    axes.axis("off")
    graph = looks_of(fusion)
    sense = ["pictures"] * _TOKENS + ["sound"] * _TOKENS + ["between"] * _BOTTLENECKS
    for layer, pairs in enumerate(graph):
        for asking, answering, weights in pairs:
            met = sense[asking] != sense[answering]
            line = [(_ACROSS[answering], layer), (_ACROSS[asking], layer + 1)]
            axes.add_collection(
                LineCollection(
                    [line], colors=_COLOURS[weights], linewidths=1.1 if met else 0.7,
                    alpha=0.85 if met else 0.3, zorder=1,
                )
            )  # fmt: skip
    nodes = 2 * _TOKENS + (_BOTTLENECKS if fusion == "bottleneck" else 0)
    for layer in range(_DEPTH + 1):
        for node in range(nodes):
            between = sense[node] == "between"
            if between and not _LAYER <= layer < _DEPTH:
                continue
            _dot(axes, _ACROSS[node], layer, _COLOURS[sense[node]], square=between)
    for x, word in ((1.4, "pictures"), (9.6, "sound")):
        axes.text(x, -0.62, word, ha="center", va="center", color=MUTED, clip_on=False)


def _dot(axes: Axes, x: float, y: float, colour: str, *, square: bool) -> None:
    axes.plot(x, y, "s" if square else "o", color=colour, markersize=7, zorder=2)


def looks_of(fusion: Fusion) -> list[set[tuple[int, int, str]]]:
    """Return for each layer (token that looks, token looked at, whose weights make key and value).

    Tokens are those of the pictures, then of the sound, then between them.
    """
    how = FusionOptions(
        senses=("pictures", "sound"), fusion=fusion, layer=_LAYER, bottlenecks=_BOTTLENECKS
    )
    net = FusionTransformer(BlockOptions(width=4, heads=1, hidden=4), _DEPTH, how)
    tokens = {s: torch.zeros(1, _TOKENS, 4) for s in how.senses}
    with torch.no_grad(), attention_maps(net) as maps:
        net(tokens)
    found = []
    for looks in net.looks(list(maps.values()), tokens):
        pairs = set()
        for look in looks:
            # A look of one sense goes by its own weights, one of all by those of who answers.
            owner = "" if len(looks) == 1 else how.senses[int(look.asking[0]) // _TOKENS]
            for asking in look.asking.tolist():
                for answering in look.answering.tolist():
                    own = owner or how.senses[answering // _TOKENS]
                    pairs.add((asking, answering, own))
        found.append(pairs)
    return found
