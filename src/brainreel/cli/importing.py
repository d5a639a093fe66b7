"""The command `import`: published weights into a folder that recipes can start from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from brainreel import __version__
from brainreel.checkpoints.catalog import ORIGINS
from brainreel.checkpoints.imported import Imported, save_imported
from brainreel.checkpoints.remap import listed
from brainreel.cli.console import say
from brainreel.config import override
from brainreel.errors import ConfigError, did_you_mean
from brainreel.files import digest_file, require_free

_SIZES = ("width", "depth", "widths", "blocks", "embedding", "layers", "heads", "patch")


def import_weights(origin: str, checkpoint: Path, options: Sequence[str], out: Path) -> None:
    """Read weights, write them in our form, and say what became of them."""
    if origin not in ORIGINS:
        raise ConfigError(f"nothing is imported from '{origin}'.{did_you_mean(origin, ORIGINS)}")
    require_free(out)
    imported = ORIGINS[origin].read(checkpoint, override({}, options))
    save_imported(
        out,
        imported,
        origin=origin,
        versions={"brainreel": __version__, "torch": version("torch")},
        digests=_digests(checkpoint),
    )
    for line in _told(imported):
        say(line)
    say(f"Imported into {out}")


def _digests(checkpoint: Path) -> dict[str, str]:
    """SHA-256 of the file, or of each file of weights and sizes in a folder."""
    files = [checkpoint]
    if checkpoint.is_dir():
        kinds = (".safetensors", ".bin", ".json")
        files = sorted(file for file in checkpoint.iterdir() if file.suffix in kinds)
    return {file.name: digest_file(file) for file in files}


def _told(imported: Imported) -> list[str]:
    """Say what it is, its sizes, what was dropped and why."""
    config, spec = imported.config.to_dict(), imported.spec
    sizes = ", ".join(f"{k} {config[k]}" for k in _SIZES if k in config)
    n_weights = sum(math.prod(value.shape) for value in imported.state.values())
    shapes = {
        "frames (C, H, W)": spec.frame_shape,
        "frames of a clip": spec.clip_frames,
        "volumes (X, Y, Z)": spec.grid,
        "voxels": ", ".join(str(n) for n in spec.n_voxels),
        "sound (C, S, M)": spec.sound_shape,
        "classes": ", ".join(f"{name} {n}" for name, n in spec.classes.items()),
    }
    lines = [f"{config['name']}: {sizes}" if sizes else str(config["name"])]
    lines += [f"  {n_weights:,} weights in {len(imported.state)} tensors"]
    lines += [f"  {name}: {value}" for name, value in shapes.items() if value]
    reasons: dict[str, list[str]] = {}
    for name, why in imported.dropped.items():
        reasons.setdefault(why, []).append(name)
    lines += [f"  not used: {listed(names)} ({why})" for why, names in reasons.items()]
    return [*lines, *(f"  {note}" for note in imported.notes)]
