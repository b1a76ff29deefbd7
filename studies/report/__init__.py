"""Ways to show a conclusion: one report page (`page`), tables and maps as files (`files`), pictures (`figures`)."""
