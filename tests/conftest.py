"""What holds for all tests."""

from hypothesis import settings

# No test is timed: a busy machine must not fail one. CI draws the same examples each time.
settings.register_profile("tests", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("tests")
