"""Questions to a real account, asked by a person: ``python -m probes.snowflake``."""
