"""What people wear and hold before their faces: glasses, hats, scarves, masks, hands, phones.

All are meshes in the head's frame, mm, and turn with the head.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from asmnet_kit.face.pose import rotation_matrix
from asmnet_kit.people.assets import load
from asmnet_kit.people.look import Look
from asmnet_kit.people.shape import proxy_scale
from asmnet_kit.people.solids import (
    Mesh,
    box,
    disc,
    ellipsoid,
    grid_triangles,
    joined,
    ring,
    strip,
    tube,
)
from asmnet_kit.people.tones import FROM_SRGB, linear

Array = NDArray[np.float32]
Ints = NDArray[np.intp]

GLASSES_SHARE, SUNGLASSES_SHARE = 0.2, 0.3  # the second of the first
HEADWEAR_SHARE = 0.15
MASK_SHARE = 0.03
HAND_SHARE = 0.08
HELD_SHARE = 0.06

HEAD_MIDDLE = np.array([0.0, -10.0, 70.0], np.float32)
SHELL_ROWS, SHELL_COLUMNS = 26, 40  # of a covering: from the crown down, around
SHELL_REACH = 2.55  # radians from the crown
WIDEST_MM = 150.0


@dataclass(frozen=True, eq=False)
class Thing:
    """Attributes:
    vertices, triangles: float32 [N, 3], intp [T, 3].
    colour: float32 [3] or [N, 3], linear.
    gloss, sharpness: of the highlight; mirror: share of the surroundings seen in it.
    opacity: 1 for all but lenses.
    kept: float32 [N]; where it is below 0, nothing is drawn. None: all is.
    over_hair: hair within this distance before it is pressed down, mm.
    rough: depth of its weave.
    """

    vertices: Array
    triangles: Ints
    colour: Array
    gloss: float = 0.05
    sharpness: float = 20.0
    mirror: float = 0.0
    opacity: float = 1.0
    kept: Array | None = None
    over_hair: float = 0.0
    rough: float = 0.0


@dataclass(frozen=True)
class Outfit:
    """Attributes:
    things: what is drawn.
    hides_hair: a scarf or hood leaves none to be seen.
    """

    things: tuple[Thing, ...] = ()
    hides_hair: bool = False


def random_outfit(rng: np.random.Generator, head: Array, points: Array, look: Look) -> Outfit:
    """Args:
    head: float32 [V, 3]; points: float32 [98, 3], its landmarks.
    """
    chances = rng.random(5)
    things: list[Thing] = []
    hides_hair = False
    covered = False
    if chances[0] < HEADWEAR_SHARE:
        kind = rng.random()
        if kind < 0.35:
            things += _scarf(rng, head, points)
            hides_hair = covered = True
        elif kind < 0.65:
            things += _beanie(rng, head, points)
        elif kind < 0.8:
            things += [_fedora(rng, head)]
        else:
            things += _cap(rng, head, points)
    if chances[1] < GLASSES_SHARE:
        things += _glasses(rng, points, dark=rng.random() < SUNGLASSES_SHARE)
    if chances[2] < MASK_SHARE:
        things += _mask(rng, head, points)
    if chances[3] < HAND_SHARE and not covered:
        things += _hand(rng, points, _skin_colour(look))
    if chances[4] < HELD_SHARE:
        things += _held(rng, points, _skin_colour(look))
    return Outfit(tuple(things), hides_hair)


def _colour(rng: np.random.Generator) -> Array:
    """Of cloth: often grey, black or white."""
    colour = rng.uniform(8, 245, 3)
    if rng.random() < 0.5:
        colour[:] = colour.mean()
    return linear(colour)


def _skin_colour(look: Look) -> Array:
    """Of the cheek beside the nose, as the texture has it."""
    patch = look.skin[260:280, 435:450].reshape(-1, 3)
    return np.asarray(FROM_SRGB[patch].mean(axis=0) * look.tone, np.float32)


# --- coverings of the whole head ----------------------------------------------------------------


def _shell(head: Array, thickness: float, smooth: float = 1.3) -> tuple[Array, Array, Array]:
    """A smooth hull around the head: vertices [R x C, 3], how far down from the crown and how far
    round from the front they lie (radians, [R x C] each)."""
    down = np.linspace(0, SHELL_REACH, SHELL_ROWS)
    round_ = np.arange(SHELL_COLUMNS) * 2 * np.pi / SHELL_COLUMNS - np.pi
    outwards = head - HEAD_MIDDLE
    length = np.sqrt(np.einsum("ij,ij->i", outwards, outwards))
    polar = np.arccos(np.clip(-outwards[:, 1] / np.maximum(length, 1e-3), -1, 1))
    azimuth = np.arctan2(outwards[:, 0], -outwards[:, 2])
    row = np.rint(polar / SHELL_REACH * (SHELL_ROWS - 1)).astype(np.intp)
    column = np.rint((azimuth + np.pi) / (2 * np.pi) * SHELL_COLUMNS).astype(np.intp)
    near = (length < WIDEST_MM) & (row < SHELL_ROWS)
    radius = np.full((SHELL_ROWS, SHELL_COLUMNS), 60.0, np.float32)
    np.maximum.at(radius, (row[near], column[near] % SHELL_COLUMNS), length[near])
    radius[:2] = radius[:2].max()
    # Closing fills the hollows that cloth spans; blurring rounds the rest.
    wide = np.concatenate([radius] * 3, axis=1)
    wide = cv2.morphologyEx(wide, cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8))
    wide = cv2.GaussianBlur(wide, (0, 0), smooth, borderType=cv2.BORDER_REPLICATE)
    radius = np.asarray(wide[:, SHELL_COLUMNS : 2 * SHELL_COLUMNS], np.float32) + thickness
    down_grid, round_grid = np.meshgrid(down, round_, indexing="ij")
    directions = np.stack(
        [
            np.sin(down_grid) * np.sin(round_grid),
            -np.cos(down_grid),
            -np.sin(down_grid) * np.cos(round_grid),
        ],
        axis=-1,
    )
    vertices = HEAD_MIDDLE + directions * radius[..., None]
    return (
        vertices.reshape(-1, 3).astype(np.float32),
        down_grid.reshape(-1).astype(np.float32),
        round_grid.reshape(-1).astype(np.float32),
    )


def _draped(vertices: Array) -> tuple[Array, int]:
    """A hull whose lower edge falls on to the shoulders, and how many rows it has then."""
    edge = vertices.reshape(SHELL_ROWS, SHELL_COLUMNS, 3)[-8]
    middle = edge.mean(axis=0)
    rows = [vertices.reshape(SHELL_ROWS, SHELL_COLUMNS, 3)[:-7]]
    for fall, width in ((25, 0.92), (50, 0.9), (80, 1.05), (115, 1.4), (150, 1.75)):
        row = (edge - middle) * (width, 0.3, width) + middle + (0, fall, 0)
        rows.append(row[None].astype(np.float32))
    whole = np.concatenate(rows)
    return whole.reshape(-1, 3), len(whole)


def _brow_top(points: Array) -> float:
    return float(points[33:51, 1].min())


def _scarf(rng: np.random.Generator, head: Array, points: Array) -> list[Thing]:
    """A headscarf or a hood: around the face, over neck and hair."""
    hood = rng.random() < 0.35
    vertices, _, _ = _shell(head, rng.uniform(16, 26) if hood else rng.uniform(5, 10))
    vertices, rows = _draped(vertices)
    brow, chin = _brow_top(points), float(points[16, 1])
    top = brow - rng.uniform(8, 30) - (8 if hood else 0)
    bottom = chin + (rng.uniform(14, 40) if hood else rng.uniform(2, 10))
    half_width = float(np.abs(points[[2, 30], 0]).mean()) + rng.uniform(-4, 4) + (6 if hood else 0)
    middle, half_height = (top + bottom) / 2, (bottom - top) / 2
    x, y, z = vertices.T
    oval = np.sqrt((np.abs(x) / half_width) ** 2.4 + (np.abs(y - middle) / half_height) ** 2.4)
    kept = np.where(z < 75, oval - 1, 1).astype(np.float32)
    folds = 1 + 0.06 * np.sin(9 * np.arctan2(y - middle, np.abs(x)) + 4 * oval + rng.uniform(0, 6))
    colour = _colour(rng) * folds[:, None].astype(np.float32)
    return [
        Thing(
            vertices, grid_triangles(rows, SHELL_COLUMNS, True), colour.astype(np.float32),
            kept=kept, over_hair=40, rough=0.12,
        )
    ]  # fmt: skip


def _beanie(rng: np.random.Generator, head: Array, points: Array) -> list[Thing]:
    vertices, down, round_ = _shell(head, rng.uniform(6, 13))
    front = _brow_top(points) - rng.uniform(2, 32)
    edge = front + (1 - np.cos(round_)) * rng.uniform(8, 26)  # lower at the back
    kept = (edge - vertices[:, 1]) / 10
    vertices[:, 1] -= np.maximum(0, 1.2 - down) * rng.uniform(0, 22)  # a baggy crown
    colour = _colour(rng) * np.ones((len(vertices), 1), np.float32)
    ribs = 1 + 0.08 * np.sin(round_ * 40 / 2)
    colour = colour * ribs[:, None].astype(np.float32)
    if rng.random() < 0.4:
        colour[kept < rng.uniform(1, 2.5)] = _colour(rng)
    return [
        Thing(
            vertices, grid_triangles(SHELL_ROWS, SHELL_COLUMNS, True), colour.astype(np.float32),
            kept=kept.astype(np.float32), over_hair=35, rough=0.2,
        )
    ]  # fmt: skip


def _cap(rng: np.random.Generator, head: Array, points: Array) -> list[Thing]:
    """A baseball cap, or a hat with a brim all around."""
    vertices, down, round_ = _shell(head, rng.uniform(6, 10))
    all_round = rng.random() < 0.4
    front = _brow_top(points) - rng.uniform(12, 34)
    edge = front + (1 - np.cos(round_)) * rng.uniform(2, 14)
    vertices[:, 1] -= np.maximum(0, 1.1 - down) * (rng.uniform(18, 45) if all_round else 6)
    colour = _colour(rng)
    crown = Thing(
        vertices, grid_triangles(SHELL_ROWS, SHELL_COLUMNS, True), colour,
        kept=((edge - vertices[:, 1]) / 10).astype(np.float32), over_hair=35, rough=0.1,
    )  # fmt: skip
    # The brim starts on the crown's edge: the vertices of each column nearest to it.
    grid = vertices.reshape(SHELL_ROWS, SHELL_COLUMNS, 3)
    wanted = edge.reshape(SHELL_ROWS, SHELL_COLUMNS)
    at = np.abs(grid[..., 1] - wanted)[SHELL_ROWS // 4 :].argmin(axis=0) + SHELL_ROWS // 4
    inner = grid[at, np.arange(SHELL_COLUMNS)]
    length = rng.uniform(35, 60) if all_round else rng.uniform(55, 75)
    droop = rng.uniform(-0.05, 0.25)
    backwards = not all_round and rng.random() < 0.12
    angle = round_.reshape(SHELL_ROWS, SHELL_COLUMNS)[0]
    facing = np.cos(angle + (np.pi if backwards else 0))
    reach = (
        np.full(SHELL_COLUMNS, length) if all_round else length * np.clip(facing * 1.8 - 0.5, 0, 1)
    )
    outwards = inner - HEAD_MIDDLE
    outwards[:, 1] = 0
    outwards /= np.linalg.norm(outwards, axis=1, keepdims=True)
    rows = []
    for share in np.linspace(0, 1, 5):
        row = inner + outwards * (reach * share)[:, None]
        row[:, 1] += reach * share * droop + 10 * share**2 * (np.sin(angle) ** 2) * (reach > 0)
        rows.append(row)
    brim = Thing(
        np.concatenate(rows).astype(np.float32), grid_triangles(5, SHELL_COLUMNS, True),
        colour if rng.random() < 0.6 else _colour(rng), over_hair=10, rough=0.1,
    )  # fmt: skip
    return [crown, brim]


def _fedora(rng: np.random.Generator, head: Array) -> Thing:
    hats = list(load().hats.values())
    hat = hats[rng.integers(len(hats))]
    vertices = hat.placed(head, proxy_scale(head) * np.float32(rng.uniform(1.0, 1.06)))
    return Thing(vertices, hat.triangles, _colour(rng), over_hair=35, rough=0.12)


# --- before the face ----------------------------------------------------------------------------


def _outline(rng: np.random.Generator, wide: float, high: float) -> NDArray[np.float64]:
    """A lens: between a rectangle and an ellipse, sometimes lower towards the outside."""
    turn = np.arange(28) * 2 * np.pi / 28
    power = rng.choice([2.0, 2.6, 4.0])
    cos, sin = np.cos(turn), np.sin(turn)
    x = np.sign(cos) * np.abs(cos) ** (2 / power) * wide
    y = np.sign(sin) * np.abs(sin) ** (2 / power) * high
    y += rng.choice([0.0, 0.12]) * np.abs(x) * (y > 0)
    return np.stack([x, y], axis=1)


def _glasses(rng: np.random.Generator, points: Array, *, dark: bool) -> list[Thing]:
    eyes = np.stack([points[60:68].mean(axis=0), points[68:76].mean(axis=0)])
    apart = float(eyes[1, 0] - eyes[0, 0])
    wide = apart * rng.uniform(0.34, 0.43)
    high = wide * rng.uniform(0.58, 1.0)
    down = rng.uniform(-1, 6)
    front = min(float(points[51, 2]) - 3, float(points[52, 2]) - 1)
    front = min(front, float(eyes[:, 2].min()) - rng.uniform(9, 13))
    outline = _outline(rng, wide, high)
    rim_width = float(rng.choice([1.2, 2.2, 4.5], p=[0.35, 0.35, 0.3]))
    frame_colour = linear((14, 13, 12)) if rng.random() < 0.55 else _colour(rng)
    metres: list[Mesh] = []
    lenses: list[Mesh] = []
    for side, sign in enumerate((-1, 1)):
        middle = (float(eyes[side, 0]), float(eyes[side, 1]) + down, front)
        shape = outline * (sign, 1)
        shape = shape if sign > 0 else shape[::-1]
        frame, lens = ring(middle, shape, rim_width), disc(middle, shape)
        for vertices, _ in (frame, lens):  # the frame bends round the face
            vertices[:, 2] += (np.abs(vertices[:, 0]) / 62) ** 2 * 9
        if rim_width > 1.5 or rng.random() < 0.8:
            metres.append(frame)
        lenses.append(lens)
        hinge = (middle[0] + sign * wide, middle[1] - high * 0.4, front + 9)
        ear = (sign * (float(np.abs(points[[0, 32], 0]).mean()) + 4), middle[1] + 3, 82.0)
        half = ((hinge[0] + ear[0]) / 2 + sign * 5, middle[1], 35.0)
        metres.append(strip([hinge, half, ear], (0, max(rim_width * 1.4, 2.5), 0)))
    bridge = [
        (float(eyes[0, 0]) + wide, float(eyes[0, 1]) + down - high * 0.25, front + 2),
        (0.0, float(eyes[:, 1].mean()) + down - high * 0.4, front - 1),
        (float(eyes[1, 0]) - wide, float(eyes[1, 1]) + down - high * 0.25, front + 2),
    ]
    metres.append(strip(bridge, (0, max(rim_width, 1.8), 0)))
    vertices, triangles = joined(*metres)
    glass, glass_triangles = joined(*lenses)
    if dark:
        tint = linear(rng.uniform(0, 60, 3)) * 0.4
        opacity, mirror = rng.uniform(0.7, 0.99), rng.uniform(0.03, 0.35)
    else:
        tint, opacity = np.zeros(3, np.float32), 0.04
        mirror = rng.choice([0.02, rng.uniform(0.05, 0.3)])
    return [
        Thing(vertices, triangles, frame_colour, gloss=0.5, sharpness=40, over_hair=2),
        Thing(
            glass, glass_triangles, np.asarray(tint, np.float32), gloss=0.9, sharpness=150,
            mirror=float(mirror), opacity=float(opacity), over_hair=2,
        ),
    ]  # fmt: skip


def _mask(rng: np.random.Generator, head: Array, points: Array) -> list[Thing]:
    """A face mask over mouth, and mostly nose, with loops round the ears."""
    below_nose = rng.random() < 0.12
    chin, bridge = float(points[16, 1]), float(points[51 if not below_nose else 57, 1])
    top = bridge + (rng.uniform(4, 16) if not below_nose else 3)
    rows, columns, half = 15, 21, 62.0
    x = np.linspace(-half, half, columns)
    y = np.linspace(top, chin + 12, rows)
    depth = np.full((rows, columns), 80.0, np.float32)
    row = np.rint((head[:, 1] - y[0]) / (y[1] - y[0])).astype(np.intp)
    column = np.rint((head[:, 0] + half) / (x[1] - x[0])).astype(np.intp)
    near = (row >= 0) & (row < rows) & (column >= 0) & (column < columns) & (head[:, 2] < 70)
    np.minimum.at(depth, (row[near], column[near]), head[near, 2])
    spanned = cv2.erode(depth, np.ones((3, 3), np.uint8))  # cloth spans hollows
    smooth = cv2.GaussianBlur(spanned, (0, 0), 1.4, borderType=cv2.BORDER_REPLICATE)
    depth = np.asarray(smooth, np.float32)
    depth = np.minimum(depth, cv2.GaussianBlur(depth, (0, 0), 2.5)) - np.float32(rng.uniform(3, 6))
    grid_x, grid_y = np.meshgrid(x, y)
    vertices = np.stack([grid_x, grid_y, depth], axis=-1).reshape(-1, 3).astype(np.float32)
    aside = np.abs(vertices[:, 0])
    upper = top + 0.006 * aside**2 * (0.5 if below_nose else 1.6)
    lower = chin + 8 - 0.006 * aside**2
    width = rng.uniform(50, 58)
    kept = np.minimum(np.minimum(vertices[:, 1] - upper, lower - vertices[:, 1]), width - aside) / 8
    surgical = rng.random() < 0.5
    colour = linear((190, 215, 230)) if surgical else _colour(rng)
    shade = np.ones(len(vertices), np.float32)
    if surgical:
        shade += 0.07 * np.sin(vertices[:, 1] * 0.55)
    colour = (colour * shade[:, None]).astype(np.float32)
    loops = []
    for sign in (-1, 1):
        ear = (sign * (float(np.abs(points[[0, 32], 0]).mean()) + 5), 18.0, 80.0)
        for height in (float(np.interp(0.25, [0, 1], [top, chin])), chin - 14):
            number = int(
                np.argmin(np.hypot(vertices[:, 0] - sign * (width - 3), vertices[:, 1] - height))
            )
            start = vertices[number]
            loops.append(
                strip([start, (np.asarray(start) + ear) / 2 + (sign * 7, 0, -4), ear], (0, 2.5, 0))
            )
    band, band_triangles = joined(*loops)
    return [
        Thing(
            vertices,
            grid_triangles(rows, columns),
            colour,
            kept=kept.astype(np.float32),
            rough=0.05,
        ),
        Thing(band, band_triangles, linear((225, 225, 225))),
    ]


def _hand_mesh(rng: np.random.Generator) -> Mesh:
    """A hand with a forearm: its middle finger ends at the origin, fingers up, its back to -z."""
    meshes = []
    curl, spread = rng.uniform(0, 0.9), rng.uniform(0.02, 0.16)
    thick = rng.uniform(7, 9)
    for finger, length in enumerate((70, 78, 73, 58)):
        joint = np.array([(finger - 1.5) * thick * 2.15, -42.0, 0.0])
        aside = (finger - 1.5) * spread
        up, inwards = np.array([np.sin(aside), -np.cos(aside), 0.0]), np.array([0.0, 0.0, 1.0])
        path, bend = [joint], 0.0
        for share in (0.45, 0.3, 0.25):
            path.append(path[-1] + (up * np.cos(bend) + inwards * np.sin(bend)) * length * share)
            bend += curl * rng.uniform(0.7, 1.1)
        meshes.append(tube(path, [thick, thick * 0.95, thick * 0.88, thick * 0.75]))
    side = rng.choice([-1, 1])
    thumb = np.array([(34.0, 18.0, 4.0), (59.5, -4.0, 7.4), (59.5, -30.0, 13.4)]) * (side, 1, 1)
    meshes.append(tube(thumb, [11, 9.5, 7.5]))
    palm = [(0, -40, 2), (0, -10, 2), (0, 25, 3), (0, 45, 4)]
    meshes.append(tube(palm, [38, 40, 36, 28], sectors=14, flat=0.38))
    arm = [(0, 40, 4), (0, 140, 20), (0, 260, 40)]
    meshes.append(tube(arm, [27, 29, 36], sectors=12, flat=0.8))
    vertices, triangles = joined(*meshes)
    tip = np.array([0, curl * 30 - 110, 0], np.float32)
    return vertices - tip, triangles


def _hand_thing(
    rng: np.random.Generator, vertices: NDArray[np.floating], faces: Ints, skin: Array
) -> Thing:
    colour = skin * np.float32(rng.uniform(0.85, 1.05))
    return Thing(
        vertices.astype(np.float32), faces, colour, gloss=0.2, sharpness=18, over_hair=8, rough=0.06
    )


def _hand(rng: np.random.Generator, points: Array, skin: Array) -> list[Thing]:
    """A hand before, under or beside the face."""
    face = points[:96]
    low, high = face.min(axis=0), face.max(axis=0)
    tip = low + rng.uniform((0.05, 0.2, 0), (0.95, 1.0, 0)) * (high - low)
    near = np.argsort(np.hypot(face[:, 0] - tip[0], face[:, 1] - tip[1]))[:4]
    tip[2] = float(face[near, 2].min()) - rng.uniform(8, 22)
    vertices, triangles = _hand_mesh(rng)
    roll = float(rng.choice([0, 0, -80, 80]) + rng.normal(0, 30))
    turn = rotation_matrix(rng.normal(0, 20), rng.normal(0, 12), roll)
    return [_hand_thing(rng, vertices @ turn.T + tip, triangles, skin)]


def _held(rng: np.random.Generator, points: Array, skin: Array) -> list[Thing]:
    """A phone in a hand, a microphone, a cup, a sheet or a stick."""
    kind = rng.random()
    side = float(rng.choice([-1, 1]))
    if kind < 0.35:
        return _phone(rng, side, skin)
    mouth, chin = points[[90, 94]].mean(axis=0), points[16]
    if kind < 0.6:  # a microphone
        end = mouth + np.array(
            [side * rng.uniform(0, 20), rng.uniform(12, 40), -rng.uniform(28, 50)]
        )
        away = np.array([side * rng.uniform(0, 0.7), 1.0, -rng.uniform(0, 0.6)])
        grille = Thing(*ellipsoid(end, (21, 24, 21)), linear((40, 40, 42)), gloss=0.3, rough=0.5)
        bar = tube([end + away * 18, end + away * 170], [13, 11])
        return [grille, Thing(*bar, linear((16, 16, 17)), gloss=0.4)]
    if kind < 0.8:  # a cup or a glass at the mouth
        end = mouth + np.array([0, 8, -34])
        foot = end + np.array([0, 85, rng.uniform(-30, 10)])
        return [
            Thing(*tube([end, foot], [38, 31], sectors=16), _colour(rng), gloss=0.5, sharpness=50)
        ]
    if kind < 0.9:  # a sheet, a book, a sign
        place = np.array([rng.normal(0, 40), float(chin[1]) + rng.uniform(-40, 60), -80.0])
        vertices, triangles = box((0, 0, 0), (rng.uniform(90, 220), rng.uniform(60, 160), 4))
        turn = rotation_matrix(rng.normal(0, 15), rng.normal(0, 15), rng.normal(0, 12))
        return [Thing((vertices @ turn.T + place).astype(np.float32), triangles, _colour(rng))]
    start = points[rng.integers(0, 96)] + np.array([0, 0, -30])
    direction = rng.normal(size=3) * (1, 1, 0.2)
    direction /= np.linalg.norm(direction)
    path = [start - direction * 20, start + direction * 300]
    return [Thing(*tube(path, [rng.uniform(2, 12)] * 2), _colour(rng))]


def _phone(rng: np.random.Generator, side: float, skin: Array) -> list[Thing]:
    """At the ear, or before the face as in a mirror."""
    if rng.random() < 0.5:
        place = np.array([side * 84.0, 30.0, 40.0])
        turn = rotation_matrix(side * 80, 0, side * rng.uniform(5, 30))
    else:
        place = np.array([rng.normal(0, 25), rng.uniform(20, 110), -75.0])
        roll = float(rng.choice([0, 90]) + rng.normal(0, 8))
        turn = rotation_matrix(rng.normal(0, 12), rng.normal(0, 12), roll)
    vertices, triangles = box((0, 0, 0), (72, 148, 8))
    colour = linear((18, 18, 20)) if rng.random() < 0.6 else _colour(rng)
    phone = Thing(
        (vertices @ turn.T + place).astype(np.float32), triangles, colour,
        gloss=0.7, sharpness=60, mirror=0.05,
    )  # fmt: skip
    hand, fingers = _hand_mesh(rng)
    grip = rotation_matrix(0, 0, -side * rng.uniform(0, 60))
    hand_at = place + turn @ np.array([0, 20.0, -12.0]) - np.array([0, 60.0, 0]) @ grip.T
    return [phone, _hand_thing(rng, hand @ grip.T + hand_at, fingers, skin)]
