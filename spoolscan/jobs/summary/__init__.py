"""The day's report to the administrator: counted from the journal, drawn, written, posted."""
