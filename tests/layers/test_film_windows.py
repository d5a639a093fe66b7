"""Clips cut from windows of film: against a loop, TR by TR."""

from __future__ import annotations

import pytest
import torch

from brainreel.errors import DataError, ShapeError
from brainreel.layers.film_windows import SILENCE, FilmWindows
from brainreel.stimulus import spectrograms


def windows(shown: torch.Tensor | None = None) -> FilmWindows:
    rng = torch.Generator().manual_seed(0)
    return FilmWindows(
        frames=torch.randint(1, 256, (2, 6, 3, 3, 4, 5), dtype=torch.uint8, generator=rng),
        sound=torch.randn(2, 6, 2, 7, 4, generator=rng),
        frame_numbers=torch.arange(36).reshape(2, 6, 3),
        shown=shown,
    )


@pytest.mark.parametrize("clip_trs", [1, 2, 4, 6])
def test_a_clip_is_the_film_of_the_last_trs(clip_trs: int) -> None:
    given = windows()
    clip = given.clips(clip_trs)
    assert len(clip) == 2 * (7 - clip_trs)
    for row in range(len(clip)):
        u, first = divmod(row, 7 - clip_trs)
        trs = range(first, first + clip_trs)
        for name, joined, dim in (
            ("frames", clip.frames, 0),
            ("frame_numbers", clip.frame_numbers, 0),
            ("sound", clip.sound, 1),
        ):
            expected = torch.cat([getattr(given, name)[u, tr] for tr in trs], dim=dim)
            assert torch.equal(joined[row], expected)


def test_what_was_not_shown_is_black_and_silent_whatever_it_holds() -> None:
    shown = torch.tensor([[False, True, True, True, True, False], [True] * 6])
    clip = windows(shown).clips(3)
    assert (clip.frames[0, :3] == 0).all()
    assert (clip.frames[0, 3:] > 0).all()
    assert (clip.sound[0, :, :7] == SILENCE).all()
    assert (clip.sound[0, :, 7:] != SILENCE).all()
    assert (clip.frames[3, 6:] == 0).all()
    assert (clip.frames[4:] > 0).all()
    assert pytest.approx(float(spectrograms.SILENCE)) == SILENCE


def test_one_window_is_cut_without_a_copy() -> None:
    frames = torch.zeros(1, 50, 2, 3, 4, 4, dtype=torch.uint8)
    clip = FilmWindows(frames).clips(5)
    assert clip.frames is not None
    assert clip.frames.untyped_storage().data_ptr() == frames.untyped_storage().data_ptr()


def test_senses_may_be_missing_and_must_agree() -> None:
    assert windows().shape == (2, 6)
    only = FilmWindows(sound=torch.zeros(1, 3, 1, 2, 2)).clips(2)
    assert only.frames is None
    assert only.frame_numbers is None
    with pytest.raises(DataError, match="neither frames nor sound"):
        FilmWindows()
    with pytest.raises(ShapeError, match="sound has 4 along axis T"):
        FilmWindows(frames=torch.zeros(1, 3, 2, 3, 4, 4), sound=torch.zeros(1, 4, 1, 2, 2))
    with pytest.raises(ShapeError, match="shown has 5 along axis T"):
        FilmWindows(frames=torch.zeros(1, 3, 2, 3, 4, 4), shown=torch.ones(1, 5))
    with pytest.raises(DataError, match="a window of 6 TRs is shorter than the 7 TRs of a clip"):
        windows().clips(7)
