"""Are synthetic volumes copies of training cases?"""
