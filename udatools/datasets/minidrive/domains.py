# SPDX-License-Identifier: Apache-2.0
"""The two domains of MiniDrive as data: street statistics, palette, light and camera of "sim" and "real".

The geometry of objects is shared; what differs is how often they occur and how wide streets are, every colour, the
texture, and what the camera does to the picture. That is the gap which adaptation has to close.
"""
from __future__ import annotations

from dataclasses import dataclass, replace

RGB = tuple[float, float, float]


@dataclass(frozen=True)
class DomainStyle:
    """Statistics and appearance of a domain; ranges are (low, high) of a uniform distribution.

    ``focal`` is in image widths, ``horizon`` in image heights, angles in radians, lengths in metres. ``chance`` holds
    the probability that something occurs in a scene, ``rate`` how many occur on average. ``light`` is the direction to
    the sun (x, y, z). ``texture`` is the relative amplitude of noise on surfaces, ``haze`` the extinction per metre,
    ``blur`` the standard deviation in pixels at a width of 256, ``noise`` the standard deviation of sensor noise in
    grey levels.
    """

    name: str
    focal: tuple[float, float]
    camera_height: tuple[float, float]
    horizon: tuple[float, float]
    yaw: tuple[float, float]
    lane_width: float
    extra_lanes: float
    parking: float
    sidewalk_width: tuple[float, float]
    verge: float
    building_height: tuple[float, float]
    building_share: float
    chance: dict[str, float]
    rate: dict[str, float]
    palette: dict[str, tuple[RGB, ...]]
    colour_jitter: float
    light: tuple[float, float, float]
    ambient: tuple[float, float]
    shadow: tuple[float, float]
    texture: float
    pattern: float
    clouds: float
    haze: tuple[float, float]
    haze_colour: RGB
    blur: tuple[float, float]
    noise: tuple[float, float]
    vignetting: tuple[float, float]
    gamma: tuple[float, float]
    gain: tuple[float, float]
    saturation: tuple[float, float]


SIM = DomainStyle(
    name='sim', focal=(0.78, 0.9), camera_height=(1.35, 1.6), horizon=(0.44, 0.52), yaw=(-0.03, 0.03), lane_width=3.6,
    extra_lanes=0.6, parking=0.3, sidewalk_width=(2.5, 5.0), verge=0.6, building_height=(7.0, 24.0),
    building_share=0.55,
    chance={'train': 0.18, 'truck': 0.26, 'bus': 0.2, 'motorcycle': 0.26, 'rider': 0.22, 'bicycle': 0.22, 'wall': 0.5,
            'fence': 0.55, 'backdrop': 0.7, 'crosswalk': 0.3},
    rate={'car': 4.0, 'person': 3.0, 'pole': 5.0, 'light': 1.3, 'sign': 2.0, 'tree': 5.0, 'static': 0.8},
    palette={
        'road': ((70, 72, 84), (62, 66, 80), (80, 80, 88)), 'marking': ((250, 250, 250), (250, 215, 60)),
        'sidewalk': ((186, 168, 150), (176, 160, 160), (198, 184, 160)), 'kerb': ((150, 146, 140),),
        'terrain': ((120, 176, 52), (146, 180, 70), (170, 160, 80)),
        'building': ((206, 122, 84), (228, 180, 110), (150, 110, 96), (120, 150, 190), (214, 206, 190), (180, 80, 70)),
        'window': ((60, 90, 140), (90, 130, 180)), 'shop': ((80, 60, 90), (200, 60, 50), (50, 110, 120)),
        'roof': ((160, 60, 40), (90, 80, 90)), 'wall': ((168, 150, 130), (190, 100, 80)),
        'brick': ((130, 110, 96), (150, 70, 56)),
        'fence': ((90, 110, 90), (120, 90, 60), (200, 200, 210)), 'pole': ((60, 62, 66), (84, 84, 90)),
        'housing': ((30, 32, 34), (230, 180, 30)),
        'sign': ((220, 30, 40), (30, 80, 210), (250, 200, 20), (20, 140, 70)),
        'sign_field': ((250, 250, 250),), 'sign_back': ((150, 150, 156),),
        'leaf': ((46, 144, 50), (74, 160, 52), (36, 104, 50)),
        'trunk': ((110, 76, 44),), 'skin': ((230, 180, 150), (150, 100, 70)),
        'cloth': ((230, 40, 60), (40, 90, 220), (240, 200, 40), (250, 250, 250), (40, 160, 90), (140, 60, 160)),
        'trousers': ((40, 50, 110), (60, 60, 64), (120, 90, 60)),
        'helmet': ((250, 60, 40), (250, 250, 250), (40, 90, 230)),
        'car': ((220, 30, 40), (30, 90, 220), (240, 240, 244), (250, 190, 30), (30, 160, 110), (40, 40, 48),
               (140, 146, 154)),
        'glass': ((40, 60, 90),), 'tyre': ((24, 24, 26),), 'hub': ((190, 190, 196),), 'tail': ((200, 20, 30),),
        'lamp': ((255, 250, 220),), 'truck': ((230, 230, 236), (60, 120, 200), (200, 60, 40)),
        'cargo': ((240, 236, 226), (90, 150, 90), (230, 140, 40)), 'bus': ((250, 170, 20), (220, 40, 50)),
        'train': ((200, 30, 40), (40, 130, 160)), 'stripe': ((250, 240, 220),),
        'bicycle': ((40, 120, 220), (220, 50, 60)), 'motorcycle': ((200, 30, 30), (30, 30, 36)),
        'static': ((90, 130, 90),),
        'sky_top': ((60, 120, 235), (80, 150, 250)), 'sky_low': ((170, 205, 250),), 'cloud': ((250, 252, 255),)},
    colour_jitter=7.0, light=(-0.5, 0.75, -0.45), ambient=(0.62, 0.68), shadow=(0.3, 0.4), texture=0.035, pattern=0.5,
    clouds=0.25, haze=(0.0, 0.0015), haze_colour=(190, 215, 250), blur=(0.0, 0.0), noise=(0.0, 0.0),
    vignetting=(0.0, 0.0), gamma=(0.9, 1.12), gain=(0.9, 1.06), saturation=(0.95, 1.15))

REAL = DomainStyle(
    name='real', focal=(0.92, 1.06), camera_height=(1.2, 1.4), horizon=(0.4, 0.47), yaw=(-0.06, 0.06), lane_width=3.1,
    extra_lanes=0.15, parking=0.8, sidewalk_width=(2.4, 4.6), verge=0.55, building_height=(8.0, 20.0),
    building_share=0.72,
    chance={'train': 0.2, 'truck': 0.24, 'bus': 0.22, 'motorcycle': 0.26, 'rider': 0.3, 'bicycle': 0.36, 'wall': 0.45,
            'fence': 0.5, 'backdrop': 0.85, 'crosswalk': 0.25},
    rate={'car': 5.0, 'person': 4.0, 'pole': 6.0, 'light': 1.6, 'sign': 2.6, 'tree': 6.0, 'static': 1.0},
    palette={
        'road': ((98, 96, 100), (86, 87, 92), (108, 106, 106)), 'marking': ((190, 188, 182),),
        'sidewalk': ((164, 148, 140), (150, 142, 140), (172, 158, 144)), 'kerb': ((146, 142, 138),),
        'terrain': ((122, 134, 70), (136, 142, 78), (146, 136, 84)),
        'building': ((178, 148, 122), (150, 124, 104), (190, 178, 158), (136, 100, 84), (148, 146, 146),
                     (122, 112, 106)),
        'window': ((62, 72, 86), (84, 94, 106)), 'shop': ((74, 66, 60), (96, 90, 88), (110, 74, 60)),
        'roof': ((102, 74, 62), (84, 80, 78)), 'wall': ((142, 112, 92), (150, 128, 104)),
        'brick': ((100, 80, 66), (110, 92, 76)),
        'fence': ((96, 106, 92), (138, 118, 92), (176, 178, 178)),
        'pole': ((86, 88, 88), (70, 72, 72), (104, 104, 102)),
        'housing': ((44, 48, 46),), 'sign': ((184, 44, 46), (40, 78, 156), (204, 174, 54)),
        'sign_field': ((206, 204, 198),), 'sign_back': ((122, 122, 120),),
        'leaf': ((66, 104, 50), (56, 86, 46), (92, 114, 58)),
        'trunk': ((74, 66, 56),), 'skin': ((190, 150, 126), (120, 88, 70)),
        'cloth': ((56, 60, 78), (112, 74, 62), (158, 152, 144), (44, 44, 48), (136, 50, 52), (72, 98, 140),
                  (176, 152, 80)),
        'trousers': ((46, 52, 68), (40, 40, 42), (88, 80, 68)), 'helmet': ((60, 60, 64), (170, 168, 162)),
        'car': ((66, 68, 74), (160, 162, 166), (38, 40, 46), (206, 206, 204), (54, 72, 120), (134, 44, 42)),
        'glass': ((50, 56, 60),), 'tyre': ((34, 34, 34),), 'hub': ((120, 120, 122),), 'tail': ((146, 36, 34),),
        'lamp': ((222, 222, 210),), 'truck': ((160, 160, 158), (64, 82, 112), (120, 62, 48)),
        'cargo': ((186, 182, 172), (108, 116, 110), (142, 110, 78)),
        'bus': ((176, 146, 66), (136, 50, 48), (80, 104, 120)),
        'train': ((172, 152, 104), (146, 58, 54), (90, 124, 128)), 'stripe': ((178, 174, 164),),
        'bicycle': ((54, 58, 64), (96, 52, 50)), 'motorcycle': ((52, 50, 52), (104, 46, 42)), 'static': ((78, 84, 80),),
        'sky_top': ((168, 190, 218), (150, 178, 216), (196, 206, 218)), 'sky_low': ((210, 216, 222),),
        'cloud': ((232, 234, 236),)},
    colour_jitter=11.0, light=(0.65, 0.55, 0.2), ambient=(0.58, 0.74), shadow=(0.25, 0.6), texture=0.14, pattern=1.0,
    clouds=0.5, haze=(0.002, 0.008), haze_colour=(206, 208, 208), blur=(0.25, 0.5), noise=(2.0, 4.5),
    vignetting=(0.1, 0.3), gamma=(0.85, 1.2), gain=(0.85, 1.1), saturation=(0.85, 1.1))

DOMAINS = {'sim': SIM, 'real': REAL}


def style_of_clip(style: DomainStyle, index: int) -> DomainStyle:
    """A style in which rare things occur by turns instead of by chance: each in every third clip.

    There are few clips, and classes that a validation set lacks cannot be scored. Which two of the six come together
    changes every three clips.
    """
    large, small = index % 3, (index + index // 3) % 3
    turns = {name: float(k == large) for k, name in enumerate(('train', 'truck', 'bus'))}
    turns |= {name: float(k == small) for k, name in enumerate(('motorcycle', 'rider', 'bicycle'))}
    return replace(style, chance=style.chance | turns)
