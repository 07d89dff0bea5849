"""What users would pick instead, and floors: the least that any server must do."""
