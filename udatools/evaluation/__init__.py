# SPDX-License-Identifier: Apache-2.0
"""Metrics and the protocols that they are reported under."""
from udatools.evaluation.iou import ProtocolIoUMetric, confusion_matrix, iou_from_confusion
from udatools.evaluation.protocols import Protocol, get_protocol, list_protocols

__all__ = [
    'Protocol', 'ProtocolIoUMetric', 'confusion_matrix', 'get_protocol', 'iou_from_confusion', 'list_protocols'
]
