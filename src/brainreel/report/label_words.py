"""Words for the scores of labels of people."""

from __future__ import annotations

# Pattern of the metric, its words, what it means.
LABEL_METRICS: tuple[tuple[str, str, str], ...] = (
    (
        r"^balanced_accuracy$",
        "Balanced accuracy",
        "The share of people whose class was told right, class by class, then the mean over "
        "classes: a constant answer earns nothing, however common its class is.",
    ),
    (
        r"^auroc$",
        "AUROC",
        "How often somebody of a class is held for likelier to be of it than somebody who is not; "
        "0.5 for a guess. Of several classes the mean of one against the rest.",
    ),
    (
        r"^accuracy$",
        "Accuracy",
        "The share of people whose class was told right. Beside a common class it flatters: see "
        "its baseline, which always names the commonest class in training.",
    ),
    (
        r"^mae$",
        "Mean absolute error",
        "How far the told number is from the true one, in its own units, mean over people; lower "
        "is better. Its baseline always tells the mean in training.",
    ),
    (r"^r$", "Correlation r over people", "Pearson correlation of told and true number."),
)
