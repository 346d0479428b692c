"""`tomolift pretrain`: the 2D source network by itself."""
