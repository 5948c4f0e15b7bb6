"""Configuration of the memory allocator."""

import ctypes
import platform

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_KEPT_BYTES = 1 << 30


def keep_large_blocks() -> bool:
    """Have glibc reuse freed blocks of up to 1 GiB; returns whether that is supported.

    By default glibc returns large blocks to the kernel, which clears their pages for every activation: 8 images then
    take 2 to 4 times as long with torch on the CPU. The price is that memory stays at its peak. Source: mallopt(3).
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    libc = ctypes.CDLL(None)
    return all(libc.mallopt(option, _KEPT_BYTES) == 1 for option in (_M_MMAP_THRESHOLD, _M_TRIM_THRESHOLD))
