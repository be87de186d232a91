"""What stands on a table or hangs on a wall."""

from __future__ import annotations

from ..geometry import Pen, bezier, polar


def cup(pen: Pen) -> None:
    """Mug with a handle, an open rim, sometimes steam."""
    w, taper, y0, y1 = pen.u(0.55, 0.65), pen.u(0.75, 0.95), -0.45, 0.8
    lip = pen.u(0.14, 0.2)

    def at(y: float) -> complex:
        """The point of the right side at height y."""
        return complex(w * (1 + (taper - 1) * (y - y0) / (y1 - 0.1 - y0)), y)

    pen.path(
        at(-0.15),
        (complex(w + 0.62, -0.3), complex(w + 0.55, 0.55), at(0.45)),
        part=0,
        weight=1.4,
    )
    pen.path(
        complex(-w, y0),
        complex(-w * taper, y1 - 0.1),
        (complex(-w * taper, y1 + 0.12), complex(w * taper, y1 + 0.12), complex(w * taper, y1 - 0.1)),
        complex(w, y0),
        filled=True,
    )
    pen.ellipse(complex(0, y0), w, lip, part=1)
    for i in range(pen.integer(0, 3)):
        x = -0.3 + 0.3 * i
        pen.path(
            complex(x, -0.75),
            (complex(x + 0.18, -0.88), complex(x - 0.18, -1.0), complex(x, -1.15)),
            part=2,
            weight=0.8,
        )


def bottle(pen: Pen) -> None:
    """Neck, shoulders, body, cork or label."""
    w, neck, shoulder = pen.u(0.34, 0.45), pen.u(0.11, 0.16), pen.u(-0.25, 0.0)
    pen.polyline(
        [
            complex(-neck * 1.25, -0.92),
            complex(-neck * 1.25, -1.12),
            complex(neck * 1.25, -1.12),
            complex(neck * 1.25, -0.92),
        ],
        part=1,
    )
    pen.path(
        complex(-neck, -0.92),
        complex(-neck, -0.55),
        (complex(-neck, shoulder - 0.15), complex(-w, shoulder - 0.2), complex(-w, shoulder + 0.1)),
        complex(-w, 1.1),
        complex(w, 1.1),
        complex(w, shoulder + 0.1),
        (complex(w, shoulder - 0.2), complex(neck, shoulder - 0.15), complex(neck, -0.55)),
        complex(neck, -0.92),
        filled=True,
    )
    if pen.chance(0.65):
        y0, y1 = shoulder + 0.35, shoulder + 0.85
        pen.line(complex(-w, y0), complex(w, y0), part=2)
        pen.line(complex(-w, y1), complex(w, y1), part=2)
        pen.fill([complex(-w, y0), complex(w, y0), complex(w, y1), complex(-w, y1)], part=2)


def lamp(pen: Pen) -> None:
    """Shade, stand, base."""
    wide, narrow, drop = pen.u(0.65, 0.8), pen.u(0.28, 0.42), pen.u(-0.15, 0.0)
    pen.polyline([complex(-narrow, -1), complex(narrow, -1), complex(wide, drop), complex(-wide, drop)])
    pen.line(complex(0, drop), 0.9j, part=1, weight=1.4)
    if pen.chance(0.5):
        pen.polyline([complex(-0.45, 0.9), complex(0.45, 0.9), complex(0.38, 1.05), complex(-0.38, 1.05)], part=1)
    else:
        pen.path(
            complex(-0.45, 1.05),
            (complex(-0.4, 0.85), complex(0.4, 0.85), complex(0.45, 1.05)),
            complex(-0.45, 1.05),
            closed=True,
            filled=True,
            part=1,
        )
    if pen.chance(0.5):
        for i in (-1, 0, 1):
            pen.line(complex(i * narrow * 0.55, -0.88), complex(i * wide * 0.55, drop - 0.12), weight=0.7)
    if pen.chance(0.4):
        pen.line(complex(wide * 0.5, drop), complex(wide * 0.5, drop + 0.35), part=2, weight=0.8)
        pen.dot(complex(wide * 0.5, drop + 0.42), 0.06, part=2)


def clock(pen: Pen) -> None:
    """Dial with ticks and two hands."""
    pen.ellipse(0j, 1.0)
    ticks = 12 if pen.chance(0.5) else 4
    for i in range(ticks):
        pen.line(polar(0.72, 360 * i / ticks), polar(0.88, 360 * i / ticks), part=1, weight=0.8)
    hour = pen.u(0, 360)
    minute = hour + pen.u(50, 310)
    pen.polyline([polar(0.38, hour), 0j, polar(0.58, minute)], closed=False, filled=False, part=1, weight=1.3)


def hourglass(pen: Pen) -> None:
    """Two bulbs between two plates, sometimes sand."""
    w, neck = pen.u(0.5, 0.65), 0.07
    for y in (-1, 1):
        pen.polyline(
            [complex(-w - 0.12, 0.82 * y), complex(w + 0.12, 0.82 * y), complex(w + 0.12, y), complex(-w - 0.12, y)],
            part=1,
        )
    for side in (-1, 1):
        pen.path(
            complex(side * w, -0.82),
            (complex(side * w, -0.3), complex(side * neck, -0.2), complex(side * neck, 0)),
            (complex(side * neck, 0.2), complex(side * w, 0.3), complex(side * w, 0.82)),
        )
    pen.fill(
        [
            complex(-w, -0.82),
            complex(w, -0.82),
            complex(w * 0.8, -0.4),
            complex(neck, 0),
            complex(w * 0.8, 0.4),
            complex(w, 0.82),
            complex(-w, 0.82),
            complex(-w * 0.8, 0.4),
            complex(-neck, 0),
            complex(-w * 0.8, -0.4),
        ],
        part=0,
    )
    if pen.chance(0.6):
        pen.line(complex(-w * 0.8, -0.45), complex(w * 0.8, -0.45), part=2)


def icecream(pen: Pen) -> None:
    """Cone with waffle hatching under a scoop or two."""
    w, high, tip = pen.u(0.42, 0.52), pen.u(0.8, 1.0), 1.15j
    left, right = complex(-w, 0), complex(w, 0)
    scoop = (left * 0.86, complex(-w * 1.35, -high), complex(w * 1.35, -high), right * 0.86)
    if pen.chance(0.5):
        a, b = bezier(0.28, *scoop), bezier(0.72, *scoop)
        pen.path(a, (a + complex(-0.22, -0.62), b + complex(0.22, -0.62), b), filled=True, part=2)
    pen.path(scoop[0], scoop[1:], filled=True, part=1)
    pen.polyline([left, right, tip], part=0)
    for i in range(1, 4):
        t = i / 4
        pen.line(left + 2 * w * t, left + (tip - left) * t, weight=0.7)
        pen.line(right - 2 * w * t, right + (tip - right) * t, weight=0.7)
