"""How close are synthetic volumes to real ones? Table 1 of the paper."""
