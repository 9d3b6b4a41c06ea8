"""What a query needs: media, encoders, codes, the index, the catalog and the searcher."""
