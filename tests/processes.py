"""How a test starts a process that ends with it, also where the test itself is killed."""

import shutil

TIED = ("setpriv", "--pdeathsig", "KILL") if shutil.which("setpriv") else ()
"""What stands before a command, last: Linux forgets it when a process changes its user.

See prctl(2), PR_SET_PDEATHSIG. Without util-linux a killed test leaves its processes.
"""
