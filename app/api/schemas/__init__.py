"""The public contract: every JSON body, built from the results of the use cases."""
