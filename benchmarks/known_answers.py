"""Classifiers on films whose best accuracies are known: fusions of MBT, tubes of TubeViT.

    python benchmarks/known_answers.py --folder runs/known-answers --jobs 2 [--write PAGE]

Simulates the sets `pairs` and `motion` (seed 0), trains the recipes `mbt_pairs` and
`tubevit_motion` in every variant with the seeds 0, 1, 2, and prints the tables of
docs/models/known-answers.md; `--write` puts them there. Whatever was trained before is read from
`results.jsonl` in the folder, so a broken run goes on. Half an hour on two cores.

Everything goes through the package's own fit. Only the clips, which are the same in each epoch
here, are kept in memory instead of being decoded again; the weights are those of `brainreel run`.
"""

from __future__ import annotations

import argparse
import json
import re
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from joblib import Parallel, delayed

from brainreel.data import labelled_module
from brainreel.data.labelled_dataset import ClipDataset, Draw, Loaded
from brainreel.layers.clip import Clip
from brainreel.layers.flops import count_flops
from brainreel.models.mbt import MBTConfig
from brainreel.shapes import DataSpec
from brainreel.simulate.film_set import read_set_truth
from brainreel.simulate.motions import simulate_motion
from brainreel.simulate.pairs import simulate_pairs
from brainreel.train.fit import fit, job_of
from brainreel.train.recipe import resolve

SEEDS = (0, 1, 2)
PAIRS, MOTION = "mbt_pairs", "tubevit_motion"


@dataclass(frozen=True)
class Variant:
    """A recipe with some options changed, and the ceiling that it is held against."""

    recipe: str
    name: str
    ceiling: str
    changes: tuple[str, ...] = ()


def _tube(kernel: Sequence[int], stride: Sequence[int]) -> tuple[str]:
    return (f"model.tubes=[{{kernel: {list(kernel)}, stride: {list(stride)}}}]",)


def _fused(fusion: str, layer: int, *more: str) -> tuple[str, ...]:
    return (f"model.fusion={fusion}", f"model.fusion_layer={layer}", *more)


VARIANTS = (
    Variant(PAIRS, "sound alone", "sound", ("model.inputs=[sound]",)),
    Variant(PAIRS, "picture alone", "picture", ("model.inputs=[pictures]",)),
    Variant(PAIRS, "late", "late", ("model.fusion=late",)),
    *(Variant(PAIRS, f"bottleneck, L_f = {layer}, B = 4", "late" if layer == 3 else "both",
              _fused("bottleneck", layer)) for layer in range(4)),
    Variant(PAIRS, "bottleneck, L_f = 2, B = 1", "both",
            _fused("bottleneck", 2, "model.bottlenecks=1")),
    *(Variant(PAIRS, f"vanilla self-attention, L_f = {layer}", "both",
              _fused("self_attention", layer)) for layer in (0, 2)),
    *(Variant(PAIRS, f"vanilla cross-attention, L_f = {layer}", "both",
              _fused("cross_attention", layer)) for layer in (0, 2)),
    Variant(MOTION, "three tubes, two of them long", "whole"),
    Variant(MOTION, "1 x 8 x 8, every 16 frames", "chance", _tube((1, 8, 8), (16, 8, 8))),
    Variant(MOTION, "1 x 8 x 8, every 4 frames", "frames_4_apart", _tube((1, 8, 8), (4, 8, 8))),
    Variant(MOTION, "1 x 8 x 8, every 2 frames, half as dense in space", "frames_2_apart",
            _tube((1, 8, 8), (2, 8, 16))),
    Variant(MOTION, "1 x 8 x 8, every frame, a quarter as dense in space", "frames_1_apart",
            _tube((1, 8, 8), (1, 16, 16))),
)  # fmt: skip


class Remembered(ClipDataset):
    """Clips that are the same in every epoch, read once."""

    known: dict[tuple[Any, ...], Loaded] = {}  # noqa: RUF012

    def __getitem__(self, draw: Draw) -> Loaded:
        assert self.clips.sampling == "uniform"
        assert (self.clips.augment.scale, self.clips.augment.flip) == (None, 0)
        key = (self.labelled.items[max(draw.item, ~draw.item)].path, self.clips.media, draw.item)
        if key not in self.known:
            self.known[key] = super().__getitem__(draw)
        return self.known[key]


def train(variant: Variant, seed: int, folder: Path, epochs: int | None) -> dict[str, Any]:
    """Fit one variant with one seed; return its test accuracy and its costs."""
    torch.set_num_threads(1)
    labelled_module.ClipDataset = Remembered
    changes = [f"data.path={folder / set_of(variant.recipe)}", f"seed={seed}", *variant.changes]
    config = resolve(variant.recipe, [*changes, "trainer.progress=false"])
    if epochs is not None:
        config = config.model_copy(
            update={"trainer": config.trainer.model_copy(update={"max_epochs": epochs})}
        )
    data = config.data.open()
    with tempfile.TemporaryDirectory() as scratch:
        job = job_of(config, data, data.folds[0], Path(scratch) / "run")
        for batch in config.task.data(job).train_dataloader():  # read before the clock starts
            del batch
        begun = time.process_time()
        fitted = fit(config, Path(scratch) / "run")
        minutes = (time.process_time() - begun) / 60
        (found,) = config.task.predict(job, fitted.states[data.folds[0].name])
    right = found.scores.argmax(axis=1) == found.targets.argmax(axis=1)
    network = config.model.build(config.task.spec(job))
    return {
        "recipe": variant.recipe,
        "variant": variant.name,
        "seed": seed,
        "accuracy": float(right.mean()),
        "mflops": flops_of(network.eval(), config.task.spec(job)) / 1e6,
        "parameters": sum(p.numel() for p in network.parameters()),
        "tokens": tokens_of(network),
        "cpu_minutes": minutes,
    }


def set_of(recipe: str) -> str:
    """Return the simulated set that a recipe is for."""
    return "pairs" if recipe == PAIRS else "motion"


def flops_of(network: Any, spec: DataSpec) -> int:
    """Return the operations of one forward pass of one clip."""
    sound = torch.zeros(1, *spec.sound_shape) if spec.sound_shape else None
    clip = Clip(torch.zeros(1, spec.clip_frames, *spec.frame_shape), sound)
    with torch.no_grad():
        return count_flops(lambda: network(clip))


def tokens_of(network: Any) -> int:
    """Return the tokens of all senses or tubes, class tokens left out."""
    if hasattr(network, "positions") and hasattr(network, "tubes"):
        return len(network.positions(16)) - 1
    return sum(sense.n_tokens - 1 for sense in network.tokens.values())


def sweep(folder: Path) -> list[list[str]]:
    """Return the operations of every fusion from every layer on."""
    config = resolve(PAIRS, [f"data.path={folder / 'pairs'}"])
    data = config.data.open()
    spec = config.task.spec(job_of(config, data, data.folds[0], folder))
    assert isinstance(config.model, MBTConfig)
    depth = config.model.depth
    kinds = [("bottleneck", n) for n in (1, 4, 16)]
    kinds += [("self_attention", 4), ("cross_attention", 4)]
    rows = []
    for fusion, n in kinds:
        named = f"bottleneck, B = {n}" if fusion == "bottleneck" else fusion.replace("_", "-")
        counts = []
        for layer in range(depth + 1):
            changed = {"fusion": fusion, "bottlenecks": n, "fusion_layer": layer}
            network = config.model.model_copy(update=changed).build(spec).eval()
            counts.append(f"{flops_of(network, spec) / 1e6:.2f}")
        rows.append([named, *counts])
    return rows


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    lines = [list(head), ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def accuracies(recipe: str, results: Sequence[dict[str, Any]], ceilings: dict[str, float]) -> str:
    """Return the table of a recipe's variants."""
    rows = []
    for variant in (v for v in VARIANTS if v.recipe == recipe):
        own = [r for r in results if (r["recipe"], r["variant"]) == (recipe, variant.name)]
        if not own:
            continue
        percent = 100 * np.array([r["accuracy"] for r in sorted(own, key=lambda r: r["seed"])])
        spread = f" ± {percent.std(ddof=1):.1f}" if len(own) > 1 else ""
        rows.append([
            variant.name,
            f"{100 * ceilings[variant.ceiling]:.1f}",
            f"{percent.mean():.1f}{spread}",
            ", ".join(f"{value:.1f}" for value in percent),
            str(own[0]["tokens"]),
            f"{own[0]['mflops']:.2f}",
            f"{own[0]['parameters']:,}",
            f"{np.mean([r['cpu_minutes'] for r in own]):.1f}",
        ])  # fmt: skip
    head = ["network", "ceiling %", "test accuracy %", "seeds 0, 1, 2", "tokens", "MFLOPs"]
    return table([*head, "parameters", "CPU min"], rows)


def written(page: str, name: str, content: str) -> str:
    """Return a page with the text between its markers `name` replaced."""
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    found = re.compile(f"{begin}.*?{end}", re.S)
    if len(found.findall(page)) != 1:
        raise SystemExit(f"the page needs {begin} and {end} once")
    return found.sub(lambda _: f"{begin}\n{content}\n{end}", page)


def trained(folder: Path, seeds: Sequence[int], jobs: int, epochs: int | None) -> list[Any]:
    """Train what is not yet in results.jsonl; return all results."""
    log = folder / "results.jsonl"
    lines = log.read_text().splitlines() if log.is_file() else []
    results = [json.loads(line) for line in lines]
    done = {(r["recipe"], r["variant"], r["seed"]) for r in results}
    todo = [(v, s) for s in seeds for v in VARIANTS if (v.recipe, v.name, s) not in done]
    todo.sort(key=lambda pair: pair[0].recipe)
    calls = (delayed(train)(variant, seed, folder, epochs) for variant, seed in todo)
    for result in Parallel(n_jobs=jobs, return_as="generator_unordered")(calls):
        with log.open("a") as stream:
            stream.write(json.dumps(result) + "\n")
        results.append(result)
        print(f"{result['variant']}, seed {result['seed']}: {result['accuracy']:.3f}", flush=True)
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path("runs/known-answers"))
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    parser.add_argument("--jobs", type=int, default=2, help="trainings at once, one core each")
    parser.add_argument("--epochs", type=int, help="instead of the recipes' own; for a quick try")
    parser.add_argument("--write", type=Path, help="page whose tables are replaced")
    options = parser.parse_args()
    folder = options.folder.resolve()
    for name, simulate in (("pairs", simulate_pairs), ("motion", simulate_motion)):
        if not (folder / name).is_dir():
            simulate(folder / name)
    results = trained(folder, options.seeds, options.jobs, options.epochs)
    tables = {
        name: accuracies(recipe, results, read_set_truth(folder / name)["ceilings"])
        for recipe, name in ((PAIRS, "pairs"), (MOTION, "motion"))
    }
    rows = sweep(folder)
    tables["sweep"] = table(["fusion", *(f"L_f = {i}" for i in range(len(rows[0]) - 1))], rows)
    for content in tables.values():
        print(f"\n{content}")
    if options.write is not None:
        page = options.write.read_text(encoding="utf-8")
        for name, content in tables.items():
            page = written(page, name, content)
        options.write.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
