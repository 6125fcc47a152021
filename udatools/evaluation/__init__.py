# SPDX-License-Identifier: Apache-2.0
"""Metrics and the protocols that they are reported under."""
from udatools.evaluation.iou import ProtocolIoUMetric, confusion_matrix, iou_from_confusion
from udatools.evaluation.protocols import Protocol, get_protocol, list_protocols
from udatools.evaluation.temporal_consistency import TemporalConsistencyMetric
from udatools.evaluation.vpq_metric import VPQMetric

__all__ = [
    'Protocol', 'ProtocolIoUMetric', 'TemporalConsistencyMetric', 'VPQMetric', 'confusion_matrix', 'get_protocol',
    'iou_from_confusion', 'list_protocols'
]
