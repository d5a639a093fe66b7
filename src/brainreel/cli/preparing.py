"""`prepare`: runs into a store, and one voxel vector a trial, as the options ask."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from brainreel.cli.study import check_unused, found_runs, prepare_store, single_run
from brainreel.cli.trials import picture_folders, trials_of_betas, trials_of_events
from brainreel.config import override
from brainreel.errors import ConfigError
from brainreel.fmri.betas import find_betas
from brainreel.fmri.bids import Run
from brainreel.fmri.prepare import PrepareConfig

_SOURCES = ("events", "betas")


def prepare(
    source: Path,
    out: Path,
    options: Sequence[str],
    given: Mapping[str, Any],
    kept: Mapping[str, Any],
    how: Mapping[str, Any],
    dry_run: bool,
) -> None:
    """Prepare a folder or a file, or list what would be done.

    Parameters
    ----------
    source, out
        What is read, and the store.
    options
        `key=value` of `PrepareConfig`.
    given
        What was measured: options that choose runs.
    kept
        What is kept of it: `rois`, `roi_names`, `trials`, `pictures`.
    how
        `n_jobs` and `backend`.
    """
    told = [*roi_options(kept["rois"] or [], kept["roi_names"]), *options]
    config = PrepareConfig.parse(override({}, told), where="prepare")
    trials = kept["trials"]
    if trials not in (None, *_SOURCES):
        raise ConfigError(f"--trials {trials}: trials come from {' or '.join(_SOURCES)}.")
    if trials is None:
        check_unused("runs without --trials", pictures=kept["pictures"])
        prepare_store(_runs(source, given), out, config, **how, dry_run=dry_run)
        return
    folders = picture_folders(source, kept["pictures"])
    if trials == "betas":
        unused = {key: value for key, value in given.items() if key not in ("subject", "events")}
        check_unused("betas", **unused, backend=how["backend"])
        betas = find_betas(source, subjects=given["subject"] or None, table=given["events"])
        trials_of_betas(betas, folders, out, config, dry_run)
    else:
        trials_of_events(_runs(source, given), folders, out, config, **how, dry_run=dry_run)


def _runs(source: Path, given: Mapping[str, Any]) -> list[Run]:
    subject, task, films = given["subject"], given["task"], given["film"] or []
    if source.is_file():
        check_unused("one file", derivatives=given["derivatives"], space=given["space"])
        start_s = given["film_start_s"] or 0.0
        return single_run(source, films, start_s, subject, task, given["events"])
    check_unused("a folder", film_start_s=given["film_start_s"], events=given["events"])
    return found_runs(source, given["derivatives"], subject, task, given["space"], films)


def roi_options(given: Sequence[str], names: Path | None) -> list[str]:
    """Return `--rois` and `--roi-names` as options of prepare, before those that are written out.

    Raises
    ------
    ConfigError
        If two atlases are given, a region is given twice, or names come without an atlas.
    """
    options: dict[str, str] = {}
    for item in given:
        region, sign, path = item.partition("=")
        key = f"rois.masks.{region}" if sign else "rois.atlas"
        if key in options:
            told = f"region '{region}'" if sign else "an atlas"
            raise ConfigError(f"--rois {item}: {told} was given already. Give each once.")
        if sign and (not region or "." in region):
            raise ConfigError(f"--rois {item}: a region needs a name without dots: NAME=IMAGE.")
        options[key] = path if sign else item
    if names is not None:
        if "rois.atlas" not in options:
            raise ConfigError("--roi-names says nothing without an atlas. Give --rois ATLAS.")
        options["rois.names"] = str(names)
    return [f"{key}={json.dumps(value)}" for key, value in options.items()]
