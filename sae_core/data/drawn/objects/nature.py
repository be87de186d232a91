"""Plants, the sky and what grows or shines."""

from __future__ import annotations

from ..geometry import Pen, bezier, polar


def tree(pen: Pen) -> None:
    """Trunk under a scalloped crown, sometimes with fruit."""
    lobes, crown, centre, foot = pen.integer(6, 9), pen.u(0.6, 0.75), -0.3j, 1.1
    lowest = cloud(pen, centre, crown * pen.u(0.95, 1.15), crown, lobes)
    right, left = bezier(0.12, *lowest), bezier(0.88, *lowest)
    spread = pen.u(0.05, 0.14)
    pen.path(
        left,
        (complex(left.real, 0.9), complex(left.real - spread, foot)),
        complex(right.real + spread, foot),
        (complex(right.real, 0.9), right),
        filled=True,
        part=1,
    )
    fruit, turn = pen.integer(0, 4), pen.u(0, 360)
    for i in range(fruit):
        pen.dot(polar(pen.u(0.3, 0.5) * crown, turn + 90 * i + pen.u(-20, 20), centre), 0.07, part=2)


def cloud(pen: Pen, centre: complex, rx: float, ry: float, lobes: int) -> tuple[complex, complex, complex]:
    """Draw a closed outline of bulging arcs around an ellipse; returns the lowest bulge, right to left."""
    turn = 90.0 + 180.0 / lobes
    knots = [polar(0.82, turn + 360 * i / lobes) for i in range(lobes)]
    knots = [centre + complex(knot.real * rx, knot.imag * ry) for knot in knots]
    steps: list[tuple[complex, complex]] = []
    for i, knot in enumerate(knots):
        after = knots[(i + 1) % lobes]
        middle = (knot + after) / 2 - centre
        steps.append((centre + middle * pen.u(1.5, 1.7), after))
    pen.path(knots[0], *steps, closed=True, filled=True)
    return (knots[-1], *steps[-1])


def pine(pen: Pen) -> None:
    """Two to four triangles, one on the other, on a short trunk."""
    tiers, slope = pen.integer(2, 4), pen.u(0.42, 0.6)
    outline = [-1j]
    left = []
    for i in range(tiers):
        y = -1 + 1.75 * (i + 1) / tiers
        width = slope * (0.55 + 0.45 * (i + 1) / tiers) * (1.0 if tiers > 2 else 1.1)
        outline.append(complex(width, y))
        left.append(complex(-width, y))
        if i < tiers - 1:
            notch = width * pen.u(0.38, 0.5)
            outline.append(complex(notch, y))
            left.append(complex(-notch, y))
    trunk = pen.u(0.09, 0.15)
    pen.fill([-trunk + 0.7j, trunk + 0.7j, trunk + 1.1j, -trunk + 1.1j], part=1)
    pen.polyline(outline + left[::-1])
    pen.polyline([-trunk + 0.75j, -trunk + 1.1j, trunk + 1.1j, trunk + 0.75j], closed=False, part=1)
    if pen.chance(0.4):
        for i in range(tiers):
            pen.dot(complex(pen.u(-0.12, 0.12), -0.45 + 1.05 * i / max(tiers - 1, 1)), 0.06, part=2)


def sun(pen: Pen) -> None:
    """Disc with straight rays that do not touch it."""
    rays, radius, gap = pen.integer(8, 14), pen.u(0.42, 0.55), pen.u(0.12, 0.18)
    uneven = pen.u(0.75, 1.0) if rays % 2 == 0 else 1.0
    turn = pen.u(0, 360)
    pen.ellipse(0j, radius)
    for i in range(rays):
        angle = turn + 360 * i / rays
        pen.line(polar(radius + gap, angle), polar(uneven if i % 2 else 1.0, angle), part=1, weight=1.2)


def star(pen: Pen) -> None:
    """Star of five or six points."""
    points, inner = pen.integer(5, 6), pen.u(0.4, 0.52)
    pen.polyline([polar(inner if i % 2 else 1.0, -90 + 180 * i / points) for i in range(2 * points)])


def flower(pen: Pen) -> None:
    """Petals around a disc, on a stem with one leaf or two."""
    petals, heart, centre = pen.integer(5, 8), pen.u(0.15, 0.2), -0.42j
    turn, reach, fat = pen.u(0, 360), pen.u(0.58, 0.66), pen.u(0.9, 1.15)
    bend = pen.u(-0.2, 0.2)
    start = centre + 1j * reach * 0.97
    pen.path(start, (complex(bend, 0.6), complex(bend, 1.1)), part=2, weight=1.2)
    for side in (-1, 1) if pen.chance(0.5) else (1 if pen.chance(0.5) else -1,):
        base = complex(bend * 0.85, 0.82)
        tip = base + complex(0.5 * side, -0.32)
        pen.path(base, (base + 0.05 * side - 0.32j, tip), (tip - 0.05 * side + 0.3j, base), closed=True, filled=True, part=2)
    half = 180 / petals
    for i in range(petals):
        angle = turn + 360 * i / petals
        foot = polar(heart, angle - half, centre)
        next_foot = polar(heart, angle + half, centre)
        pen.path(
            foot,
            (
                polar(reach * 1.22 * fat, angle - half * 0.8, centre),
                polar(reach * 1.22 * fat, angle + half * 0.8, centre),
                next_foot,
            ),
            filled=True,
        )
    pen.ellipse(centre, heart, part=1)


def mushroom(pen: Pen) -> None:
    """Domed cap with or without dots on a stem."""
    stem, height, rim = pen.u(0.2, 0.32), pen.u(0.85, 1.05), 0.1
    pen.path(
        complex(-stem, rim),
        (complex(-stem * 0.7, 0.5), complex(-stem * 1.2, height)),
        (complex(0, height + 0.16), complex(stem * 1.2, height)),
        (complex(stem * 0.7, 0.5), complex(stem, rim)),
        filled=True,
        part=1,
    )
    top = -pen.u(1.1, 1.35)
    pen.path(
        complex(-0.95, rim),
        (complex(-0.9, top), complex(0.9, top), complex(0.95, rim)),
        complex(-0.95, rim),
        closed=True,
        filled=True,
    )
    for x, y in ((-0.45, -0.25), (0.05, -0.55), (0.42, -0.2))[: pen.integer(0, 3)]:
        pen.dot(complex(x + pen.u(-0.08, 0.08), y + pen.u(-0.06, 0.06)), pen.u(0.08, 0.12), part=2)


def leaf(pen: Pen) -> None:
    """Pointed leaf with midrib and paired veins."""
    width, veins = pen.u(0.5, 0.75), pen.integer(2, 4)
    pen.path(
        0.75j,
        (complex(width * 1.25, 0.45), complex(width * 0.9, -0.55), -1j),
        (complex(-width * 0.9, -0.55), complex(-width * 1.25, 0.45), 0.75j),
        closed=True,
        filled=True,
    )
    pen.line(-0.62j, 1.12j, weight=1.1)
    for i in range(veins):
        y = 0.5 - 0.85 * i / max(veins - 1, 1)
        reach = width * (0.5 - 0.28 * i / max(veins - 1, 1))
        pen.line(complex(0, y), complex(reach, y - reach * 0.75), weight=0.7)
        pen.line(complex(0, y), complex(-reach, y - reach * 0.75), weight=0.7)


def moon(pen: Pen) -> None:
    """Crescent."""
    bite = pen.u(0.15, 0.42)
    pen.path(
        -1j,
        (-1.35 - 0.95j, -1.35 + 0.95j, 1j),
        (complex(-bite - 0.35, 0.6), complex(-bite - 0.35, -0.6), -1j),
        closed=True,
        filled=True,
    )
    if pen.chance(0.25):
        pen.dot(complex(pen.u(-0.1, 0.3), pen.u(-0.4, 0.4)), 0.06, part=1)


def heart(pen: Pen) -> None:
    """Heart."""
    dip, cheek = -pen.u(0.35, 0.5), pen.u(1.0, 1.25)
    pen.path(
        1j * dip,
        (complex(0.25, -1.15), complex(cheek, -1.1), complex(cheek * 0.85, -0.25)),
        (complex(cheek * 0.75, 0.25), complex(0.25, 0.6), 1j),
        (complex(-0.25, 0.6), complex(-cheek * 0.75, 0.25), complex(-cheek * 0.85, -0.25)),
        (complex(-cheek, -1.1), complex(-0.25, -1.15), 1j * dip),
        closed=True,
        filled=True,
    )


def spider_web(pen: Pen) -> None:
    """Spokes with sagging threads between them."""
    spokes, rings, turn, sag = pen.integer(5, 7), pen.integer(2, 3), pen.u(0, 360), pen.u(0.7, 0.85)
    for i in range(spokes):
        pen.line(0j, polar(1.0, turn + 360 * i / spokes))
    for ring in range(rings):
        radius = 0.92 - 0.62 * ring / max(rings - 1, 1) * (1.0 if rings == 3 else 0.75)
        knots = [polar(radius, turn + 360 * i / spokes) for i in range(spokes)]
        steps = []
        for i in range(spokes):
            after = knots[(i + 1) % spokes]
            steps.append(((knots[i] + after) / 2 * sag, after))
        pen.path(knots[0], *steps, closed=True, filled=False, weight=0.8)


def cactus(pen: Pen) -> None:
    """Column with two raised arms."""
    left, right = pen.u(-0.05, 0.25), pen.u(-0.35, 0.0)
    w, arm = pen.u(0.2, 0.26), 0.13
    x = pen.u(0.62, 0.75)
    reach = pen.u(0.4, 0.55)
    pen.path(
        complex(-w, 1),
        complex(-w, left + 0.3),
        (complex(-x - arm, left + 0.34), complex(-x - arm, left), complex(-x - arm, left - reach)),
        (complex(-x - arm, left - reach - 0.2), complex(-x + arm, left - reach - 0.2), complex(-x + arm, left - reach)),
        (complex(-x + arm, left), complex(-x + arm, left + 0.06), complex(-w, left)),
        complex(-w, -0.75),
        (complex(-w, -1.1), complex(w, -1.1), complex(w, -0.75)),
        complex(w, right),
        (complex(x - arm, right + 0.06), complex(x - arm, right), complex(x - arm, right - reach)),
        (complex(x - arm, right - reach - 0.2), complex(x + arm, right - reach - 0.2), complex(x + arm, right - reach)),
        (complex(x + arm, right), complex(x + arm, right + 0.34), complex(w, right + 0.3)),
        complex(w, 1),
        complex(-w, 1),
        closed=True,
        filled=True,
    )
    if pen.chance(0.6):
        n = pen.integer(2, 4)
        for i in range(n):
            y = -0.6 + 1.3 * (i + pen.u(0, 0.5)) / n
            pen.line(complex(-0.06, y), complex(0.06, y + 0.1), weight=0.7)
