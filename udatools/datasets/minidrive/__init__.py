# SPDX-License-Identifier: Apache-2.0
"""MiniDrive: the embedded, deterministic generator of street scenes with a simulated and a "real" domain."""
from .generate import generate_minidrive
from .render import render_clip, render_label, render_still

__all__ = ['generate_minidrive', 'render_clip', 'render_label', 'render_still']
