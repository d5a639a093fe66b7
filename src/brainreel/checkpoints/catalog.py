"""All origins of published weights: a new one is a file `from_<origin>.py` and a line here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from brainreel.checkpoints.from_mbt import MBTImport, read_mbt
from brainreel.checkpoints.from_tff import TFFImport, read_tff
from brainreel.checkpoints.from_tubevit import TubeViTImport, read_tubevit
from brainreel.checkpoints.from_vit import ViTImport, read_vit
from brainreel.checkpoints.from_vtn import VTNImport, read_vtn
from brainreel.checkpoints.imported import Imported
from brainreel.checkpoints.mbt_starts import MBTStart, read_mbt_start
from brainreel.checkpoints.mind_vis_files import MindVisFile, read_mind_vis_file
from brainreel.checkpoints.tube_starts import TubeViTStart, read_tubevit_start
from brainreel.config import Config


@dataclass(frozen=True)
class Origin:
    """Where weights come from.

    Attributes
    ----------
    title
        Whose weights these are, for `describe`.
    read
        (file or folder, options) -> what was read.
    options
        What the file does not tell, with the published values as defaults.
    """

    title: str
    read: Callable[[Path, Mapping[str, Any]], Imported]
    options: type[Config]


ORIGINS: dict[str, Origin] = {
    "vit": Origin("ViT and DeiT (timm, Hugging Face), AST (Hugging Face)", read_vit, ViTImport),
    "vtn": Origin("VTN (SlowFast)", read_vtn, VTNImport),
    "tff": Origin("TFF, any of its three phases", read_tff, TFFImport),
    "mind-vis": Origin(
        "MinD-Vis: SC-MBM or DC-LDM, pretrained or fine-tuned", read_mind_vis_file, MindVisFile
    ),
    "mbt": Origin("MBT (Scenic, JAX)", read_mbt, MBTImport),
    "mbt_start": Origin("a run folder of a ViT, made into an MBT", read_mbt_start, MBTStart),
    "tubevit": Origin("TubeViT (the PyTorch port)", read_tubevit, TubeViTImport),
    "tubevit_start": Origin(
        "a run folder of a ViT, made into a TubeViT", read_tubevit_start, TubeViTStart
    ),
}
