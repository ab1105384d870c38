"""The tuner beside an oracle: does it find, knowing nothing, what the best of a whole grid of static settings is?"""
