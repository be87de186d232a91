"""Words to compare images with: visual primitives, common objects, class names, and which of them a CLIP can know.

The shipped lists are noun phrases that follow "a drawing of". They name latents, and they are the concepts of the text control.
"""

from __future__ import annotations

from collections.abc import Sequence

from sae_core.clip.prompts import imagenet_class_names
from sae_core.errors import InputError


def _phrases(text: str) -> tuple[str, ...]:
    return tuple(phrase for line in text.strip().splitlines() for phrase in (part.strip() for part in line.split(",")) if phrase)


PRIMITIVES: tuple[str, ...] = _phrases(
    """
    line, lines, straight line, straight lines, horizontal lines, vertical lines, diagonal lines, parallel lines
    crossing lines, converging lines, radiating lines, broken line, dashed line, dotted line, thick line, thin lines
    short strokes, long stroke, repeated strokes, scribble, zigzag, wave, wavy line, ripples
    curve, curves, smooth curve, arc, arcs, s-curve, bend, hook, swirl, spiral, coil, loop, loops, knot
    corner, corners, right angle, sharp angle, obtuse angle, vertex, tip, spike, spikes, notch, teeth, serrated edge
    junction, junctions, cross, T-junction, Y-junction, fork, branches, intersection, lattice, mesh, net
    hatching, cross-hatching, shading, stripes, bars, grid, checkerboard, bricks, scales, texture, pattern
    dot, dots, spots, speckles, dotted pattern, row of dots, cluster of dots
    circle, circles, concentric circles, ring, rings, ellipse, oval, semicircle, crescent, disc, sphere, ball
    triangle, triangles, square, squares, rectangle, rectangles, diamond, pentagon, hexagon, polygon, trapezoid
    cube, box, cylinder, cone, pyramid, prism, tube, arch, dome, frame, closed outline, open outline
    symmetry, radial pattern, fan, star shape, heart shape, teardrop, petals, leaf shape, cloud shape, blob
    filled shape, solid black, empty space, silhouette, outline, contour, fold, border, slope, staircase
    """
)
"""Words for how a drawing is made: strokes, angles, junctions, repeats, simple shapes."""

OBJECTS: tuple[str, ...] = _phrases(
    """
    house, hut, tower, castle, church, barn, lighthouse, windmill, skyscraper, bridge, tent, igloo, gate, fence
    door, window, roof, chimney, stairs, ladder, wall, column, road, railway track
    tree, pine tree, palm tree, bush, leaf, flower, tulip, rose, sunflower, cactus, grass, mushroom, acorn, feather
    sun, moon, star, cloud, rain, lightning, snowflake, rainbow, mountain, volcano, island, river, sea, fire
    person, face, eye, nose, mouth, ear, hand, foot, hair, beard, skull, stick figure, crowd
    dog, cat, horse, cow, sheep, pig, goat, deer, rabbit, mouse, squirrel, bear, lion, tiger, elephant, giraffe, zebra
    camel, kangaroo, monkey, fox, wolf, hedgehog, bat, bird, owl, duck, swan, penguin, eagle, parrot, chicken, rooster
    fish, shark, whale, dolphin, octopus, crab, lobster, jellyfish, seahorse, starfish, shell, snail, turtle, frog
    lizard, snake, crocodile, dinosaur, dragon, butterfly, bee, ant, spider, spider web, ladybug, dragonfly, worm
    apple, pear, banana, cherry, strawberry, grapes, pineapple, lemon, carrot, corn, pumpkin, tomato, bread, cake
    pizza, hamburger, ice cream, egg, cheese, candy
    car, truck, bus, van, train, tram, tractor, bicycle, motorcycle, airplane, helicopter, rocket, hot air balloon
    boat, ship, sailboat, submarine, anchor, wheel, tyre, engine, wing
    chair, table, desk, bench, sofa, bed, stool, lamp, candle, light bulb, chandelier, clock, mirror, picture frame
    shelf, cupboard, drawer, basket, bucket, bag, backpack, suitcase, umbrella, book, envelope, newspaper, map
    pencil, pen, brush, scissors, ruler, paper clip, key, lock, hammer, saw, screwdriver, wrench, nail, screw, bolt
    spring, gear, chain, rope, hook and loop, comb, toothbrush, bottle, cup, mug, glass, jug, teapot, bowl, plate
    spoon, fork and knife, pan, pot, oven, fridge, tap, bathtub, toilet
    shirt, dress, trousers, skirt, sock, shoe, boot, sandal, shoe sole, hat, cap, crown, glove, tie, bow tie, belt
    ring with a stone, necklace, earring, glasses, watch, button, helmet, mask
    guitar, violin, cello, piano, drum, trumpet, flute, harp, saxophone, bell, microphone, loudspeaker, headphones
    telephone, mobile phone, computer, laptop, keyboard, computer mouse, television, radio, camera, printer, battery, plug
    kite, balloon, doll, teddy bear, dice, playing card, chess piece, puzzle, swing, slide, skateboard, ski, racket
    football, basketball, bat and ball, trophy, flag, sword, bow and arrow, arrow, shield, axe, gun, bomb
    tag, label, sign, letter, number, writing, barcode, coin, banknote
    """
)
"""Words for what a drawing shows."""


def builtin_words() -> tuple[str, ...]:
    """The shipped words: primitives, objects, every class of the drawn world and every phrase for its primitives."""
    return tuple(dict.fromkeys((*PRIMITIVES, *OBJECTS, *drawn_words())))


def drawn_words() -> tuple[str, ...]:
    """All words that mean something to the bundled demo model: the drawn world's classes, and phrases for its primitives."""
    # Imported here, so that naming other data needs neither the drawn world nor what trained the bundled model.
    from sae_core.clip.train_bundled.texts import NAMES
    from sae_core.data.drawn import CLASSES

    return tuple(dict.fromkeys((*CLASSES, *(noun for one, many in NAMES.values() for noun in (*many, *one)))))


def imagenet_words() -> tuple[str, ...]:
    """The distinct ImageNet class names that open_clip packages (two pairs of classes share a name)."""
    return tuple(dict.fromkeys(imagenet_class_names()))


def read_by(encoder_id: str, words: Sequence[str]) -> tuple[tuple[str, ...], str]:
    """The words that a CLIP can know, and a note on those left out.

    Any text becomes an embedding, but words that the bundled demo model has never read get arbitrary ones, among which some are
    near to any latent by chance.

    Args:
        encoder_id: such as `bundled/v1`; any other CLIP is taken to know all words.
        words: a vocabulary.

    Raises:
        InputError: fewer than two words are left.
    """
    if not encoder_id.startswith("bundled/"):
        return tuple(words), ""
    known = set(drawn_words())
    kept = tuple(word for word in words if word.lower() in known)
    if len(kept) < 2:
        raise InputError(
            f"of {len(words)} words the bundled demo model has read {len(kept)}; use vocabulary builtin or a CLIP that knows them"
        )
    left = len(words) - len(kept)
    return kept, f"{left} words that the bundled demo model has never read are left out" if left else ""
