"""Tables, figures, numbers in words, HTML and Markdown: the parts that reports, studies and the terminal share."""
