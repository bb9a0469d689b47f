"""The figures that performance is judged by: counts and ratios within one run, never a time to be asserted."""
