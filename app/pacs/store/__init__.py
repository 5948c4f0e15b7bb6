"""Accepted images, results to deliver, and jobs, in a database. Independent of any protocol."""
