"""Every kind of data that a recipe can name."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from brainreel.data.films import FilmsData
from brainreel.data.labelled import LabelledData
from brainreel.data.series import SeriesData
from brainreel.data.trials import TrialsData

DataConfig = Annotated[
    FilmsData | SeriesData | TrialsData | LabelledData, Field(discriminator="name")
]
