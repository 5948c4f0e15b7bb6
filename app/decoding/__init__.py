"""Decoding in worker processes: a pool, its workers, and the protocol between them."""
