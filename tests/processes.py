"""How a test starts a process that ends with it, even if the test itself is killed."""

import shutil

TIED = ("setpriv", "--pdeathsig", "KILL") if shutil.which("setpriv") else ()
"""A command prefix, to be put last: Linux forgets it when a process changes its user.

See prctl(2), PR_SET_PDEATHSIG. Without util-linux, a killed test leaves its processes running.
"""
