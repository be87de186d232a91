"""What people build: houses, vehicles, furniture."""

from __future__ import annotations

from itertools import pairwise

from ..geometry import Pen, polar


def house(pen: Pen) -> None:
    """Wall, pitched roof, door; one to three windows, a chimney and hatched tiles may be there."""
    w, eaves, top = pen.u(0.65, 0.85), pen.u(-0.25, 0.0), -1.0
    over = w + pen.u(0.12, 0.2)
    apex = complex(0, top)
    if pen.chance(0.5):
        x = over * pen.u(0.4, 0.55)
        foot, inner_foot = _on_roof(x + 0.24, over, eaves), _on_roof(x, over, eaves)
        pen.polyline([inner_foot, complex(x, top - 0.1), complex(x + 0.24, top - 0.1), foot], closed=False, part=3)
    pen.polyline([complex(-w, eaves), complex(-w, 1), complex(w, 1), complex(w, eaves)], closed=False, part=0)
    pen.polyline([apex, complex(over, eaves), complex(-over, eaves)], part=1)
    if pen.chance(0.4):
        for i in range(1, 5):
            x = -over * 0.6 + over * 1.2 * (i - 1) / 3
            top_y = top + (eaves - top) * abs(x) / over
            pen.line(complex(x, top_y + 0.2), complex(x, eaves - 0.1), part=1, weight=0.7)
    door = pen.u(-0.4, 0.4) * w
    pen.polyline(
        [complex(door - 0.15, 1), complex(door - 0.15, 0.45), complex(door + 0.15, 0.45), complex(door + 0.15, 1)],
        closed=False,
        part=2,
    )
    spots = [x for x in (-w * 0.62, w * 0.02, w * 0.62) if abs(x - door) > 0.42]
    for x in spots[: pen.integer(1, 3)]:
        _pane(pen, complex(x, eaves + 0.38), 0.14)


def _on_roof(x: float, over: float, eaves: float) -> complex:
    return complex(x, -1.0 + (eaves + 1.0) * abs(x) / over)


def _pane(pen: Pen, centre: complex, half: float) -> None:
    pen.polyline([centre + half * z for z in (-1 - 1j, 1 - 1j, 1 + 1j, -1 + 1j)], part=4)


def window(pen: Pen) -> None:
    """Frame with muntins on a sill; the top may be arched."""
    w, rows = pen.u(0.65, 0.9), pen.integer(2, 3)
    arched = pen.chance(0.35)
    top, sill = (-0.6, 0.8) if arched else (-0.95, 0.8)
    left, right = complex(-w, top), complex(w, top)
    if arched:
        over = (complex(-w, top - 0.62), complex(w, top - 0.62), right)
        pen.path(complex(-w, sill), left, over, complex(w, sill), filled=True)
        pen.line(left, right)
    else:
        pen.polyline([complex(-w, sill), left, right, complex(w, sill)], closed=False)
    pen.line(complex(0, top), complex(0, sill))
    for i in range(1, rows):
        y = top + (sill - top) * i / rows
        pen.line(complex(-w, y), complex(w, y))
    ledge = w + pen.u(0.12, 0.22)
    pen.polyline([complex(-ledge, sill), complex(ledge, sill), complex(ledge, 1.0), complex(-ledge, 1.0)], part=1)


def fence(pen: Pen) -> None:
    """Pointed pickets on two rails."""
    n, point = pen.integer(3, 5), pen.u(0.15, 0.3)
    pitch = 2.0 / n
    half, top = pitch * pen.u(0.22, 0.28), -pen.u(0.6, 0.8)
    xs = [-1 + pitch * (i + 0.5) for i in range(n)]
    for y in (-0.28, 0.4):
        pen.fill([complex(-1, y - 0.06), complex(1, y - 0.06), complex(1, y + 0.06), complex(-1, y + 0.06)], part=1)
    for x in xs:
        pen.polyline(
            [
                complex(x - half, 0.8),
                complex(x - half, top),
                complex(x, top - point),
                complex(x + half, top),
                complex(x + half, 0.8),
            ]
        )
    for y in (-0.28, 0.4):
        for left, right in pairwise(xs):
            pen.line(complex(left + half, y), complex(right - half, y), part=1)


def ladder(pen: Pen) -> None:
    """Two rails and four to seven rungs."""
    rungs, foot, top = pen.integer(4, 7), pen.u(0.36, 0.5), pen.u(0.26, 0.36)
    pen.line(complex(-foot, 1.1), complex(-top, -1.1), weight=1.2)
    pen.line(complex(foot, 1.1), complex(top, -1.1), weight=1.2)
    for i in range(rungs):
        t = (i + 0.6) / (rungs + 0.2)
        x = foot + (top - foot) * t
        y = 1.1 - 2.2 * t
        pen.line(complex(-x, y), complex(x, y))


def car(pen: Pen) -> None:
    """Side view: body, cabin with windows, two wheels."""
    cabin, wheel, hood = pen.u(0.45, 0.6), pen.u(0.2, 0.26), pen.u(-0.05, 0.05)
    floor, x1, x2 = 0.4, -0.55, pen.u(0.5, 0.6)
    pen.path(
        complex(-1.05, floor),
        complex(-1.05, hood),
        complex(-0.7, hood - 0.04),
        complex(-0.4, hood - cabin),
        complex(0.35, hood - cabin),
        complex(0.65, hood - 0.04),
        (complex(1.05, hood), complex(1.05, floor)),
        complex(x2 + wheel, floor),
        (
            complex(x2 + wheel, floor - wheel * 1.33),
            complex(x2 - wheel, floor - wheel * 1.33),
            complex(x2 - wheel, floor),
        ),
        complex(x1 + wheel, floor),
        (
            complex(x1 + wheel, floor - wheel * 1.33),
            complex(x1 - wheel, floor - wheel * 1.33),
            complex(x1 - wheel, floor),
        ),
        complex(-1.05, floor),
        closed=True,
        filled=True,
    )
    y0, y1 = hood - 0.08, hood - cabin + 0.1
    pen.polyline([complex(-0.54, y0), complex(-0.34, y1), complex(-0.06, y1), complex(-0.06, y0)], part=1)
    pen.polyline([complex(0.06, y0), complex(0.06, y1), complex(0.3, y1), complex(0.5, y0)], part=1)
    for x in (x1, x2):
        pen.ellipse(complex(x, floor + 0.04), wheel * 0.66, part=2)


def sailboat(pen: Pen) -> None:
    """Hull, mast, one sail or two, sometimes water."""
    deep, mast, boom = pen.u(0.3, 0.42), pen.u(-0.15, 0.1), pen.u(0.1, 0.22)
    deck = 0.45
    head, foot = complex(mast, -1.0), complex(mast, boom)
    pen.path(
        complex(-0.95, deck),
        complex(0.95, deck),
        (complex(0.75, deck + deep), complex(0.5, deck + deep)),
        complex(-0.6, deck + deep),
        complex(-0.95, deck),
        closed=True,
        filled=True,
    )
    pen.path(head, (complex(mast + 0.65, -0.4), complex(mast + pen.u(0.65, 0.8), boom)), foot, filled=True, part=1)
    if pen.chance(0.6):
        pen.polyline([complex(mast, -0.85), complex(mast - pen.u(0.5, 0.7), boom), foot], closed=False, part=3)
    pen.line(complex(mast, -1.15), complex(mast, deck), part=2)
    if pen.chance(0.35):
        pen.curve([complex(-1.1 + 0.37 * i, deck + deep + 0.22 + 0.06 * (-1) ** i) for i in range(7)], part=4)


def bicycle(pen: Pen) -> None:
    """Two wheels, diamond frame, handlebar, saddle."""
    r, y = pen.u(0.4, 0.46), 0.35
    back, front = complex(-0.62, y), complex(0.62, y)
    crank, seat, head = complex(-0.08, y + 0.02), complex(-0.25, -0.3), complex(0.42, -0.32)
    pen.ellipse(back, r, filled=False)
    pen.ellipse(front, r, filled=False)
    pen.polyline([back, seat, head, crank, back], closed=False, filled=False, part=1)
    pen.line(seat + (crank - seat) * -0.28, crank, part=1)
    pen.polyline([front, head, head + complex(-0.06, -0.28), head + complex(pen.u(0.1, 0.25), -0.34)], False, False, part=1)
    top = seat + (crank - seat) * -0.28
    pen.line(top - 0.18, top + 0.14, part=2, weight=1.5)


def chair(pen: Pen) -> None:
    """Seat in oblique view, four legs, a back with slats."""
    skew, high = pen.u(0.25, 0.4), pen.u(0.85, 1.0)
    a, b = complex(-0.6, 0.25), complex(0.35, 0.25)
    d, c = a + complex(skew, -0.28), b + complex(skew, -0.28)
    pen.polyline([a, b, c, d])
    for corner in (a, b, c):
        pen.line(corner, corner + 0.85j, part=1)
    top_d, top_c = d - 1j * high, c - 1j * high
    pen.polyline([d, top_d, top_c, c], closed=False, filled=False, part=1)
    if pen.chance(0.5):
        for t in (0.3, 0.6):
            pen.line(d - 1j * high * t, c - 1j * high * t, part=1)
    else:
        for i in (1, 2, 3):
            foot = d + (c - d) * i / 4
            pen.line(foot, foot - 1j * high, part=1)


def table(pen: Pen) -> None:
    """Table top with thickness and two or four legs."""
    skew, thick = pen.u(0.25, 0.45), pen.u(0.1, 0.16)
    a, b = complex(-0.95, -0.2), complex(0.95 - skew, -0.2)
    d, c = a + complex(skew, -0.35), b + complex(skew, -0.35)
    pen.polyline([a, b, c, d], part=0)
    pen.polyline([a, a + 1j * thick, b + 1j * thick, b], closed=False, part=1)
    pen.polyline([b + 1j * thick, c + 1j * thick, c], closed=False, filled=False, part=1)
    low = pen.u(0.75, 0.9)
    for foot in (a + 0.08, b - 0.08):
        start = foot + 1j * thick
        pen.line(start, start + 1j * low, part=2, weight=1.3)
    edge = b + 1j * thick + (c - b) * 0.85
    pen.line(edge, edge + 0.75j * low, part=2, weight=1.3)
    if pen.chance(0.6):
        middle = a + 1j * thick + (b - a) * 0.3
        pen.line(middle, middle + 0.75j * low, part=2, weight=1.3)


def tent(pen: Pen) -> None:
    """Ridge tent with an open flap."""
    depth = complex(pen.u(0.6, 0.8), -pen.u(0.1, 0.25))
    apex, left, right = complex(-0.35, -0.7), complex(-1.0, 0.6), complex(0.3, 0.6)
    pen.fill([apex, apex + depth, right + depth, right], part=1)
    pen.polyline([apex, left, right], part=0)
    pen.polyline([apex, apex + depth, right + depth, right], closed=False, filled=False, part=1)
    slit = complex(-0.35, 0.6)
    pen.polyline([slit - 0.22, apex + 0.35j, slit + 0.22], closed=False, part=2)


def rocket(pen: Pen) -> None:
    """Pointed body, fins, round window, flame."""
    w = pen.u(0.26, 0.34)
    for side in (-1, 1):
        pen.polyline(
            [complex(side * w, 0.15), complex(side * (w + 0.35), 0.75), complex(side * w, 0.48)],
            closed=False,
            part=1,
        )
    pen.path(
        complex(-w, 0.65),
        complex(-w, -0.3),
        (complex(-w, -0.75), complex(-0.1, -0.98), -1.1j),
        (complex(0.1, -0.98), complex(w, -0.75), complex(w, -0.3)),
        complex(w, 0.65),
        complex(-w, 0.65),
        closed=True,
        filled=True,
    )
    pen.ellipse(-0.25j, w * 0.5, part=2)
    if pen.chance(0.7):
        pen.polyline(
            [complex(-w * 0.6, 0.65), complex(-w * 0.3, 1.0), 0.8j, complex(w * 0.3, 1.0), complex(w * 0.6, 0.65)],
            closed=False,
            part=3,
        )


def wheel(pen: Pen) -> None:
    """Wooden wheel: rim, hub and spokes."""
    spokes, hub, turn = pen.integer(5, 8), pen.u(0.2, 0.26), pen.u(0, 360)
    rim = pen.u(0.72, 0.8)
    pen.ellipse(0j, 1.0, filled=False)
    pen.ellipse(0j, rim, filled=False)
    for i in range(spokes):
        pen.line(polar(hub, turn + 360 * i / spokes), polar(rim, turn + 360 * i / spokes))
    pen.ellipse(0j, hub, filled=True, part=1)
