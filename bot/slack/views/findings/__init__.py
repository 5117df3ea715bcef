"""The words of a diagnosis's findings, by kind of evidence. Pure."""
