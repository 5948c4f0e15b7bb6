"""Local acceptance: a model judged on a site's own radiographs, and adopted with the site's operating points."""
