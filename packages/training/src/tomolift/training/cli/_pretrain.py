"""`tomolift pretrain`: the 2D source network by itself."""


def pretrain() -> int:
    """tmp."""
    return 0
