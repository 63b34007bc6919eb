"""Pure decisions: no I/O, no clock, no chance. Time and counts are arguments."""
