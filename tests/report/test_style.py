from __future__ import annotations

import base64
import io
import re

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.image import imread

from brainreel.report.style import (
    INK,
    PALETTE,
    RAMP_STOPS,
    canvas,
    drawing,
    note,
    place,
    png_uri,
    ramp,
    ramp_css,
    to_svg,
)


def luminance(colour: str) -> float:
    channels = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


@pytest.mark.parametrize("which", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize("name", ["ink", "muted", "predicted", "ceiling", "second"])
@pytest.mark.parametrize("ground", ["paper", "panel"])
def test_text_colours_have_the_contrast_that_reading_needs(
    name: str, ground: str, which: int
) -> None:
    bright, dark = sorted(
        (luminance(PALETTE[name][which]), luminance(PALETTE[ground][which])), reverse=True
    )
    assert (bright + 0.05) / (dark + 0.05) >= 4.5


def drawn(prefix: str = "a") -> str:
    with drawing():
        figure = canvas(200, 100)
        axes = place(figure, 40, 20, 150, 50)
        axes.plot([0, 1], [0, 1], color=PALETTE["predicted"][0])
        note(figure, 40, 8, "r < ceiling", INK, bold=True)
    return to_svg(figure, alt='r of "V1" & <V2>', prefix=prefix)


def test_svg_takes_colours_and_typeface_from_the_page() -> None:
    svg = drawn()
    assert "stroke: var(--predicted)" in svg
    assert "fill: var(--ink)" in svg
    assert "var(--sans)" in svg
    for light, _ in PALETTE.values():
        assert light not in svg
    assert "DejaVu" not in svg


def test_svg_keeps_text_as_text_and_says_what_it_shows() -> None:
    svg = drawn()
    assert ">r &lt; ceiling</text>" in svg
    assert 'role="img" aria-label="r of &quot;V1&quot; &amp; &lt;V2&gt;"' in svg
    assert 'viewBox="0 0 200 100"' in svg


def test_ids_of_two_drawings_do_not_meet() -> None:
    found = [set(re.findall(r'\bid="([^"]+)"', drawn(prefix))) for prefix in ("a", "b")]
    assert found[0]
    assert not found[0] & found[1]
    used = set(re.findall(r"url\(#([^)]+)\)|href=\"#([^\"]+)\"", drawn("a")))
    assert used
    assert {one or other for one, other in used} <= found[0]


def test_drawing_twice_gives_the_same_svg() -> None:
    assert drawn() == drawn()


def test_place_counts_pixels_from_the_top_left() -> None:
    figure = canvas(400, 200)
    axes = place(figure, 100, 50, 200, 100)
    np.testing.assert_allclose(axes.get_position().bounds, (0.25, 0.25, 0.5, 0.5))
    top = place(figure, 0, 0, 400, 20)
    assert top.get_position().y1 == pytest.approx(1.0)


def test_drawing_leaves_the_callers_settings_alone() -> None:
    before = dict(mpl.rcParams)
    drawn()
    assert dict(mpl.rcParams) == before


def test_ramp_grows_opaque_and_equals_its_css() -> None:
    at = np.linspace(0, 1, 101)
    alpha = ramp()(at)[:, 3]
    assert alpha[0] < 0.15
    assert alpha[-1] == 1.0
    assert np.all(np.diff(alpha) >= -1e-9)
    for position, rgb, opacity in RAMP_STOPS:
        np.testing.assert_allclose(
            ramp()(position), [*(np.array(rgb) / 255), opacity], atol=1.5 / 255 + 0.01
        )
        assert f"rgb({rgb[0]} {rgb[1]} {rgb[2]} / {opacity:g}) {position:.0%}" in ramp_css()


@pytest.mark.parametrize("channels", [1, 3])
def test_png_holds_the_picture(channels: int) -> None:
    picture = np.random.default_rng(0).uniform(size=(channels, 5, 7))
    head, _, data = png_uri(picture).partition(",")
    assert head == "data:image/png;base64"
    back = imread(io.BytesIO(base64.b64decode(data)), format="png")[..., :3]
    expected = np.broadcast_to(np.moveaxis(picture, 0, -1), (5, 7, 3))
    np.testing.assert_allclose(back, expected, atol=0.51 / 255)


def test_png_of_bytes_is_not_rescaled() -> None:
    picture = np.arange(12, dtype=np.uint8).reshape(1, 3, 4)
    data = png_uri(picture).partition(",")[2]
    back = imread(io.BytesIO(base64.b64decode(data)), format="png")
    np.testing.assert_array_equal((back[..., 0] * 255).round(), picture[0])
