# SPDX-License-Identifier: Apache-2.0
"""MiniDrive: the embedded, deterministic generator of street scenes with a simulated and a "real" domain."""
from .clip import Clip, render_clip
from .generate import generate_minidrive
from .render import render_label, render_still
from .video import generate_minidrive_video

__all__ = ['Clip', 'generate_minidrive', 'generate_minidrive_video', 'render_clip', 'render_label', 'render_still']
