"""Things one carries, plays, reads or wears."""

from __future__ import annotations

from ..geometry import Pen, polar


def key(pen: Pen) -> None:
    """Ring-shaped bow, shaft, two or three teeth."""
    bow = pen.u(0.3, 0.38)
    centre = complex(-0.7, 0)
    pen.ellipse(centre, bow)
    pen.ellipse(centre, bow * 0.45, part=1)
    y = 0.09
    x = centre.real + bow * 0.96
    teeth = pen.integer(2, 3)
    outline = [complex(x, -y), complex(1.0, -y)]
    length = pen.u(0.22, 0.34)
    for i in range(teeth):
        right = 1.0 - 0.34 * i
        outline += [complex(right, y + length), complex(right - 0.16, y + length), complex(right - 0.16, y)]
        if i < teeth - 1:
            outline.append(complex(right - 0.34, y))
    outline.append(complex(x, y))
    pen.polyline(outline, closed=False)


def umbrella(pen: Pen) -> None:
    """Dome with a scalloped edge, a stick with a hook."""
    ribs, top = pen.integer(3, 5), -pen.u(0.75, 0.95)
    edge = 0.05
    pen.path(
        complex(0, edge - 0.08),
        complex(0, 0.82),
        (complex(0, 1.08), complex(0.3, 1.08), complex(0.3, 0.85)),
        part=1,
        weight=1.2,
    )
    steps = []
    for i in range(ribs):
        right = 1 - 2 * i / ribs
        left = 1 - 2 * (i + 1) / ribs
        steps.append((complex((left + right) / 2, edge - 0.2), complex(left, edge)))
    pen.path(
        complex(-1, edge),
        (complex(-0.95, top * 1.35), complex(0.95, top * 1.35), complex(1, edge)),
        *steps,
        closed=True,
        filled=True,
    )
    apex = complex(0, edge + (top * 1.35 - edge) * 0.75)
    for i in range(1, ribs):
        x = -1 + 2 * i / ribs
        if abs(x) > 0.05:
            pen.path(complex(x, edge), (complex(x * 0.9, apex.imag * 0.6), apex), weight=0.7)
    pen.line(apex, apex - 0.15j, part=1)


def kite(pen: Pen) -> None:
    """Diamond with its cross and a tail with ribbons."""
    w, waist = pen.u(0.5, 0.65), -pen.u(0.35, 0.5)
    top, bottom = complex(0.1, -1.1), complex(0.1, 0.35)
    left, right = complex(0.1 - w, waist), complex(0.1 + w, waist)
    pen.polyline([top, right, bottom, left])
    pen.line(top, bottom, weight=0.8)
    pen.line(left, right, weight=0.8)
    sway = pen.u(0.15, 0.3)
    tail = [bottom, complex(0.1 - sway, 0.58), complex(0.05 + sway * 0.5, 0.82), complex(-0.1, 1.1)]
    pen.curve(tail, part=1)
    for knot in tail[1:3]:
        ribbon = polar(0.19, pen.u(-20, 20))
        pen.line(knot - ribbon, knot + ribbon, part=2, weight=1.1)


def guitar(pen: Pen) -> None:
    """Waisted body, sound hole, neck, head."""
    low, high, waist = pen.u(0.55, 0.65), pen.u(0.38, 0.46), pen.u(0.26, 0.34)
    n = 0.09
    pen.polyline(
        [
            complex(-n, -0.2),
            complex(-n, -0.95),
            complex(-n * 1.8, -1.0),
            complex(-n * 1.8, -1.25),
            complex(n * 1.8, -1.25),
            complex(n * 1.8, -1.0),
            complex(n, -0.95),
            complex(n, -0.2),
        ],
        closed=False,
        part=1,
    )
    pen.path(
        complex(-n, -0.2),
        (complex(-high * 1.2, -0.25), complex(-high * 1.3, 0.12), complex(-waist, 0.3)),
        (complex(-low * 1.35, 0.5), complex(-low * 1.2, 1.12), 1.12j),
        (complex(low * 1.2, 1.12), complex(low * 1.35, 0.5), complex(waist, 0.3)),
        (complex(high * 1.3, 0.12), complex(high * 1.2, -0.25), complex(n, -0.2)),
        filled=True,
    )
    pen.ellipse(0.3j, 0.15, part=2)
    pen.line(-0.18 + 0.82j, 0.18 + 0.82j, part=1, weight=1.3)


def comb(pen: Pen) -> None:
    """Back and eight to twelve teeth."""
    n, long = pen.integer(7, 10), pen.u(0.5, 0.75)
    pen.polyline([-1.05 - 0.6j, 1.05 - 0.6j, 1.05 - 0.25j, -1.05 - 0.25j])
    for i in range(n):
        x = -0.95 + 1.9 * i / (n - 1)
        pen.line(complex(x, -0.25), complex(x, -0.25 + long), part=1)


def envelope(pen: Pen) -> None:
    """Rectangle with a flap."""
    h, tip = pen.u(0.55, 0.7), pen.u(0.0, 0.2)
    pen.polyline([complex(-1, -h), complex(1, -h), complex(1, h), complex(-1, h)])
    pen.polyline([complex(-1, -h), complex(0, tip), complex(1, -h)], closed=False, part=1)
    if pen.chance(0.5):
        pen.line(complex(-1, h), complex(-0.32, tip * 0.5 + 0.05 - h * 0.12), weight=0.9)
        pen.line(complex(1, h), complex(0.32, tip * 0.5 + 0.05 - h * 0.12), weight=0.9)


def book(pen: Pen) -> None:
    """Open book with lines of text."""
    h, rise, rows = pen.u(0.55, 0.7), pen.u(0.15, 0.28), pen.integer(3, 5)
    for side in (-1, 1):
        pen.path(
            complex(0, -h),
            (complex(side * 0.35, -h - rise), complex(side * 0.7, -h - rise * 0.8), complex(side, -h - 0.05)),
            complex(side, h - 0.05),
            (complex(side * 0.7, h - rise * 0.8), complex(side * 0.35, h - rise), complex(0, h)),
            filled=True,
            part=0 if side < 0 else 1,
        )
        for i in range(rows):
            y = -h + 0.2 + (2 * h - 0.5) * i / (rows - 1)
            pen.line(complex(side * 0.2, y - 0.1), complex(side * 0.82, y - 0.1), part=2, weight=0.7)
    pen.line(complex(0, -h), complex(0, h))


def glasses(pen: Pen) -> None:
    """Two lenses, a bridge, two temples."""
    r = pen.u(0.34, 0.42)
    square = pen.chance(0.4)
    for side in (-1, 1):
        centre = complex(side * 0.5, 0.1)
        if square:
            pen.polyline(
                [
                    centre + z
                    for z in (
                        complex(-r, -r * 0.8),
                        complex(r, -r * 0.8),
                        complex(r * 0.85, r * 0.8),
                        complex(-r * 0.85, r * 0.8),
                    )
                ],
                part=1,
            )
        else:
            pen.ellipse(centre, r, part=1)
        pen.polyline(
            [
                complex(side * (0.5 + r), 0.0),
                complex(side * 1.1, -0.12),
                complex(side * (1.1 - pen.u(0.0, 0.12)), -0.55),
            ],
            False,
            False,
        )
    pen.path(complex(-0.5 + r, 0.0), (complex(0, -0.2), complex(0.5 - r, 0.0)))


def anchor(pen: Pen) -> None:
    """Ring, shank, stock, curved arms with flukes."""
    wide, stock = pen.u(0.7, 0.85), pen.u(0.35, 0.5)
    pen.ellipse(-0.9j, 0.17, filled=False)
    pen.line(-0.73j, 0.95j, weight=1.2)
    pen.line(complex(-stock, -0.45), complex(stock, -0.45), weight=1.2)
    pen.path(
        complex(-wide, 0.2),
        (complex(-wide * 0.85, 0.9), 0.95j),
        (complex(wide * 0.85, 0.9), complex(wide, 0.2)),
        weight=1.2,
    )
    for side in (-1, 1):
        tip = complex(side * wide, 0.2)
        pen.polyline([tip + complex(-0.2, 0.2), tip, tip + complex(0.2, 0.2)], False, False, weight=1.2)
