"""What people and programs see of a verification: text, tables and plots in a terminal, a page, JSON."""
