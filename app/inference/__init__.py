"""Running a network on patches: engines and the scheduler. Knows no radiology."""
