"""Training of codes: for the vectors they hold, and for the queries that will look for them."""
