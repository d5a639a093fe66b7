from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from brainreel.checkpoints.imported import Imported, load_imported, save_imported
from brainreel.checkpoints.store import save_run
from brainreel.errors import CheckpointError, OutputError
from brainreel.models.vit import ViTConfig
from brainreel.shapes import DataSpec

CONFIG = ViTConfig(width=8, depth=1, heads=2, patch=4, positions="learned", pooling="class")
SPEC = DataSpec(frame_shape=(3, 8, 12), classes={"label": 3})


def weights() -> Imported:
    state = CONFIG.build(SPEC).state_dict()
    return Imported(CONFIG, SPEC, state, {"theirs": "why"}, ("A note.",))


def test_imported_weights_come_back_bit_for_bit(tmp_path: Path) -> None:
    given = weights()
    out = save_imported(tmp_path / "run", given, origin="vit", digests={"w.pt": "abc"})
    found = load_imported(out)
    assert (found.config, found.spec) == (given.config, given.spec)
    assert (found.dropped, found.notes) == (given.dropped, given.notes)
    assert found.state.keys() == given.state.keys()
    assert all(torch.equal(found.state[name], value) for name, value in given.state.items())
    network = found.build(where="run")
    assert torch.equal(network.state_dict()["head.weight"], given.state["head.weight"])


def test_weights_that_do_not_fit_leave_nothing(tmp_path: Path) -> None:
    given = weights()
    state = {name: value for name, value in given.state.items() if name != "norm.bias"}
    with pytest.raises(CheckpointError, match=r"vit weights: .* 1 missing: norm\.bias"):
        save_imported(tmp_path / "run", replace(given, state=state), origin="vit")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_use_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.doc").touch()
    with pytest.raises(OutputError, match="already in use"):
        save_imported(tmp_path, weights(), origin="vit")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.doc"]


def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(tensors: object, path: Path) -> None:
        Path(path).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("brainreel.checkpoints.store.save_file", full)
    with pytest.raises(OutputError) as caught:
        save_imported(tmp_path / "run", weights(), origin="vit")
    assert str(tmp_path / "run" / "weights.safetensors") in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_what_was_not_imported_is_said(tmp_path: Path) -> None:
    given = weights()
    save_run(tmp_path / "fit", {"model": CONFIG.to_dict()}, SPEC, given.state)
    with pytest.raises(CheckpointError, match="was not made by 'brainreel import'"):
        load_imported(tmp_path / "fit")
    out = save_imported(tmp_path / "run", given, origin="vit")
    (out / "import.json").write_text("{}")
    with pytest.raises(CheckpointError, match="not what an import writes there"):
        load_imported(out)
    (out / "import.json").write_text('{"dropped": {}, "notes": []}')
    (out / "config.yaml").write_text("model: {name: vitt}\n")
    with pytest.raises(CheckpointError, match="not what an import writes there"):
        load_imported(out)
