"""Do synthetic pairs help to train a segmenter? Table 5 of the paper."""
