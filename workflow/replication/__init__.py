"""The replication around the library: experiments, references, metrics, figures and tables."""
