"""What is said and how it looks: the log, texts for a terminal, Markdown, HTML, GitHub; and who is told."""
