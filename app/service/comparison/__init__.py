"""Two radiographs of one patient in a request."""
