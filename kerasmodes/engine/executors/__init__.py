"""What runs an execution in one mode."""
