//! Events on standard output, one a line.
