"""The one error of the practice fleet."""


class LabError(Exception):
    """Something about the practice fleet that a person can mend: the text names the thing and the mend."""
