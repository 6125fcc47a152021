# SPDX-License-Identifier: Apache-2.0
"""Images that a campaign has not settled, and what it would ask next.

With the final models at hand both come from one pass over the target training images; without, the worst images are
judged by the predictions that were stored with the requests. The run's files are read and never written.
"""

import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from torch import Tensor

from udatools.active.budget import Budget
from udatools.active.ledger import LabelLedger
from udatools.active.request import NOT_ANSWERED, VOID, Request
from udatools.active.round_plan import RoundPlan, TargetSet
from udatools.active.selection import select
from udatools.utils.atomic import write_png_atomic
from udatools.visualization.campaign.data import Campaign
from udatools.visualization.run_data import load_panels

from .models import final_hook

__all__ = ['NextQuestions', 'Outlook', 'Picture', 'Verdict', 'densest_window', 'look_ahead', 'look_back']

#: Images with fewer answered pixels say little about themselves; they are ranked only where no image has more.
MIN_ANSWERS = 10
#: Stored predictions that are looked at; a run keeps a few a round.
STORED = 40


@dataclass
class Picture:
    """Arrays of one image or a window of it: image RGB, prediction and answer train ids, ``mask`` what is pointed at."""

    image: npt.NDArray[np.uint8] | None
    prediction: npt.NDArray
    mask: npt.NDArray
    answer: npt.NDArray | None = None


@dataclass
class Verdict:
    """How the model and the answers of one image differ; void answers do not count."""

    key: str
    answered: int
    wrong: int
    round: int = 0
    picture: Picture | None = None

    @property
    def share(self) -> float:
        """Wrong predictions among the answered pixels, in [0, 1]."""
        return self.wrong / self.answered if self.answered else 0.0


@dataclass
class NextQuestions:
    """What one more round would ask.

    Attributes:
        clicks (int): planned clicks: points, regions or connected components.
        images (int): images concerned.
        pixels (int): asked pixels.
        seconds (float): by the cost model.
        kind (str): of the request.
        classes (dict[str, int]): asked pixels by the class that the final model predicts there.
        pictures (list[tuple[str, int, Picture]]): key, clicks and densest window of the images that are asked most.
    """

    clicks: int
    images: int
    pixels: int
    seconds: float
    kind: str
    classes: dict[str, int]
    pictures: list[tuple[str, int, Picture]] = field(default_factory=list)


@dataclass
class Outlook:
    """``worst`` images first; ``predicted`` says that they were judged by the final model, not by stored predictions."""

    worst: list[Verdict]
    predicted: bool
    upcoming: NextQuestions | None = None


def rank(verdicts: Sequence[Verdict], shown: int) -> list[Verdict]:
    """The images with the largest share of wrong predictions; ties by the number of wrong ones, then by key."""
    enough = [verdict for verdict in verdicts if verdict.answered >= MIN_ANSWERS] or verdicts
    wrong = [verdict for verdict in enough if verdict.wrong]
    return sorted(wrong, key=lambda verdict: (-verdict.share, -verdict.wrong, verdict.key))[:shown]


def _judge(key: str, prediction: npt.NDArray, answer: npt.NDArray) -> tuple[Verdict, npt.NDArray[np.bool_]]:
    known = answer < VOID
    wrong = known & (prediction != answer)
    return Verdict(key, int(known.sum()), int(wrong.sum())), wrong


def look_back(campaign: Campaign, shown: int = 6) -> Outlook:
    """Judge the images whose prediction was stored when they were asked about, by the model that asked.

    Args:
        campaign (Campaign): of a run.
        shown (int): at most this many images.
    """
    verdicts = []
    with LabelLedger(campaign.run.work_dir / 'ledger.sqlite', read_only=True) as ledger:
        for panel in load_panels(campaign.run, limit=STORED):
            label = ledger.label(panel.key, before_round=panel.round + 1)
            if panel.prediction is None or panel.mask is None or label is None or label.shape != panel.prediction.shape:
                continue
            answer = np.where(panel.mask > 0, label, NOT_ANSWERED).astype(np.uint8)
            verdict, wrong = _judge(panel.key, panel.prediction, answer)
            verdict.round = panel.round
            verdict.picture = Picture(panel.image, panel.prediction, wrong, np.where(answer < VOID, answer, NOT_ANSWERED))
            verdicts.append(verdict)
    return Outlook(rank(verdicts, shown), predicted=False)


def look_ahead(campaign: Campaign, clicks: int = 1000, shown: int = 6) -> Outlook:
    """Run the final models over the target training images.

    Args:
        campaign (Campaign): of a finished run.
        clicks (int): budget of the questions to come; 0 only judges the images.
        shown (int): at most this many pictures each.

    Returns:
        Outlook: ``upcoming`` is None without clicks.

    Raises:
        FileNotFoundError: a checkpoint or an image is missing.
        ValueError: the run does not ask for labels or is not finished.
    """
    work_dir = campaign.run.work_dir
    hook = final_hook(work_dir)
    target, predict, models = hook.open_target()
    ledger_path = work_dir / 'ledger.sqlite'
    verdicts: dict[str, Verdict] = {}
    with tempfile.TemporaryDirectory(prefix='udatools_') as name, LabelLedger(ledger_path, read_only=True) as ledger:
        scratch = Path(name)

        def watch(i: int, names: Sequence[str]) -> Mapping[str, Tensor]:
            """``predict`` that judges each image the first time it sees it."""
            key = target.keys[i]
            if key in verdicts:
                return predict(i, names)
            outputs = predict(i, tuple({*names, 'prob'}))
            prediction = outputs['prob'].argmax(dim=0).cpu().numpy().astype(np.uint8)
            write_png_atomic(scratch / 'predictions' / f'{key}.png', prediction)
            label = ledger.label(key)
            verdicts[key] = Verdict(key, 0, 0) if label is None else _judge(key, prediction, label)[0]
            return {name: outputs[name] for name in names}

        upcoming = None
        if clicks > 0:
            number = max(ledger.rounds(), default=0) + 1
            plan = RoundPlan(round=number, num_rounds=number, seed=hook.plan['seed'], panels=0,
                             budget=Budget(unit='clicks', amount=clicks, scope='round'))
            select(plan, target, watch, hook.selector, 'next', {}, ledger_path, scratch / 'next')
            request = Request.load(scratch / 'next')
            if request is None:
                raise RuntimeError(f'no request was written to {scratch}; is the disk full?')
            upcoming = _describe(campaign, request, target, scratch, shown)
        for i, key in enumerate(target.keys):
            if key not in verdicts:
                watch(i, ())
        models.clear()
        worst = rank(list(verdicts.values()), shown)
        for verdict in worst:
            prediction, answer = _prediction(scratch, verdict.key), ledger.label(verdict.key)
            assert answer is not None
            wrong = _judge(verdict.key, prediction, answer)[1]
            verdict.picture = Picture(_image(target, verdict.key), prediction, wrong,
                                      np.where(answer < VOID, answer, NOT_ANSWERED).astype(np.uint8))
    return Outlook(worst, predicted=True, upcoming=upcoming)


def _describe(campaign: Campaign, request: Request, target: TargetSet, scratch: Path, shown: int) -> NextQuestions:
    items = [request[key] for key in request.asked_keys()]
    counts: Counter[int] = Counter()
    for item in items:
        at = _prediction(scratch, item.key)[request.regions(item.key) > 0]
        counts.update(dict(enumerate(np.bincount(at, minlength=len(target.classes)).tolist())))
    seconds = sum(campaign.costs.seconds(request.kind, item.components if request.kind == 'regions' else item.asked,
                                         item.height * item.width) for item in items)
    most = sorted(items, key=lambda item: (-item.components, item.key))[:shown]
    pictures = []
    for item in most:
        mask = request.regions(item.key)
        window = densest_window(mask > 0)
        image = _image(target, item.key)
        pictures.append((item.key, item.components, Picture(None if image is None else image[window],
                                                            _prediction(scratch, item.key)[window], mask[window])))
    return NextQuestions(clicks=sum(item.components for item in items), images=len(items),
                         pixels=sum(item.asked for item in items), seconds=seconds, kind=request.kind,
                         classes={name: counts[i] for i, name in enumerate(target.classes)}, pictures=pictures)


def densest_window(mask: npt.NDArray[np.bool_], share: float = 0.5) -> tuple[slice, slice]:
    """The window of ``share`` of the height and width that holds most True pixels; the first in raster order of equals.

    Args:
        mask (ndarray): bool, (H, W).
        share (float): in (0, 1].

    Returns:
        tuple[slice, slice]: rows and columns.
    """
    height, width = (max(1, round(side * share)) for side in mask.shape)
    total = cv2.integral(mask.astype(np.uint8))
    counts = total[height:, width:] - total[:-height, width:] - total[height:, :-width] + total[:-height, :-width]
    y, x = np.unravel_index(int(counts.argmax()), counts.shape)
    return slice(int(y), int(y) + height), slice(int(x), int(x) + width)


def _prediction(scratch: Path, key: str) -> npt.NDArray[np.uint8]:
    prediction = cv2.imread(str(scratch / 'predictions' / f'{key}.png'), cv2.IMREAD_UNCHANGED)
    assert prediction is not None
    return np.asarray(prediction, np.uint8)


def _image(target: TargetSet, key: str) -> npt.NDArray[np.uint8] | None:
    image = cv2.imread(str(target.image_paths[list(target.keys).index(key)]), cv2.IMREAD_COLOR)
    return None if image is None else np.asarray(image[..., ::-1], np.uint8)
