"""Hugging Face networks by name or local folder: safetensors alone, and no code but ours."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from brainreel.errors import CheckpointError, require_extra
from brainreel.files import read_json

Scale = float | tuple[float, ...]


def load_hf(path: str, *, pooler: bool, kind: str = "AutoModel") -> nn.Module:
    """Return a network with its published weights, in float32.

    Parameters
    ----------
    path
        Name on the hub, or a local folder.
    pooler
        Whether the network's pooler is read, and its weights must be there.
    kind
        Class of transformers that makes it: `AutoModelForImageClassification` for a classifier.

    Raises
    ------
    MissingExtraError
        If `transformers` is not installed.
    CheckpointError
        If there is no such network, the hub cannot be reached, its weights are no safetensors, or
        some of them are missing.
    """
    transformers: Any = require_extra("transformers", "hf")
    try:
        with _quiet(transformers):
            model, told = getattr(transformers, kind).from_pretrained(
                path,
                trust_remote_code=False,
                use_safetensors=True,
                dtype=torch.float32,
                output_loading_info=True,
            )
    except (OSError, ValueError, RuntimeError, KeyError) as problem:
        reason = " ".join(str(problem).split())[:200]
        raise CheckpointError(
            f"{path}: no Hugging Face network could be loaded ({reason}). Give a local folder "
            "with config.json and model.safetensors, or a name while the hub can be reached."
        ) from problem
    missing = sorted(k for k in told["missing_keys"] if pooler or not k.startswith("pooler."))
    faults = missing + [str(k) for k in told["mismatched_keys"]]
    if faults:
        raise CheckpointError(
            f"{path}: its weights lack {len(faults)} tensors of the network ({faults[0]}), which "
            "would be random. Give the weights of the whole network."
        )
    network: nn.Module = model
    return network


def own_scale(path: str) -> tuple[Scale, Scale]:
    """Return mean and deviation of pixels by the network's preprocessor_config.json, or 0.5."""
    told = _preprocessor(path)
    mean, std = (told.get(f"image_{name}", 0.5) for name in ("mean", "std"))
    return _as_scale(mean), _as_scale(std)


def own_side(path: str, model: nn.Module) -> int:
    """Return the side of the square pictures that a network takes: as its files say, or 224."""
    told = _preprocessor(path)
    sizes = [told.get("crop_size"), told.get("size")]
    sizes.append(getattr(getattr(model, "config", None), "image_size", None))
    for size in sizes:
        found = next(iter(size.values()), None) if isinstance(size, dict) else size
        if isinstance(found, int) and found > 0:
            return found
    return 224


def _preprocessor(path: str) -> dict[str, Any]:
    """Return the network's preprocessor_config.json, {} without."""
    transformers: Any = require_extra("transformers", "hf")
    with _quiet(transformers):
        file = transformers.utils.cached_file(
            path,
            "preprocessor_config.json",
            _raise_exceptions_for_missing_entries=False,
            _raise_exceptions_for_connection_errors=False,
        )
    told: dict[str, Any] = {} if file is None else read_json(file)
    return told


def _as_scale(value: Any) -> Scale:
    return tuple(float(v) for v in value) if isinstance(value, list) else float(value)


@contextmanager
def _quiet(transformers: Any) -> Iterator[None]:
    """Silence progress bars and notices: what matters is told as an error."""
    options = transformers.utils.logging
    bars, level = options.is_progress_bar_enabled(), options.get_verbosity()
    hub = logging.getLogger("huggingface_hub")
    before = hub.level
    options.disable_progress_bar()
    options.set_verbosity_error()
    hub.setLevel(logging.ERROR)
    try:
        yield
    finally:
        options.set_verbosity(level)
        hub.setLevel(before)
        if bars:
            options.enable_progress_bar()
