"""The operating system's locks: it lets go of one when its holder dies, however it dies."""

import errno
from pathlib import Path

from filelock import BaseFileLock, FileLock

NO_LOCKS = {errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOLCK, errno.EINVAL}
"""How a file system says that it has no locks; a folder of Google Drive on Colab, for one."""


def system_lock(path: Path) -> BaseFileLock:
    """A lock on the file ``path``, not yet acquired; any thread may let go of it.

    Acquiring it raises `filelock.Timeout` where another has it, and an error that `has_no_locks` knows on a file system
    without locks. filelock's own way out there, a file that is merely there, would stay for good after a kill.
    """
    return FileLock(path, thread_local=False, fallback_to_soft=False)


def has_no_locks(error: Exception) -> bool:
    """Whether ``error``, raised while acquiring, says that the file system has no locks."""
    return isinstance(error, NotImplementedError) or getattr(error, "errno", None) in NO_LOCKS
