"""From raw runs to what people read: ratios and a table."""
