"""What `rebus eval` measures, a file a question; tables and the report that show it."""
