"""Can readers tell synthetic volumes from real ones?"""
