"""How the tables came about, step by step, for databases made by earlier versions."""
