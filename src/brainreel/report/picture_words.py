"""Words for the scores of reconstructed pictures, and for what stands beside them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Pattern of the metric, its words, what it means.
PICTURE_METRICS: tuple[tuple[str, str, str], ...] = (
    (
        r"^class_(\d+)way_top(\d+)",
        "{0}-way top-{1} by a classifier",
        "A network names the class of the picture that was seen; how often it is among the {1} "
        "best of itself and random others, {0} in all, when the network looks at the "
        "reconstruction. Its baseline deals reconstructions out at random.",
    ),
    (
        r"^identification_(\d+)way_by_mse",
        "{0}-way identification by squared error",
        "How often the right one of {0} pictures differs least from the reconstruction.",
    ),
    (
        r"^identification_(\d+)way_by_ssim",
        "{0}-way identification by SSIM",
        "How often the right one of {0} pictures has the highest SSIM with the reconstruction.",
    ),
    (
        r"^identification_(\d+)way_by_lpips",
        "{0}-way identification by perceptual distance",
        "How often the right one of {0} pictures is the nearest, in the distance of LPIPS form.",
    ),
    (
        r"^identification_(\d+)way_by_(.+)",
        "{0}-way identification, {1}",
        "How often the right one of {0} pictures is most like the reconstruction, by the "
        "correlation of a network's features ({1}).",
    ),
    (
        r"^feature_distance_(.+)",
        "Feature distance, {0}",
        "1 - r between a network's features ({0}) of reconstruction and picture; lower is better.",
    ),
    (
        r"^frechet_distance_(.+)",
        "Fréchet distance, {0}",
        "How far all reconstructions lie from all pictures in a network's features ({0}); lower is "
        "better. It knows nothing of which picture was seen when, and is too high for few.",
    ),
    (
        r"^lpips\b",
        "Perceptual distance (LPIPS form)",
        "Squared difference of a network's features, channel by channel at unit length, mean over "
        "space, sum over layers; lower is better. It belongs to its network: see the protocol.",
    ),
    (
        r"pixel_correlation|pixel_r",
        "Pixel correlation",
        "Pearson correlation over the pixels of reconstructed and true picture, mean over "
        "pictures.",
    ),
    (
        r"\bmse\b",
        "Mean squared error",
        "Mean squared difference of pixels in [0, 1]; lower is better.",
    ),
    (
        r"ssim",
        "Structural similarity (SSIM)",
        "Similarity of local brightness, contrast and structure; 1 for equal pictures.",
    ),
    (r"psnr", "Peak signal-to-noise (dB)", "10 log10(1 / MSE); higher is better."),
)
# Ending of a score over several samples of a brain: its words, what it means.
_OVER_SAMPLES = {
    "_each": ("each sample", "The mean over all pictures that were drawn of each brain."),
    "_best": (
        "best sample, picked by the truth",
        "Of all pictures that were drawn of a brain the best one, picked with the true picture in "
        "sight: what a lucky draw reaches, not what the model does. Its baseline picks too.",
    ),
}
PICTURE_SYSTEMS = {
    "control:brain_shuffled": (
        "Another trial's brain",
        "The same model, given the brain of another test trial: what of the score any picture of "
        "this kind reaches.",
    ),
    "control:class_alone": (
        "Class alone",
        "A picture drawn from the class that the brain tells, without the brain itself: realistic "
        "is not the same as right.",
    ),
}


def over_samples(metric: str) -> tuple[str, str, str]:
    """Part a metric from its ending: the metric, the words of the ending, what it means."""
    for ending, told in _OVER_SAMPLES.items():
        if metric.endswith(ending):
            return metric.removesuffix(ending), *told
    return metric, "", ""


def tell_samples(stamp: Mapping[str, Any]) -> list[str]:
    """Say how many pictures were drawn of a brain, and which of them is scored."""
    rules = {
        "first": "the first one",
        "average": "their mean",
        "consensus": "the one nearest to the mean of all",
    }
    if "samples" not in stamp:
        return []
    rule = str(stamp.get("rule", ""))
    return [
        f"Of each brain {stamp['samples']} pictures were drawn. Scores without a further word are "
        f"of {rules.get(rule, rule)}, chosen without the true picture; the best sample is chosen "
        "with it."
    ]
