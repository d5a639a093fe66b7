"""What each test picture adds to each score, as a table: so that runs can be compared in pairs."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from brainreel.errors import DataError
from brainreel.evaluate.parts import Measured
from brainreel.train.predictions import Float32, PicturePrediction

# What tells test items apart; all other columns are scores.
ITEM = ("subject", "fold", "trial", "picture")
_KINDS = {"subject": str, "fold": str, "trial": np.int64, "picture": str}
_HEAD, _END = "pieces_", ".tsv"
_MISSING = "n/a"


def pieces_file(split: str) -> str:
    """Return the name of a split's table in the folder of predictions."""
    return f"{_HEAD}{split}{_END}"


def pieces_table(
    people: Mapping[str, Sequence[PicturePrediction]], scored: Mapping[str, Mapping[str, Measured]]
) -> str:
    """Return a line for each test picture and a column for each score, tab-separated.

    A line begins with who saw it, the fold, the trial's number, and a digest of what was seen.
    The mean of a column over a person's lines is that person's score. Most columns hold the score
    of each picture itself. Identification depends on the other pictures too: its column holds
    accuracy + influence of the picture, whose resamples are those of the score.
    """
    names = dict.fromkeys(
        name for scores in scored.values() for name, score in scores.items() if len(score.pieces)
    )
    parts = []
    for who, folds in people.items():
        items = {
            "subject": np.repeat(who, sum(len(fold.trials) for fold in folds)),
            "fold": np.repeat([f.fold for f in folds], [len(f.trials) for f in folds]),
            "trial": np.concatenate([fold.trials for fold in folds]),
            "picture": [_digest(picture) for fold in folds for picture in fold.true],
        }
        own = {name: scored[who][name].pieces for name in names if name in scored[who]}
        parts.append(pd.DataFrame({**items, **own}))
    table: pd.DataFrame = pd.concat(parts, ignore_index=True)
    text: str = table.to_csv(
        sep="\t", index=False, na_rep=_MISSING, float_format="%.9g", lineterminator="\n"
    )
    return text


def _digest(picture: Float32) -> str:
    return hashlib.sha256(np.ascontiguousarray(picture).tobytes()).hexdigest()[:8]


def read_pieces(folder: Path) -> dict[str, pd.DataFrame]:
    """Return the tables of a run by split, with the items as index; none where it has none.

    Raises
    ------
    DataError
        If a table is damaged, naming it.
    """
    found = {}
    for path in sorted((Path(folder) / "predictions").glob(f"{_HEAD}*{_END}")):
        try:
            table = pd.read_csv(
                path,
                sep="\t",
                na_values=[_MISSING],
                keep_default_na=False,
                dtype=_KINDS,
            ).set_index(list(ITEM))
            found[path.name.removeprefix(_HEAD).removesuffix(_END)] = table.astype(np.float64)
        except (ValueError, KeyError, pd.errors.ParserError) as problem:
            raise DataError(
                f"{path}: is no table of pieces ({problem}). Run `brainreel evaluate {folder}` "
                "again."
            ) from problem
    return found
