"""What is handed to others: the evidence packet, the letter, the statements of reasons."""
