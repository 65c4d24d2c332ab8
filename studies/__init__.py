"""What is remembered: records, settings, and the database."""

__all__ = ["config", "controls", "dashboard", "database", "pareto", "plugins", "records", "runs", "settings_text"]
