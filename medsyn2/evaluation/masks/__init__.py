"""Does a generated volume follow its mask?"""
