mod migrate;
mod probes;
mod prune;
