"""Messages to people when an instance needs them: what is worth one, in which words, and the way there."""
