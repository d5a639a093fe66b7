"""What a table of participants tells of people: a label, and who is family."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pandas as pd

from brainreel.data.readers import read_table
from brainreel.errors import DataError, did_you_mean

LabelKind = Literal["auto", "classes", "number"]


@dataclass(frozen=True)
class PeopleLabels:
    """One label of some people.

    Attributes
    ----------
    values
        Person (`"sub-01"`) to the number of their class, or to their number.
    classes
        Names of the classes in the order of their numbers; empty for a number.
    families
        Person to family, for those whose family is known.
    missing
        People asked for who have no label, in their order.
    other
        People left out because their class was not asked for.
    """

    values: Mapping[str, float]
    classes: tuple[str, ...] = ()
    families: Mapping[str, str] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    other: tuple[str, ...] = ()


def read_people(
    path: Path,
    people: Sequence[str],
    *,
    column: str,
    id_column: str,
    family_column: str = "",
    kind: LabelKind = "auto",
    classes: Sequence[str] = (),
) -> PeopleLabels:
    """Read a label of people from a table such as BIDS' participants.tsv.

    Parameters
    ----------
    path
        A .tsv or .csv table, one row a person; `n/a` and empty are missing.
    people
        Who is asked for (`"sub-01"`); ids in the table may lack `sub-`.
    column, id_column, family_column
        Names of the columns of the label, of the person and of the family; without `column` there
        is no label, without `family_column` everybody is a family alone.
    kind
        Whether the label is a class or a number; "auto": a class, unless all are numbers of more
        than two values.
    classes
        Classes to keep, in the order of their numbers; empty: all, in their natural order.

    Raises
    ------
    DataError
        If a column or a class is not there, a person stands in it twice with different values, a
        number is text, or nobody has a label.
    """
    wanted = [name for name in (id_column, column, family_column) if name]
    table = read_table(path, wanted, text=True)
    ids = "sub-" + table[id_column].str.removeprefix("sub-")
    _check_one_row_each(path, table[wanted].assign(**{id_column: ids}), id_column)
    families = {}
    if family_column:
        rows = zip(ids, table[family_column], strict=True)
        families = {who: family for who, family in rows if family and who in set(people)}
    if not column:
        return PeopleLabels({}, families=families)
    given = dict(zip(ids, table[column], strict=True))
    told = {who: given[who] for who in people if given.get(who)}
    missing = tuple(who for who in people if who not in told)
    if not told:
        raise DataError(
            f"{path}: nobody among {', '.join(people[:3])} .. has a '{column}'. Give the column of "
            f"a label, and in {id_column} the people of the store."
        )
    if kind == "number" or (kind == "auto" and not classes and _are_numbers(told.values())):
        return PeopleLabels(_numbers(path, column, told), (), families, missing)
    known = sorted(set(told.values()), key=_natural)
    for name in classes:
        if name not in known:
            raise DataError(f"{path}: nobody's '{column}' is '{name}'.{did_you_mean(name, known)}")
    names = tuple(classes) or tuple(known)
    if len(names) < 2:
        raise DataError(
            f"{path}: everybody's '{column}' is '{names[0]}'; there is nothing to tell apart. Give "
            "another column, or more classes."
        )
    values = {who: float(names.index(name)) for who, name in told.items() if name in names}
    other = tuple(who for who in told if who not in values)
    return PeopleLabels(values, names, families, missing, other)


def _check_one_row_each(path: Path, table: pd.DataFrame, id_column: str) -> None:
    """Several rows of a person (one a session) are fine if they say the same."""
    different = table.drop_duplicates()
    twice = different[id_column][different[id_column].duplicated()]
    if len(twice):
        raise DataError(
            f"{path}: {twice.iloc[0]} has several rows that differ. Give a table with one row a "
            "person."
        )


def _are_numbers(values: Collection[str]) -> bool:
    """Whether all values are numbers, of more than two different ones."""
    return len(set(values)) > 2 and all(_number(value) is not None for value in values)


def _numbers(path: Path, column: str, told: Mapping[str, str]) -> dict[str, float]:
    values = {}
    for who, text in told.items():
        number = _number(text)
        if number is None:
            raise DataError(
                f"{path}: the '{column}' of {who} is '{text}', no number. Mend it, write n/a, or "
                "give label_kind=classes."
            )
        values[who] = number
    if len(set(values.values())) < 2:
        raise DataError(
            f"{path}: everybody's '{column}' is {next(iter(values.values())):g}; there is nothing "
            "to predict. Give another column."
        )
    return values


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _natural(text: str) -> tuple[bool, float, str]:
    """Numbers in their order, before text in its own."""
    number = _number(text)
    return number is None, number or 0.0, text
