"""Object storage in memory, whose process can be killed at any write."""

import fsspec.implementations.memory


class Cut(Exception):
    """The process is killed here."""


class Memory(fsspec.implementations.memory.MemoryFileSystem):
    """Object storage without a network, which may end at a chosen write."""

    cachable = False
    left = None  # number of writes until the end; None: there is no end

    def __init__(self):
        super().__init__()
        self.store, self.pseudo_dirs = {}, [""]
        self.pipe_file("/bucket/other", b"")

    def _count(self):
        if self.left is not None:
            if self.left == 0:
                raise Cut
            self.left -= 1

    def put_file(self, here, there, **options):
        self._count()
        super().put_file(here, there, **options)

    def pipe_file(self, path, value=b"", **options):
        self._count()
        super().pipe_file(path, value, **options)

    def rm_file(self, path):
        self._count()
        super().rm_file(path)

    def find(self, path, **options):
        found = super().find(path, **options)
        if isinstance(found, dict):
            return {name.lstrip("/"): info for name, info in found.items()}
        return [name.lstrip("/") for name in found]
