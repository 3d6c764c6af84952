"""Where posts come from: files, tables and databases, as a stream of batches of one shape."""
