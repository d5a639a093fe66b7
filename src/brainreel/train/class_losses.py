"""Losses of classifiers as sums and counts, over soft targets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from brainreel.shapes import check_shape
from brainreel.train.losses import SumAndCount

ClassLossName = Literal["ce", "bce"]


def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Return -sum_k t_k log softmax(z)_k of each row.

    Parameters
    ----------
    logits, targets
        (B, K); targets may be soft, as mixup and smoothing leave them.

    Returns
    -------
    Tensor
        (B,)
    """
    _check(logits, targets)
    return -(targets * functional.log_softmax(logits.float(), dim=1)).sum(dim=1)


def binary_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Return -sum_k [t_k log sigmoid(z_k) + (1 - t_k) log sigmoid(-z_k)] of each row, (B,).

    The sum over classes, not their mean, as MBT is trained (Nagrani et al. 2021).
    """
    _check(logits, targets)
    each = functional.binary_cross_entropy_with_logits(
        logits.float(), targets.float(), reduction="none"
    )
    return each.sum(dim=1)


CLASS_LOSSES: dict[ClassLossName, Callable[[Tensor, Tensor], Tensor]] = {
    "ce": cross_entropy,
    "bce": binary_cross_entropy,
}


def smoothed(targets: Tensor, amount: float) -> Tensor:
    """Return (1 - amount) t + amount / K: some of the mass spread over all (B, K) classes.

    Szegedy et al. 2016, section 7; the published code of MBT uses it for several labels alike.
    """
    return targets if amount == 0 else targets * (1 - amount) + amount / targets.shape[1]


def labels_loss(
    logits: Mapping[str, Tensor],
    targets: Mapping[str, Mapping[str, Tensor]],
    counted: Tensor,
    classes: Mapping[str, int],
    losses: Mapping[str, ClassLossName],
    smoothing: float = 0.0,
    there: Mapping[str, Tensor | None] | None = None,
) -> SumAndCount:
    """Return the summed loss of the counted rows, and their number.

    row loss = mean over the row's senses of the mean over labels of the label's loss

    Parameters
    ----------
    logits
        Sense to (B, K) logits of all labels side by side; one sense `""` for a network that
        reads its senses out together.
    targets
        Sense to label to (B, K of the label). A sense that is not told has those of `""`.
    counted
        (B,) False at rows that must not count.
    classes
        Label to number of classes, in the order of the logits.
    losses
        Label to the name of its loss.
    smoothing
        Label smoothing.
    there
        Sense to (B,) False at rows that lack it; None, or a sense that is not told, for all rows.
    """
    n_rows = check_shape(counted, "B", name="counted")["B"]
    total = torch.zeros(n_rows, device=counted.device)
    n_senses = torch.zeros(n_rows, device=counted.device)
    for sense, values in logits.items():
        check_shape(values, "B K", name="logits", B=n_rows, K=sum(classes.values()))
        told = targets.get(sense, targets[""])
        columns = {k: own for k, own in split_labels(values, classes).items() if k in told}
        each = [
            CLASS_LOSSES[losses[label]](own, smoothed(told[label], smoothing))
            for label, own in columns.items()
        ]
        # Without a label the loss is 0, but every gradient is there, as DDP wants it.
        loss = torch.stack(each).mean(dim=0) if each else 0.0 * values.sum(dim=1)
        has = (there or {}).get(sense)
        has = torch.ones_like(counted) if has is None else has
        total = total + torch.where(has, loss, 0.0)
        n_senses = n_senses + has
    kept = torch.where(counted, total / n_senses.clamp_min(1), 0.0)
    return kept.sum(), counted.sum()


def split_labels(values: Tensor, classes: Mapping[str, int]) -> dict[str, Tensor]:
    """Return the columns (B, K of the label) of each label."""
    return dict(zip(classes, torch.split(values, list(classes.values()), dim=1), strict=True))


def _check(logits: Tensor, targets: Tensor) -> None:
    sizes = check_shape(logits, "B K", name="logits")
    check_shape(targets, "B K", name="targets", **sizes)
