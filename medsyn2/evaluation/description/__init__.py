"""Which numbers describe a volume, for all evaluations that compare sets of volumes?"""
