"""FetchXML: parsed, made into SQL, run, paged."""
