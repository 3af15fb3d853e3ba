"""What the host agent reads: one reader a file, each given the library it reads from."""
