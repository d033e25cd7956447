"""The kernels that there are for the tests, whichever way they are had."""

from . import archive, built

NAMES = [*archive.SERIES, built.NAME]


def kernel(name):
    """The kernel of that name, downloaded or built if need be."""
    return built.kernel() if name == built.NAME else archive.kernel(name)
