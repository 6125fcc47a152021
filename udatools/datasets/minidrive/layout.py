# SPDX-License-Identifier: Apache-2.0
"""Layout of a MiniDrive street: ground, rows of frontage on both sides, street furniture, traffic.

The camera drives along +Z in its lane at X = 0. Everything is drawn from the statistics of a :class:`DomainStyle` with
one generator, so a scene is a pure function of (style, seed).
"""
from __future__ import annotations

from collections.abc import Callable

import numpy as np

from . import objects
from .domains import DomainStyle
from .objects import Painter, darken
from .scene import BARS, BRICKS, FOLIAGE, TILES, WINDOWS, Scene, SceneBuilder
from .shapes import box, detail
from .taxonomy import BICYCLE, BUILDING, FENCE, MOTORCYCLE, ROAD, SIDEWALK, TERRAIN, VEGETATION, WALL

FAR_M = 150.0
BACK_M = -6.0


class Street:
    """Draws one street scene into a :class:`SceneBuilder`."""

    def __init__(self, style: DomainStyle, rng: np.random.Generator, travel_m: float = 0.0, num_frames: int = 1) -> None:
        self.style, self.rng = style, rng
        self.builder = SceneBuilder()
        self.paint = Painter(style, rng)
        self.travel_m, self.num_frames = travel_m, num_frames
        lane = style.lane_width
        self.lane = lane
        self.parked_right, self.parked_left = rng.random(2) < style.parking
        extra_right, extra_left = (rng.random(2) < style.extra_lanes).astype(int)
        self.kerb_right = lane / 2 + extra_right * lane + 2.3 * self.parked_right + rng.uniform(0.2, 0.6)
        self.kerb_left = -(lane * 1.5 + extra_left * lane + 2.3 * self.parked_left + rng.uniform(0.2, 0.6))
        self.same_way = [0.0] + ([lane] if extra_right else [])
        self.oncoming = [-lane] + ([-2 * lane] if extra_left else [])
        self.walk = {1: rng.uniform(*style.sidewalk_width), -1: rng.uniform(*style.sidewalk_width)}
        self.verge = {side: (rng.uniform(2.0, 5.0) if rng.random() < style.verge else 0.0) for side in (1, -1)}
        self.taken: list[tuple[float, float, float, float]] = []

    def kerb(self, side: int) -> float:
        """X of the kerb on a side (+1 right, -1 left)."""
        return self.kerb_right if side > 0 else self.kerb_left

    def front(self, side: int) -> float:
        """X of the building line on a side."""
        return self.kerb(side) + side * (self.walk[side] + self.verge[side])

    def scene(self) -> Scene:
        """Draw everything and return the scene."""
        self._ground()
        for side in (1, -1):
            self._frontage(side)
        self._backdrop()
        self._traffic()
        for side in (1, -1):
            self._furniture(side)
        return self.builder.build()

    def _claim(self, x: float, z: float, half_width: float, half_length: float) -> bool:
        """Reserve a rectangle of ground; False when something stands there already."""
        for ox, oz, ow, ol in self.taken:
            if abs(x - ox) < half_width + ow and abs(z - oz) < half_length + ol:
                return False
        self.taken.append((x, z, half_width, half_length))
        return True

    def _strip(self, owner: int, x0: float, x1: float, label: int, material: objects.Material, layer: int = 0,
               z0: float = BACK_M, z1: float = FAR_M) -> None:
        z1 = z1 + (self.travel_m if z1 == FAR_M else 0.0)
        self.builder.polygon(owner, [(x0, 0, z0), (x0, 0, z1), (x1, 0, z1), (x1, 0, z0)], label, material, layer=layer,
                             ground=True)

    def _ground(self) -> None:
        builder, rng, paint = self.builder, self.rng, self.paint
        ground = builder.add_object(0.0, 0.0)
        road, marking = paint('road', roughness=0.7), paint('marking', roughness=0.5)
        self._strip(ground, self.kerb_left, self.kerb_right, ROAD, road)
        phase = rng.uniform(0, 6)
        lines = [-self.lane / 2] + [x - self.lane / 2 for x in self.same_way[1:]]
        lines += [x + self.lane / 2 for x in self.oncoming[1:]]
        for x in lines:
            for z in np.arange(BACK_M + phase, 70 + self.travel_m, 6.0).tolist():
                self._strip(ground, x - 0.09, x + 0.09, ROAD, marking, 1, z, z + 3.0)
        if rng.random() < self.style.chance['crosswalk']:
            z = rng.uniform(7, 20)
            for x in np.arange(self.kerb_left + 0.5, self.kerb_right - 0.5, 1.0).tolist():
                self._strip(ground, x, x + 0.5, ROAD, marking, 2, z, z + 2.8)
        for side in (1, -1):
            kerb, walk = self.kerb(side), self.walk[side]
            pavement = paint('sidewalk', 'kerb', kind=TILES, period=(1.2, 1.2), roughness=0.8)
            low, high = sorted((kerb, kerb + side * 0.25))
            self._strip(ground, low, high, SIDEWALK, paint('kerb', roughness=0.5), 1)
            low, high = sorted((kerb, kerb + side * walk))
            self._strip(ground, low, high, SIDEWALK, pavement)
            low, high = sorted((kerb + side * walk, kerb + side * 60))
            self._strip(ground, low, high, TERRAIN, paint('terrain', 'leaf', kind=FOLIAGE, roughness=1.4))

    def _frontage(self, side: int) -> None:
        """A row of plots along the building line: buildings, walls, fences, green."""
        rng, style, chance = self.rng, self.style, self.style.chance
        has_wall, has_fence = rng.random() < chance['wall'] / 1.7, rng.random() < chance['fence'] / 1.7
        forced = [('wall', has_wall), ('fence', has_fence)]
        plots: dict[int, str] = {}
        count = 16 + int(self.travel_m / 9)
        for index in range(count):
            plots[index] = 'building' if rng.random() < style.building_share else 'green'
        slots = rng.permutation(np.arange(1, 4))
        for (kind, wanted), slot in zip(forced, slots):
            if wanted:
                plots[int(slot)] = kind
        z = BACK_M + rng.uniform(0, 6)
        for index in range(count):
            length = rng.uniform(7, 14)
            getattr(self, '_' + plots[index])(side, z, z + length)
            z += length

    def _building(self, side: int, z0: float, z1: float, setback: float = 0.0) -> None:
        builder, rng, paint = self.builder, self.rng, self.paint
        x, height = self.front(side) + side * setback, rng.uniform(*self.style.building_height)
        owner = builder.add_object(x, z0, shadow=(0.0, 0.0, 0.0))
        period = (rng.uniform(2.0, 3.2), rng.uniform(2.8, 3.4))
        facade = paint('building', 'window', kind=WINDOWS, period=period)
        low, high = sorted((0.0, side * 14.0))
        faces = ('rear', 'left' if side > 0 else 'right', 'front')
        added = box(builder, owner, (low, 0.0, 0.0), (high, height, z1 - z0), BUILDING, facade, faces=faces)
        shop = paint('shop', 'window', kind=WINDOWS, period=(3.0, 40.0))
        street = added[faces[1]]
        if rng.random() < 0.5:
            detail(builder, owner, street, (0.0, 0.0, 1.0, 2.7 / height), BUILDING, shop)
        detail(builder, owner, street, (0.0, 1 - 0.5 / height, 1.0, 1.0), BUILDING, paint('roof'))
        if rng.random() < 0.5:
            ridge = height + rng.uniform(1.5, 3.5)
            roof = paint('roof')
            inner = side * 5.0
            builder.polygon(owner, [(0, height, 0), (0, height, z1 - z0), (inner, ridge, z1 - z0), (inner, ridge, 0)],
                            BUILDING, roof)
            builder.polygon(owner, [(0, height, 0), (inner, ridge, 0), (2 * inner, height, 0)], BUILDING, facade)

    def _green(self, side: int, z0: float, z1: float) -> None:
        rng, paint = self.rng, self.paint
        x = self.front(side)
        for _ in range(rng.integers(1, 4)):
            owner = self.builder.add_object(x + side * rng.uniform(1, 8), rng.uniform(z0, z1))
            objects.tree(self.builder, owner, paint, rng.uniform(5, 11))
        if rng.random() < 0.4:
            owner = self.builder.add_object(x + side * 1.2, z0)
            hedge = paint('leaf', 'leaf', kind=FOLIAGE, roughness=2.2)
            low, high = sorted((0.0, side * 1.5))
            box(self.builder, owner, (low, 0.0, 0.0), (high, rng.uniform(1.0, 2.2), z1 - z0), VEGETATION, hedge)
        for _ in range(rng.integers(0, 3)):
            owner = self.builder.add_object(x + side * rng.uniform(0.6, 3), rng.uniform(z0, z1))
            objects.shrub(self.builder, owner, paint, rng.uniform(0.7, 1.6))
        if rng.random() < 0.5:
            self._building(side, z0 + 1, z1 - 1, setback=rng.uniform(14, 24))

    def _wall(self, side: int, z0: float, z1: float) -> None:
        rng, paint = self.rng, self.paint
        owner = self.builder.add_object(self.front(side), z0)
        low, high = sorted((0.0, -side * 0.4))
        bricks = paint('wall', 'brick', kind=BRICKS, period=(0.9, 0.45))
        length, height = z1 - z0 + rng.uniform(2, 14), rng.uniform(2.1, 3.3)
        added = box(self.builder, owner, (low, 0.0, 0.0), (high, height, length), WALL, bricks)
        detail(self.builder, owner, added['left' if side > 0 else 'right'], (0.0, 0.93, 1.0, 1.0), WALL, paint('kerb'))
        for _ in range(2):
            owner = self.builder.add_object(self.front(side) + side * rng.uniform(3, 8), rng.uniform(z0, z1))
            objects.tree(self.builder, owner, paint, rng.uniform(5, 10))
        if rng.random() < 0.4:
            self._building(side, z0 + 1, z1 - 1, setback=rng.uniform(8, 16))

    def _fence(self, side: int, z0: float, z1: float) -> None:
        rng, paint = self.rng, self.paint
        owner = self.builder.add_object(self.front(side) - side * 0.1, z0)
        bars = paint('fence', kind=BARS, period=(rng.uniform(0.5, 0.8), 1.0))
        gap = darken(self.paint.colour('leaf'), 0.45)
        bars = objects.Material(bars.colour, gap, BARS, bars.period_u, 0.7, bars.roughness)
        height, length = rng.uniform(1.4, 2.1), z1 - z0 + rng.uniform(2, 12)
        corners = [(0, 0, 0), (0, height, 0), (0, height, length), (0, 0, length)]
        self.builder.polygon(owner, corners, FENCE, bars)
        self._green(side, z0, z1)

    def _backdrop(self) -> None:
        """What closes the street far ahead."""
        rng, paint = self.rng, self.paint
        distance = FAR_M - 30 + self.travel_m
        owner = self.builder.add_object(0.0, distance)
        if rng.random() < self.style.chance['backdrop']:
            x = -60.0
            while x < 60:
                width, height = rng.uniform(10, 25), rng.uniform(6, 20)
                facade = paint('building', 'window', kind=WINDOWS, period=(3.0, 3.2))
                self.builder.flat(owner, [(x, 0), (x, height), (x + width, height), (x + width, 0)], BUILDING, facade,
                                  depth=rng.uniform(0, 4))
                x += width
        for _ in range(10):
            x = rng.choice((-1.0, 1.0)) * rng.uniform(10, 32)
            owner = self.builder.add_object(x, distance - rng.uniform(5, 40))
            objects.tree(self.builder, owner, paint, rng.uniform(6, 12))

    def _vehicle(self, draw: Callable[..., None], x: float, z: float, half_width: float, half_length: float,
                 height: float, oncoming: bool, speed: float) -> bool:
        if not self._claim(x, z, half_width, half_length + 0.8):
            return False
        heading = (np.pi if oncoming else 0.0) + self.rng.normal(0, 0.015)
        velocity = (np.sin(heading) * speed, np.cos(heading) * speed)
        owner = self.builder.add_object(x, z, heading, velocity,
                                        shadow=(2 * half_width, 2 * half_length * 0.95, height))
        draw(self.builder, owner, self.paint)
        return True

    def _approach(self, oncoming: bool, pace: float) -> float:
        """Metres by which the camera nears something during the clip that moves at ``pace`` metres a frame, >= 0."""
        moved = pace * self.num_frames * (-1 if oncoming else 1)
        return max(0.0, self.travel_m - moved) if self.travel_m else 0.0

    def _traffic(self) -> None:
        rng, style = self.rng, self.style
        chance, rate = style.chance, style.rate
        speed = rng.uniform(0.25, 0.6)
        places: list[tuple[float, bool, float]] = []
        places += [(x, False, speed * rng.uniform(0.9, 1.15)) for x in self.same_way]
        places += [(x, True, speed * rng.uniform(0.8, 1.2)) for x in self.oncoming]
        if self.travel_m:  # nobody ahead is so slow that the camera runs into him
            places[0] = (0.0, False, self.travel_m / self.num_frames * rng.uniform(0.95, 1.2))
        park_right, park_left = self.kerb_right - 1.15, self.kerb_left + 1.15
        places += [(park_right, False, 0.0)] * 2 * int(self.parked_right)
        places += [(park_left, True, 0.0)] * 2 * int(self.parked_left)

        if rng.random() < chance['train']:
            x = self.oncoming[-1] if rng.random() < 0.7 or len(self.same_way) == 1 else self.same_way[-1]
            _, oncoming, pace = next(place for place in places if place[0] == x)
            z = rng.uniform(22, 34 + self._approach(oncoming, pace))
            self._vehicle(objects.train, x, z, 1.3, 12.0, 3.5, oncoming or not self.travel_m, pace)
        for name, draw, half_length, height in (('bus', objects.bus, 5.5, 3.0), ('truck', objects.truck, 3.2, 3.2)):
            if rng.random() < chance[name]:
                for _ in range(4):
                    x, oncoming, pace = places[rng.integers(len(places))]
                    far = self._approach(oncoming, pace)
                    z = rng.uniform(13, 30) if x == 0.0 else rng.uniform(9, 26 + far) + half_length * 0.6
                    if self._vehicle(draw, x, z, 1.3, half_length, height, oncoming, pace):
                        break
        self._two_wheelers(speed)
        for _ in range(max(1, rng.poisson(rate['car'] * (1 + self.travel_m / 40)))):
            x, oncoming, pace = places[rng.integers(len(places))]
            z = rng.uniform(9, 45) if x == 0.0 else rng.uniform(5, 50 + self._approach(oncoming, pace))
            self._vehicle(objects.car, x, z, 0.95, 2.15, 1.5, oncoming, pace)

    def _two_wheelers(self, speed: float) -> None:
        """Parked and ridden bicycles and motorcycles; a rider is an object of its own that moves alike.

        Those ridden cross the street; in a clip where the camera does not get, and towards the farther kerb.
        """
        rng, chance, reach = self.rng, self.style.chance, self.travel_m
        more = 1 + int(reach / 10)
        wanted = [(BICYCLE, False)] * int(rng.random() < chance['bicycle']) * int(rng.integers(1, 4)) * more
        wanted += [(MOTORCYCLE, False)] * int(rng.random() < chance['motorcycle']) * int(rng.integers(1, 3)) * more
        if rng.random() < chance['rider']:
            wanted += [(BICYCLE if rng.random() < 0.6 else MOTORCYCLE, True)]
            if rng.random() < 0.4:
                wanted += [(BICYCLE if rng.random() < 0.6 else MOTORCYCLE, True)]
        for kind, ridden in wanted:
            side = 1 if rng.random() < 0.6 else -1
            for _ in range(6):
                if ridden:
                    x = rng.uniform(self.kerb_left + 1.2, self.kerb_right - 0.9)
                    z = rng.uniform(7 + reach, 17 + reach)
                else:
                    x = self.kerb(side) + side * rng.uniform(0.5, max(0.7, self.walk[side] - 0.6))
                    z = rng.uniform(8, 19 + reach)
                if self._claim(x, z, 1.0, 0.6):
                    break
            else:
                continue
            facing = 1.0 if rng.random() < 0.5 else -1.0
            if ridden and reach:
                facing = 1.0 if x < (self.kerb_left + self.kerb_right) / 2 else -1.0
            tilt = rng.uniform(-0.5, 0.5) + (np.pi if facing < 0 else 0.0)
            velocity = (np.cos(tilt) * speed * 0.35, -np.sin(tilt) * speed * 0.35) if ridden else (0.0, 0.0)
            owner = self.builder.add_object(x, z, tilt, velocity, shadow=(1.6, 0.4, 0.9))
            (objects.bicycle if kind == BICYCLE else objects.motorcycle)(self.builder, owner, self.paint)
            if ridden:
                owner = self.builder.add_object(x, z, tilt, velocity)
                objects.rider(self.builder, owner, self.paint, 0.98 if kind == BICYCLE else 0.9)

    def _furniture(self, side: int) -> None:
        """Poles, lights, signs, street trees, people and bins of one pavement."""
        rng, paint, builder = self.rng, self.paint, self.builder
        rate, kerb, walk = self.style.rate, self.kerb(side), self.walk[side]
        reach = self.travel_m

        def spot(low: float, high: float, near_kerb: bool = True) -> tuple[float, float] | None:
            for _ in range(5):
                offset = rng.uniform(0.35, 0.7) if near_kerb else rng.uniform(0.6, walk - 0.2)
                z = rng.uniform(low, high)
                if self._claim(kerb + side * offset, z, 0.25, 0.5):
                    return kerb + side * offset, z
            return None

        for _ in range(rng.poisson(rate['pole'] / 2 * (1 + reach / 50))):
            place = spot(6, 55 + reach)
            if place:
                arm = -side * rng.uniform(0.9, 1.8) if rng.random() < 0.6 else 0.0
                objects.pole(builder, builder.add_object(*place), paint, rng.uniform(5, 8),
                             rng.uniform(0.14, 0.24), arm)
        for _ in range(rng.poisson(rate['light'] / 2 * (1 + reach / 50))):
            place = spot(8, 30 + reach)
            if place:
                owner = builder.add_object(*place)
                height = rng.uniform(3.2, 3.8)
                arm = -side * rng.uniform(1.5, 3.0) if rng.random() < 0.3 else 0.0
                objects.pole(builder, owner, paint, height + (1.6 if arm else 0.2), 0.16)
                objects.traffic_light(builder, owner, paint, 0.0, height - 1.0)
                if arm:
                    objects.flat_arm(builder, owner, paint, arm, height + 1.5)
                    objects.traffic_light(builder, owner, paint, arm, height + 0.6)
        for _ in range(rng.poisson(rate['sign'] / 2 * (1 + reach / 50))):
            place = spot(7, 32 + reach)
            if place:
                owner = builder.add_object(*place)
                height = rng.uniform(2.3, 3.0)
                objects.pole(builder, owner, paint, height + 0.4, 0.1)
                objects.traffic_sign(builder, owner, paint, height, rng.uniform(0.75, 1.1))
        for _ in range(rng.poisson(rate['tree'] / 2 * (1 + reach / 50))):
            x = kerb + side * (walk + self.verge[side] * rng.uniform(0.3, 0.9)) if self.verge[side] \
                else kerb + side * rng.uniform(0.7, 1.1)
            z = rng.uniform(12, 60 + reach)
            if self._claim(x, z, 0.4, 1.5):
                objects.tree(builder, builder.add_object(x, z), paint, rng.uniform(5, 9))
        for _ in range(rng.poisson(rate['person'] / 2 * (1 + reach / 50))):
            place = spot(6, 22 + reach, near_kerb=False)
            if place:
                direction = 1.0 if rng.random() < 0.5 else -1.0
                velocity = (rng.normal(0, 0.01), direction * rng.uniform(0.05, 0.12))
                owner = builder.add_object(*place, 0.0, velocity, shadow=(0.5, 0.3, 1.7))
                objects.person(builder, owner, paint)
        if rng.random() < 0.15:
            x, z = rng.uniform(self.kerb_left + 1, self.kerb_right - 1), rng.uniform(9 + reach, 20 + reach)
            if self._claim(x, z, 0.4, 0.4):
                owner = builder.add_object(x, z, 0.0, (rng.choice((-1.0, 1.0)) * 0.1, 0.0), shadow=(0.5, 0.3, 1.7))
                objects.person(builder, owner, paint)
        for _ in range(rng.poisson(rate['static'] / 2)):
            place = spot(8, 26 + reach, near_kerb=False)
            if place:
                objects.static(builder, builder.add_object(*place), paint)
