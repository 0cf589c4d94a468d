"""One module a view: the queries whose rows the page draws."""
