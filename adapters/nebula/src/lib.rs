//! SenseNebula Pass and SensePass terminals.
