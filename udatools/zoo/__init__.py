# SPDX-License-Identifier: Apache-2.0
"""The model zoo: published networks by name, and tables of published figures beside our own.

Nothing here is typed twice: our figures are those of ``docs/records``, published ones stand with their source in the
``metafile.yml`` of each method, and ``tools/model_zoo.py`` writes the rest.
"""
