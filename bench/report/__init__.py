"""From raw runs to what people read: ratios, a table, a plot."""
