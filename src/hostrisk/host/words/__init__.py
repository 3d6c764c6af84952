"""What the words of a single post tell: marks of a credible threat, and personal details."""
