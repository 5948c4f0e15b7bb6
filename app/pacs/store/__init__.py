"""What was accepted and what is owed, in a database: images, results, jobs. Knows no network."""
