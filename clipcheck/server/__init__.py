"""The language server: findings, fixes and explanations where the code is written, of text that nobody has saved yet."""
