"""Recall from outside the database: the embeddings of texts and questions, and asking `memory.recall`."""
