from __future__ import annotations

from hypothesis import settings

# No deadline: a slow machine is not a wrong answer. Speed is measured in bench/.
settings.register_profile("croupier", deadline=None)
settings.load_profile("croupier")
