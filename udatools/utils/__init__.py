# SPDX-License-Identifier: Apache-2.0
"""Small helpers without a home of their own: atomic writes, PNG reading, scoped random state."""
