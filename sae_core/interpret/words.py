"""The shipped vocabulary: visual primitives first, then common objects, each a noun phrase that follows "a drawing of"."""

from __future__ import annotations


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
