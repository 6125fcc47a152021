# SPDX-License-Identifier: Apache-2.0
"""Getting data sets ready: verification, class statistics, and the one conversion that cannot be a look-up table."""
from .camvid32 import CamVid32
from .journal import PairJournal
from .prepare import check_source, prepare_source
from .statistics import ClassStatistics, images_by_class, rare_class_probabilities
from .verify import DomainPairs, Pair, PairRecord, PairSource, summarise_records, verify_pair

__all__ = [
    'CamVid32', 'ClassStatistics', 'DomainPairs', 'Pair', 'PairJournal', 'PairRecord', 'PairSource', 'check_source',
    'images_by_class', 'prepare_source', 'rare_class_probabilities', 'summarise_records', 'verify_pair'
]
