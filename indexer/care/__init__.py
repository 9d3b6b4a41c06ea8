"""Care of a library: what is wrong with it and how it is mended, its backup, and what it can do without."""
