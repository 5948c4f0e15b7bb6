"""A second model that analyses the same radiographs beside the default one, to be compared before it is served."""
