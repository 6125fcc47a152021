# SPDX-License-Identifier: Apache-2.0
"""Pure functions on tensors and arrays: no registry, no state, no files. Import the module that is needed."""
