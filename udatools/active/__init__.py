# SPDX-License-Identifier: Apache-2.0
"""Active labelling: select pixels, write a request, let an annotator answer it, keep every answer in a ledger.

Data goes one way: selector (blind to labels) -> request on disk -> annotator -> ledger -> label PNGs.
"""
from .annotators import Annotator, AnswersPending, GroundTruthOracle, HumanAnnotator
from .budget import Budget, Limits
from .campaign import RoundResult, ask_round
from .costs import CostModel
from .ledger import BudgetExceeded, LabelLedger, LedgerError
from .request import NOT_ANSWERED, VOID, Answer, Request, RequestItem
from .selectors import (
    Candidates,
    ConfidenceSelector,
    EntropySelector,
    FilteredSelector,
    ImageQuestionSelector,
    LabORPPLSelector,
    LabORSPLSelector,
    MarginSelector,
    MCDALSelector,
    RandomSelector,
    RegionSelector,
    RIPUPixelSelector,
    RIPURegionSelector,
    Selector,
)

__all__ = [
    'Annotator', 'Answer', 'AnswersPending', 'Budget', 'BudgetExceeded', 'Candidates', 'ConfidenceSelector',
    'CostModel', 'EntropySelector', 'FilteredSelector', 'GroundTruthOracle', 'HumanAnnotator', 'ImageQuestionSelector',
    'LabORPPLSelector', 'LabORSPLSelector', 'LabelLedger', 'LedgerError', 'Limits', 'MCDALSelector', 'MarginSelector',
    'NOT_ANSWERED', 'RIPUPixelSelector', 'RIPURegionSelector', 'RandomSelector', 'RegionSelector', 'Request', 'RequestItem',
    'RoundResult', 'Selector', 'VOID', 'ask_round'
]
