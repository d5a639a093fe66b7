from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional

from brainreel.data.volume_windows import VolumeBatch
from brainreel.errors import CheckpointError
from brainreel.train.volume_losses import VGGFront, draw_slices
from brainreel.train.volume_objective import VolumeLoss, VolumeLossConfig

GRID = (6, 8, 5)


def batch() -> VolumeBatch:
    generator = torch.Generator().manual_seed(0)
    counted = torch.tensor([[True, True, False], [False, True, True]])
    inside = torch.rand(2, *GRID, generator=generator) < 0.5
    return VolumeBatch(
        views=torch.randn(2, 3, 2, *GRID, generator=generator),
        inside=inside,
        counted=counted,
        subject=torch.tensor([0, 1]),
        recording=torch.tensor([0, 1]),
        start_tr=torch.tensor([0, 0]),
        row=torch.tensor([0, 0]),
    )


def predicted() -> Tensor:
    return torch.randn(2, 3, *GRID, generator=torch.Generator().manual_seed(1))


def vgg_file(folder: Path) -> Path:
    generator = torch.Generator().manual_seed(2)
    state = {}
    for number, (i, o) in {0: (3, 64), 2: (64, 64), 5: (64, 128), 7: (128, 128)}.items():
        state[f"features.{number}.weight"] = torch.randn(o, i, 3, 3, generator=generator) / 20
        state[f"features.{number}.bias"] = torch.randn(o, generator=generator) / 20
    save_file(state, folder / "vgg.safetensors")
    return folder / "vgg.safetensors"


def means(loss: VolumeLoss, given: VolumeBatch, ours: Tensor, seed: int = 0) -> dict[str, float]:
    return {k: float(total / n) for k, (total, n) in loss(ours, given, seed).items()}


@pytest.mark.parametrize("target", ["global", "voxel"])
@pytest.mark.parametrize("error", ["absolute", "squared"])
@pytest.mark.parametrize("where", ["everywhere", "brain"])
def test_the_parts_are_those_of_a_loop(target: Any, error: Any, where: Any) -> None:
    given, ours = batch(), predicted()
    loss = VolumeLoss(VolumeLossConfig(target=target, error=error, where=where, perceptual=0))
    view, power = ["global", "voxel"].index(target), {"absolute": 1, "squared": 2}[error]
    everywhere: list[float] = []
    intense: list[float] = []
    for row, tr in given.counted.nonzero().tolist():
        z = given.views[row, tr, 1]
        level = torch.quantile(z[z > 0], 0.9)
        for x in range(GRID[0]):
            for y in range(GRID[1]):
                for k in range(GRID[2]):
                    off = ours[row, tr, x, y, k] - given.views[row, tr, view, x, y, k]
                    if where == "everywhere" or given.inside[row, x, y, k]:
                        everywhere.append(float(off.abs() ** power))
                    if z[x, y, k] > level:
                        intense.append(float(off.abs() ** power))
    expected = {
        "reconstruction": sum(everywhere) / len(everywhere),
        "intensity": sum(intense) / len(intense),
    }
    assert means(loss, given, ours) == pytest.approx(expected, rel=1e-5)


def test_the_perceptual_part_looks_at_its_share_of_the_slices(tmp_path: Path) -> None:
    file = vgg_file(tmp_path)
    given, ours = batch(), predicted()
    loss = VolumeLoss(VolumeLossConfig(vgg=file, slices=0.3))
    chosen = draw_slices((1, 4, *GRID), 0.3, torch.Generator().manual_seed(7)).tolist()
    assert len(chosen) == 6
    vgg, parts = VGGFront.read(file), []
    kept = [(ours[r, t], given.views[r, t, 0]) for r, t in given.counted.nonzero().tolist()]
    for number in chosen:
        sides = [vgg(side[:, :, number % GRID[2]][None]) for side in kept[number // GRID[2]]]
        parts.append(sum(float(functional.mse_loss(a, b)) for a, b in zip(*sides, strict=True)))
    found = means(loss, given, ours, seed=7)["perceptual"]
    assert found == pytest.approx(sum(parts) / len(parts), rel=1e-4)
    assert found != means(loss, given, ours, seed=8)["perceptual"]
    assert not any(parameter.requires_grad for parameter in loss.parameters())


def test_without_weights_of_vgg_the_perceptual_part_is_off_and_told() -> None:
    config = VolumeLossConfig()
    assert set(VolumeLoss(config).weights) == {"reconstruction", "intensity"}
    assert "off: task.loss.vgg names no weights" in config.told()["perceptual loss"]
    assert "perceptual loss" not in VolumeLossConfig(perceptual=0).told()


def test_a_file_without_vgg_is_refused(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(CheckpointError, match=r"lacks features\.0\.weight"):
        VolumeLoss(VolumeLossConfig(vgg=tmp_path / "other.safetensors"))


def test_a_batch_in_which_nothing_counts_gives_nothing_but_a_gradient() -> None:
    given, ours = batch(), predicted().requires_grad_()
    given.counted[:] = False
    parts = VolumeLoss(VolumeLossConfig())(ours, given, 0)
    assert all(total == 0 and count == 0 for total, count in parts.values())
    torch.stack([total for total, _ in parts.values()]).sum().backward()
    assert ours.grad is not None
    assert not ours.grad.any()
