"""`tomolift pretrain`: the 2D source network by itself."""


def pretrain() -> int:
    """Tmp."""
    return 0
