"""Origin `mind-vis`: any file of MinD-Vis, told apart by the names of its tensors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from brainreel.checkpoints.from_dc_ldm import DCLDMImport, dc_ldm_of
from brainreel.checkpoints.from_mind_vis import MindVisImport, sc_mbm_of
from brainreel.checkpoints.from_mind_vis_ldm import sort_tensors
from brainreel.checkpoints.imported import Imported
from brainreel.checkpoints.readers import read_with_options, without_prefix
from brainreel.config import Config

# What names begin with in a file of stage B, in latent diffusion alone, and in its first stage.
_STAGE_B = ("cond_stage_model.", "model.diffusion_model.", "first_stage_model.", "encoder.conv_in.")


class MindVisFile(Config):
    """What a file of MinD-Vis does not tell; some of it is asked of one stage alone."""

    heads: int | None = Field(None, ge=1)
    """Attention heads of the encoder of brains; none: as the file says, else 16, as published."""
    decoder_heads: int | None = Field(None, ge=1)
    """Of SC-MBM: attention heads of the decoders; none: as the file says, else 16."""
    feature_size: tuple[int, int] = (28, 28)
    """Of SC-MBM: (H, W) of the pictures' features, where the file has a decoder for them."""
    unet_heads: int = Field(1, ge=1)
    """Of DC-LDM: attention heads of the U-Net."""
    norm_groups: int = Field(32, ge=1)
    """Of DC-LDM: groups of the group norms."""
    weights: Literal["trained", "averaged"] = "trained"
    """Of DC-LDM whose file holds both: the U-Net as trained, or its moving average."""
    picture_size: tuple[int, int] = (256, 256)
    """Of DC-LDM: (H, W) of the pictures."""

    def of_sc_mbm(self) -> MindVisImport:
        """Return what is asked of stage A."""
        return MindVisImport(
            heads=self.heads, decoder_heads=self.decoder_heads, picture_size=self.feature_size
        )

    def of_dc_ldm(self) -> DCLDMImport:
        """Return what is asked of stage B."""
        return DCLDMImport(
            heads=self.unet_heads,
            norm_groups=self.norm_groups,
            weights=self.weights,
            encoder_heads=self.heads or 16,
            picture_size=self.picture_size,
        )


def read_mind_vis_file(path: Path, options: Mapping[str, Any] | None = None) -> Imported:
    """Read SC-MBM (stage A) or the whole of DC-LDM (stage B).

    Parameters
    ----------
    path
        `fmri_encoder.pth`, `finetuned.pth`, `checkpoint.pth` of either stage, or any file of the
        same names that `read_tensors` can read.
    options
        Options of `MindVisFile`.

    Raises
    ------
    CheckpointError
        If a tensor is not known, is missing, or has another shape; of latent diffusion without an
        encoder, which is a start for training and no model of brains.
    """
    chosen = MindVisFile.parse(options or {}, where="import mind-vis")
    found, told = read_with_options(Path(path), "config")
    state = without_prefix(found, "module.")
    if not any(name.startswith(_STAGE_B) for name in state):
        return sc_mbm_of(state, told, chosen.of_sc_mbm(), where=str(path))
    stage_b = chosen.of_dc_ldm()
    return dc_ldm_of(sort_tensors(state, stage_b, str(path), told), stage_b, where=str(path))
