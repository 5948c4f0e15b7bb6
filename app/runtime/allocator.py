"""How the process's allocator treats large blocks."""

import ctypes
import platform

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_KEPT_BYTES = 1 << 30


def keep_large_blocks() -> bool:
    """Have glibc reuse blocks of up to 1 GiB instead of giving each back; returns whether it does.

    By default every large activation is mapped anew, and the kernel clears its pages, over and over: with torch on the
    CPU 8 images then take 2 to 4 times as long. Memory stays at its peak instead. Source: mallopt(3).
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    libc = ctypes.CDLL(None)
    return all(libc.mallopt(option, _KEPT_BYTES) == 1 for option in (_M_MMAP_THRESHOLD, _M_TRIM_THRESHOLD))
