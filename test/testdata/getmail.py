"""getmail, with one defect mended that has nothing to do with POP3.

getmail 6.18 waits for each delivery process on a condition that the handler of
SIGCHLD signals. A process that ends before the wait has begun is waited for
until a timeout: about one message of a thousand on a busy machine.
"""

import os
import runpy
import shutil

from getmailcore.baseclasses import ForkingBase


def wait_for_child(self, pid):
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


ForkingBase._prepare_child = lambda self: None
ForkingBase._wait_for_child = wait_for_child
runpy.run_path(shutil.which("getmail"), run_name="__main__")
