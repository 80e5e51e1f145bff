"""Do synthetic organs and tissues have the HU of real ones?"""
