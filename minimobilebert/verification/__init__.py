"""Does this machine compute what others did, to the last bit?"""
