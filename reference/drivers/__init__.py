"""What several reference drivers share."""
