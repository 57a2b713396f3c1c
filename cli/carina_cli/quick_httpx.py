"""httpx without its own command line client.

httpx imports that client (click, rich, pygments: more than half of its import time) whenever these are installed.
None in sys.modules makes just that import fail, which httpx provides for.
"""

import sys
from types import ModuleType
from typing import cast

sys.modules.setdefault("httpx._main", cast("ModuleType", None))

import httpx  # noqa: E402 - after the line above, on purpose

__all__ = ["httpx"]
