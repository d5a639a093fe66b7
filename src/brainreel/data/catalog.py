"""Every kind of data that a recipe can name, and what they open to."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from brainreel.data.bold5000 import Bold5000Data
from brainreel.data.films import FilmsData
from brainreel.data.god import GodData
from brainreel.data.hcp_voxels import HcpVoxelsData
from brainreel.data.labelled import LabelledData
from brainreel.data.labelled_samples import Labelled
from brainreel.data.mixed import MixedData
from brainreel.data.people import PeopleData
from brainreel.data.samples import Series, Trials
from brainreel.data.series import SeriesData
from brainreel.data.trials import TrialsData

DataConfig = Annotated[
    FilmsData
    | PeopleData
    | SeriesData
    | TrialsData
    | GodData
    | Bold5000Data
    | HcpVoxelsData
    | MixedData
    | LabelledData,
    Field(discriminator="name"),
]
Opened = Series | Trials | Labelled
