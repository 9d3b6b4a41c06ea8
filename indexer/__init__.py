"""What only a scan or a gradient needs: walking folders, embedding, training, building and measuring."""
