# SPDX-License-Identifier: Apache-2.0
"""Seconds of human work, by the model in the slides of LabOR (Shin et al., ICCV 2021).

Their table: a full Cityscapes image takes 5,400 s, SPL 1,210 s an image (2.2 % of its pixels over the campaign), PPL
75 s an image (40 points). The model here is linear through those: seconds in proportion to the asked share of the
image, or to the number of points. A share so large that the line would exceed a full annotation costs that instead.
These are estimates for oracles; a person's measured seconds are recorded as they are.

Tags and one point a class are not in the slides. Bearman et al. ("What's the Point", ECCV 2016, Sec. 4) measured a second for
each class that is looked for, present or not, and 2.4 s to point at the first object of one that is present.
"""
from dataclasses import dataclass

from .image_questions import CLASS_POINTS, TAGS


@dataclass(frozen=True)
class CostModel:
    """Linear model of labelling time.

    Attributes:
        image_seconds (float): a fully annotated image.
        segment_seconds (float): an image of which ``segment_portion`` was asked as segments.
        segment_portion (float): share of the pixels that this refers to, in (0, 1].
        point_seconds (float): one point.
        region_seconds (float): one region that takes one label; not in the slides, a click takes the time of a point.
        tag_seconds (float): one class that is looked for in an image.
        class_point_seconds (float): one class that is looked for, found and pointed to.
    """
    image_seconds: float = 5400.0
    segment_seconds: float = 1210.0
    segment_portion: float = 0.022
    point_seconds: float = 75.0 / 40.0
    region_seconds: float = 75.0 / 40.0
    tag_seconds: float = 1.0
    class_point_seconds: float = 2.4

    def __post_init__(self) -> None:
        prices = (self.image_seconds, self.segment_seconds, self.point_seconds, self.region_seconds, self.tag_seconds,
                  self.class_point_seconds)
        if min(prices) < 0 or not 0 < self.segment_portion <= 1:
            raise ValueError(f'{self}; expected seconds >= 0 and segment_portion in (0, 1]')

    def seconds(self, kind: str, asked: int, image_pixels: int, *, found: int | None = None) -> float:
        """Estimated seconds for one image of a request.

        Args:
            kind (str): ``'segments'``, ``'points'``, ``'regions'``, ``'tags'`` or ``'class_points'``.
            asked (int): asked pixels of the image (for points and regions: their number; for the last two: classes).
            image_pixels (int): native pixels of the image.
            found (int | None): of ``'class_points'``: classes that were pointed to; None: all that are asked, as a plan has it.
        """
        if kind == TAGS:
            return asked * self.tag_seconds
        if kind == CLASS_POINTS:
            found = asked if found is None else found
            return found * self.class_point_seconds + (asked - found) * self.tag_seconds
        if kind == 'points':
            return asked * self.point_seconds
        if kind == 'regions':
            return asked * self.region_seconds
        return min(asked / image_pixels / self.segment_portion * self.segment_seconds, self.image_seconds)
