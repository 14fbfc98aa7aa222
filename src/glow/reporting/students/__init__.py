"""The students of a study beside each other: whether gains grow with size; a table, a figure and a page."""
