"""What is measured, one kind of question per file."""
