"""What is remembered: records, settings, and the database."""
