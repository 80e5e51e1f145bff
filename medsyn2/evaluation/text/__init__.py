"""Does a generated volume follow its report? Tables 2 and 3 of the paper."""
